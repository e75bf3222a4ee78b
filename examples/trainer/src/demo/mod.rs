//! Two users, four GPUs and eight runs in one terminal.
//!
//! The control plane is this process, over a redb file. The workers are processes of their own, one of which is really killed, and so
//! are the trainings, which really learn. Only the GPUs are pretended.

mod cloud;
mod show;
mod workers;

use apportion::entity::{BindingState, RunState};
use apportion::plane::NewStatus;
use trainer::control::{Refused, Remote};

use crate::Outcome;
use cloud::Cloud;
use show::Show;
use workers::Workers;

/// Plays the story, and leaves nothing behind, however it ends.
pub(crate) async fn run() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let cloud = Cloud::open(folder.path()).await?;
    let mut workers = Workers::new(folder.path(), &cloud);
    let told = story(&cloud, &mut workers).await;
    workers.stop().await?;
    told
}

async fn story(cloud: &Cloud, workers: &mut Workers) -> Outcome<()> {
    let mut show = Show::new(cloud);
    show.say("Two machines with two GPUs each. Each gets a worker, a process with a key of its own.");
    for machine in &cloud.machines {
        workers.start(machine)?;
    }
    show.until("both workers have joined", async || cloud.all_heard().await).await?;

    show.say("Ada submits five runs, and only then Bob three.");
    for number in 1..=5 {
        show.submitted(cloud.submit(&cloud.ada, number).await?);
    }
    for number in 1..=3 {
        show.submitted(cloud.submit(&cloud.bob, number).await?);
    }

    show.say("GPUs are given out. Ada was first with all of hers, and yet two are Bob's: by shares, not by who asks for more.");
    cloud.schedule();
    show.until("four runs train", async || Ok(cloud.training(None).await?.len() == 4)).await?;
    for user in [&cloud.ada, &cloud.bob] {
        let theirs = cloud.training(Some(user.id)).await?.len();
        if theirs != 2 {
            return Err(format!("{} has {theirs} GPUs and not two", user.name).into());
        }
    }
    killed(cloud, workers, &mut show).await?;

    show.say("The rest takes its turn.");
    show.until("all have ended", async || cloud.all_are(RunState::Completed).await).await?;
    show.results().await?;
    cloud.is_back_to_zero().await?;
    show.say("Back to zero: every GPU is free, no process is left, and every counter equals its recount.");
    Ok(())
}

/// A worker dies in the middle of its runs, and comes back.
async fn killed(cloud: &Cloud, workers: &mut Workers, show: &mut Show<'_>) -> Outcome<()> {
    let victim = cloud.machines.first().ok_or("there is no machine")?;
    show.until("the runs of rack-1 are well on their way", async || cloud.are_on_their_way(victim).await)
        .await?;
    let held = workers.held(victim)?;
    show.say("kill -9 of the worker of rack-1. Nobody is told.");
    workers.kill(victim).await?;
    let given_up = async || Ok(cloud.leases(BindingState::Releasing).await?.len() == held.len());
    show.until("its leases were not renewed in time", given_up).await?;
    show.say("Its runs wait to be tried again, but silence is no evidence: their GPUs stay held.");
    show.gpus().await?;
    show.say("Whatever the dead one would still say comes too late. A line with its own key, and the lease that it had:");
    let ghost = Remote::new(&cloud.address, victim.key.expose());
    for lease in &held {
        let late = NewStatus::of("training").message_id("late");
        match ghost.tell(lease, late).await {
            Err(Refused::Over { reason }) => show.tell(&format!("refused: {reason}")),
            other => return Err(format!("a dead worker was answered {other:?}").into()),
        }
    }
    show.say("The worker is started again. It says that nothing of its former life runs: that is evidence.");
    workers.start(victim)?;
    let freed = async || Ok(cloud.leases(BindingState::Releasing).await?.is_empty());
    show.until("the GPUs came free", freed).await
}
