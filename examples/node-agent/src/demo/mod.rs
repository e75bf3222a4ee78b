//! A control plane and three machines in one terminal.
//!
//! The control plane is this process, over a redb file. Each machine is a folder with an agent of its own, a process that is really
//! killed; its instances are processes that really run and answer on their ports. Only the GPUs are pretended.

mod agents;
mod cloud;
mod show;

use std::time::Duration;

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};
use apportion::entity::{InstanceId, InstanceState, NodeState};
use apportion::plane::{LaunchRequest, SaveImageRequest};
use apportion::ports::{Family, Protocol};

use crate::Outcome;
use agents::Agents;
use cloud::Cloud;
use show::Show;

/// Plays the story, and leaves nothing behind, however it ends.
pub(crate) async fn run() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let show = Show::new();
    let cloud = Cloud::open(folder.path()).await?;
    let mut agents = Agents::new(folder.path(), &cloud);
    let told = story(&cloud, &mut agents, &show).await;
    agents.clear_away().await?;
    told
}

async fn story(cloud: &Cloud, agents: &mut Agents, show: &Show) -> Outcome<()> {
    show.say("Three machines are registered. Each gets an agent with a key of its own.");
    for machine in &cloud.machines {
        agents.start(machine)?;
    }
    cloud.until("every machine has reported its GPUs", || async { cloud.ready().await }).await?;
    show.table(cloud).await?;

    show.say("Ada launches six instances: two whole GPUs, four halves, a port for each.");
    let mut instances = Vec::new();
    for number in 1..=6 {
        instances.push(cloud.launch(request(cloud, number)?).await?);
    }
    let running = |ids: Vec<InstanceId>| async move { cloud.all_are(&ids, InstanceState::Running).await };
    cloud.until("all of them run", || running(instances.clone())).await?;
    show.table(cloud).await?;
    show.say("They are really there. Each answers on its port:");
    show.answers(cloud, &instances).await?;

    let victim = cloud.machine_of(instances[0]).await?;
    show.say(&format!("kill -9 of the agent of {}. Its instances do not notice.", victim.name));
    agents.kill(victim)?;
    let unknown = async || cloud.is(victim, NodeState::Unknown).await;
    cloud.until("it has been silent for too long", unknown).await?;
    show.table(cloud).await?;
    show.say(
        "Silence is no evidence: all that runs there is still charged, and only new work goes elsewhere.",
    );
    let elsewhere = cloud.launch(request(cloud, 7)?).await?;
    instances.push(elsewhere);
    cloud.until("the seventh runs on another machine", || running(vec![elsewhere])).await?;
    show.answers(cloud, &instances).await?;

    show.say(
        "The agent is started again. It finds its survivors by process and start time, and reports them.",
    );
    agents.start(victim)?;
    let active = async || cloud.is(victim, NodeState::Active).await;
    cloud.until("the machine is heard again", active).await?;
    cloud.until("nothing was lost", || running(instances.clone())).await?;
    show.table(cloud).await?;

    show.say("One is stopped and started; what is wanted and what is known are kept apart.");
    let one = instances[1];
    cloud.plane.stop(one).await?;
    show.instance(cloud, one).await?;
    cloud.until("it has stopped", || async { cloud.all_are(&[one], InstanceState::Stopped).await }).await?;
    cloud.plane.start(one).await?;
    cloud.until("it runs again", || running(vec![one])).await?;
    show.instance(cloud, one).await?;

    show.say("An image of it is saved on its machine, and another one begins with what was in its folder.");
    let image = cloud.plane.save_image(SaveImageRequest::of(one).name("job-2:saved")).await?.id;
    cloud.until("it was saved", || cloud.has_image(image)).await?;
    let copy = cloud.launch(request(cloud, 8)?.image(image)).await?;
    instances.push(copy);
    cloud.until("the eighth runs from the image", || running(vec![copy])).await?;
    show.answers(cloud, &[copy]).await?;

    show.say("All are deleted. Each holds what it has until its agent says that there is nothing of it.");
    for id in &instances {
        cloud.plane.delete(*id).await?;
    }
    cloud.until("all are gone", || cloud.all_are(&instances, InstanceState::Deleted)).await?;
    show.table(cloud).await?;
    cloud.is_back_to_zero().await?;
    show.say("Back to zero: no instance, no GPU, no port, no process, and every counter equals its recount.");
    Ok(())
}

/// The request of one of the instances: the first two have a GPU each, others a half of one, and the last one has none.
fn request(cloud: &Cloud, number: u32) -> Outcome<LaunchRequest> {
    let command = [std::env::current_exe()?.display().to_string(), "hello".to_owned()];
    let program = serde_json::json!({ "command": command });
    let request = LaunchRequest::new(cloud.ada, format!("job-{number}"))
        .cpu(CpuMilli::from_u32(1000))
        .memory(MemoryMib::from_u32(512))
        .ports(Family::Ipv4, Protocol::Tcp, 1)
        .payload(program.to_string());
    Ok(match number {
        1..=2 => request.gpus(1),
        3..=7 => request.gpu_share(GpuMilli::from_u32(500)),
        _ => request,
    })
}

/// How long something may take until the demonstration gives up.
const PATIENCE: Duration = Duration::from_secs(60);
