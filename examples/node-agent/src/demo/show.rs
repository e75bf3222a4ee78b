//! What the demonstration shows.

use std::io::IsTerminal as _;

use apportion::entity::{GpuFilter, InstanceFilter, InstanceId, NodeState, PageRequest};

use super::cloud::{Cloud, Machine};
use crate::Outcome;

/// Prints what happens, in colour where there is any.
#[derive(Debug)]
pub(super) struct Show {
    colour: bool,
}

impl Show {
    pub(super) fn new() -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: std::io::stdout().is_terminal() && !plain }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn say(&self, text: &str) {
        println!("\n{}", self.paint("1", text));
    }

    /// Every machine: its state, its GPUs, and what is on it.
    pub(super) async fn table(&self, cloud: &Cloud) -> Outcome<()> {
        for machine in &cloud.machines {
            let status = cloud.plane.node_status(machine.node).await?;
            let colour = if status.state == NodeState::Active { "32" } else { "33" };
            let state = self.paint(colour, &format!("{:<8}", status.state.as_str()));
            println!(
                "    {:<7} {state} {}  {}",
                machine.name,
                gpus(cloud, machine).await?,
                names(cloud, machine).await?
            );
        }
        Ok(())
    }

    /// What each instance says for itself.
    pub(super) async fn answers(&self, cloud: &Cloud, instances: &[InstanceId]) -> Outcome<()> {
        for id in instances {
            let name = cloud.plane.repositories().instances().require(*id).await?.value.name;
            let (port, text) = cloud.answer(*id).await?;
            println!("    {name} on port {port}: {text}");
        }
        Ok(())
    }

    /// What is known of an instance, and what is wanted.
    pub(super) async fn instance(&self, cloud: &Cloud, id: InstanceId) -> Outcome<()> {
        let instance = cloud.plane.repositories().instances().require(id).await?.value;
        println!("            {} is {}, and wanted {}", instance.name, instance.state, instance.desired);
        Ok(())
    }
}

/// How much of each GPU is held: four cells a GPU.
async fn gpus(cloud: &Cloud, machine: &Machine) -> Outcome<String> {
    let of_node = GpuFilter { node_id: Some(machine.node), ..GpuFilter::default() };
    let listed = cloud.plane.repositories().gpus().list(of_node, PageRequest::default()).await?;
    let bar = |milli: i64| {
        let full = usize::try_from(milli / 250).unwrap_or(0);
        format!("[{}{}]", "#".repeat(full), ".".repeat(4 - full.min(4)))
    };
    Ok(listed.entries.iter().map(|gpu| bar(gpu.used_milli.get())).collect::<Vec<_>>().join(" "))
}

/// What is on a machine.
async fn names(cloud: &Cloud, machine: &Machine) -> Outcome<String> {
    let of_node = InstanceFilter { node_id: Some(machine.node), ..InstanceFilter::default() };
    let listed = cloud.plane.repositories().instances().list(of_node, PageRequest::default()).await?;
    let live = listed.entries.iter().map(|instance| format!("{} ({})", instance.name, instance.state));
    Ok(live.collect::<Vec<_>>().join(", "))
}
