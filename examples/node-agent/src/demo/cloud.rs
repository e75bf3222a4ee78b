//! The control plane of the demonstration.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity::{
    GpuFilter, ImageId, ImageStatus, InstanceFilter, InstanceId, InstanceState, Limits, NodeId, NodeState,
    PageRequest, SecretText, TABLES, UserId,
};
use apportion::plane::{LaunchRequest, NewApiKey, NewNode, NewUser};
use apportion::ports::PortRanges;
use apportion::time::SystemClock;
use apportion_redb::RedbStore;
use node_agent::control::serve;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::PATIENCE;
use crate::Outcome;

/// How long a machine may be silent.
const SILENCE: Duration = Duration::from_secs(2);
/// How many ports each machine offers.
const PORTS: u16 = 10;

/// A machine of the demonstration.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) node: NodeId,
    pub(super) key: SecretText,
    pub(super) ports: (u16, u16),
}

/// A control plane with a user and three machines.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) plane: Arc<ControlPlane>,
    pub(super) ada: UserId,
    pub(super) machines: Vec<Machine>,
    pub(super) address: String,
}

impl Cloud {
    pub(super) async fn open(folder: &Path) -> Outcome<Self> {
        let store = RedbStore::open(folder.join("cloud.redb"), TABLES, Arc::new(SystemClock::new()))?;
        let plane = Arc::new(ControlPlane::new(Arc::new(store)));
        let limits = Limits { instance_limit: 20, ..Limits::default() };
        let mut ada = plane.create_user(NewUser::new("ada@example.org", "Ada").limits(limits)).await?;
        // Whoever runs the demonstration answers for her address.
        ada.value.activated = true;
        let ada = plane.repositories().users().update(ada).await?.id;

        let base = free_ports(3 * PORTS).await?;
        let mut machines = Vec::new();
        for (name, at) in ["rack-1", "rack-2", "rack-3"].into_iter().zip(0..) {
            let ports = (base + at * PORTS, base + at * PORTS + PORTS - 1);
            let node = NewNode::new(ada, name).ipv4_ports(PortRanges::tcp(ports.0, ports.1)?);
            let node = plane.register_node(node).await?.id;
            let key = plane.create_api_key(ada, NewApiKey::agent(name, node)).await?.secret;
            machines.push(Machine { name, node, key, ports });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(serve(Arc::clone(&plane), listener));
        tokio::spawn(sweep(Arc::clone(&plane)));
        Ok(Self { plane, ada, machines, address })
    }

    pub(super) async fn launch(&self, request: LaunchRequest) -> Outcome<InstanceId> {
        Ok(self.plane.launch(request).await?.id)
    }

    /// Waits until something is so, and says so.
    pub(super) async fn until<F>(&self, what: &str, so: impl Fn() -> F) -> Outcome<()>
    where
        F: Future<Output = Outcome<bool>>,
    {
        let begun = Instant::now();
        while !so().await? {
            if begun.elapsed() > PATIENCE {
                return Err(format!("waited in vain until {what}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("    {:>4.1} s  {what}", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Whether every machine has reported its GPUs.
    pub(super) async fn ready(&self) -> Outcome<bool> {
        for machine in &self.machines {
            let of_node = GpuFilter { node_id: Some(machine.node), ..GpuFilter::default() };
            if self
                .plane
                .repositories()
                .gpus()
                .list(of_node, PageRequest::default())
                .await?
                .entries
                .is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) async fn all_are(&self, ids: &[InstanceId], state: InstanceState) -> Outcome<bool> {
        for id in ids {
            let instance = self.plane.repositories().instances().require(*id).await?;
            if instance.state.is_terminal() && instance.state != state {
                let why = instance.value.status_info.unwrap_or_default();
                return Err(format!("{} is {}: {why}", instance.value.name, instance.value.state).into());
            }
            if instance.state != state {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether an image is on its machine.
    pub(super) async fn has_image(&self, id: ImageId) -> Outcome<bool> {
        match self.plane.repositories().images().require(id).await?.status {
            ImageStatus::Failed => Err("it could not be saved".into()),
            status => Ok(status == ImageStatus::Ready),
        }
    }

    pub(super) async fn is(&self, machine: &Machine, state: NodeState) -> Outcome<bool> {
        Ok(self.plane.node_status(machine.node).await?.state == state)
    }

    pub(super) async fn machine_of(&self, id: InstanceId) -> Outcome<&Machine> {
        let node = self.plane.repositories().instances().require(id).await?.last_node_id;
        self.machines.iter().find(|machine| machine.node == node).ok_or_else(|| "it is nowhere".into())
    }

    /// What an instance says to whoever connects to its port.
    pub(super) async fn answer(&self, id: InstanceId) -> Outcome<(u16, String)> {
        let ports = self.plane.repositories().instances().ports(id).await?;
        let port = ports.first().ok_or("it has no port")?.port;
        let begun = Instant::now();
        loop {
            // A process that has just begun may not listen yet.
            match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                Ok(mut stream) => {
                    let mut text = String::new();
                    stream.read_to_string(&mut text).await?;
                    return Ok((port, text));
                }
                Err(error) if begun.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Refuses where anything is left of instances.
    pub(super) async fn is_back_to_zero(&self) -> Outcome<()> {
        let repositories = self.plane.repositories();
        let quota = repositories.quotas().require(self.ada).await?;
        let mut left = quota.instances;
        for machine in &self.machines {
            let ledger = repositories.node_ledgers().require(machine.node).await?;
            left += ledger.instances + u32::from(!ledger.gpu_milli.is_zero() || !ledger.cpu_milli.is_zero());
            for port in machine.ports.0..=machine.ports.1 {
                left += u32::from(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok());
            }
        }
        let live =
            InstanceFilter { owner_id: Some(self.ada), states: LIVE.to_vec(), ..InstanceFilter::default() };
        left +=
            u32::from(!repositories.instances().list(live, PageRequest::default()).await?.entries.is_empty());
        let audit = self.plane.audit().await?;
        if left > 0 || !audit.is_clean() {
            return Err(format!("{left} things are left, and the audit found {:?}", audit.drifts).into());
        }
        Ok(())
    }
}

const LIVE: [InstanceState; 5] = [
    InstanceState::Requested,
    InstanceState::Creating,
    InstanceState::Running,
    InstanceState::Stopped,
    InstanceState::Deleting,
];

/// Turns machines that are silent unknown, and those that are heard again back.
async fn sweep(plane: Arc<ControlPlane>) {
    loop {
        if let Err(error) = plane.sweep_nodes(SILENCE).await {
            eprintln!("the sweep failed, and is done again: {error}");
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The first of so many ports in a row that nobody on this machine uses now.
async fn free_ports(count: u16) -> Outcome<u16> {
    for base in (20_000..60_000).step_by(usize::from(count)) {
        let mut held = Vec::new();
        for port in base..base + count {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                Ok(listener) => held.push(listener),
                Err(_) => break,
            }
        }
        if held.len() == usize::from(count) {
            return Ok(base);
        }
    }
    Err("this machine has no free ports".into())
}
