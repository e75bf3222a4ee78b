//! What it costs to take runs and to complete them, by many workers at once: [`Claims`].

use std::sync::Arc;
use std::time::Duration;

use apportion::entity::{Limits, RunCause, TrainingId, UserId};
use apportion::plane::{
    Artifact, NewNode, NewRun, NewStatus, NewTraining, NewUser, RunLease, RunScheduler, Worker,
};
use apportion::queue::{QueuePolicy, Settings};
use apportion::store::Store;
use apportion::{ControlPlane, Error};

use crate::launches::now;
use crate::stores::Failed;

/// How many workers there are, and accounts that the runs are of.
pub const WORKERS: usize = 64;
/// GPUs of a node; each run asks for one.
const GPUS: u32 = 8;
/// For how long a run is taken.
const LEASE: Duration = Duration::from_mins(10);
/// A SHA-256.
const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A store with trainings, with nodes that have a GPU for a run of each, and with a scheduler.
#[derive(Debug)]
pub struct Claims {
    plane: Arc<ControlPlane>,
    scheduler: RunScheduler,
    trainings: Vec<TrainingId>,
}

/// What becomes of a run that a worker has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is begun, told of once, set to uploading and completed with its artefact: with the claim five durable commits.
    Whole,
    /// The worker says at once that it can never be done, and it ends: with the claim two durable commits.
    Shortest,
}

/// What one round cost.
#[derive(Clone, Debug)]
pub struct Round {
    /// How long the scheduler took for all grants: to see the runs, to decide, to commit, and to see what it did.
    pub granting: Duration,
    /// How long the workers took for all runs.
    pub working: Duration,
    /// How long each claim took.
    pub claims: Vec<Duration>,
}

impl Claims {
    /// Fills an empty store for so many runs at once.
    pub async fn new(store: Arc<dyn Store>, runs: u32) -> Result<Self, Failed> {
        let plane = Arc::new(ControlPlane::new(store));
        plane.default_queue().await?;
        let nodes = runs.div_ceil(GPUS);
        let limits = Limits { node_limit: nodes, training_limit: runs, run_limit: runs, ..Limits::default() };
        let user = |at| NewUser::new(format!("bench-{at}@example.org"), "Bench").limits(limits);
        let made = plane.create_users((0..WORKERS).map(user).collect()).await;
        let owners = made.into_iter().map(|user| Ok(user?.id)).collect::<Result<Vec<UserId>, Failed>>()?;
        let owner = *owners.first().ok_or("there are no users")?;
        let node = |at| NewNode::new(owner, format!("node-{at}")).gpus(GPUS, "A100");
        for node in plane.register_nodes((0..nodes).map(node).collect()).await {
            node?;
        }
        let asked = owners.iter().cycle().zip(0..runs).map(|(owner, at)| (*owner, at)).collect();
        let create = |plane: Arc<ControlPlane>, (owner, at)| async move {
            Ok(plane.create_training(NewTraining::new(owner, format!("training-{at}"), "ohxw")).await?.id)
        };
        let trainings = all(&plane, asked, create).await?;
        let scheduler = RunScheduler::new(Arc::clone(&plane), Settings::new(QueuePolicy::Backfill));
        Ok(Self { plane, scheduler, trainings })
    }

    /// Submits a run of each training, has all granted, and lets the workers take and end them.
    pub async fn round(&self, life: Life) -> Result<Round, Failed> {
        // What came of the round before is seen first.
        self.scheduler.tick().await?;
        let submit = |plane: Arc<ControlPlane>, training| async move {
            Ok(plane.submit_run(NewRun::of(training)).await?.id)
        };
        let submitted = all(&self.plane, self.trainings.clone(), submit).await?.len();
        let (began, mut granted) = (now(), 0);
        loop {
            let ticked = self.scheduler.tick().await?;
            if ticked.granted.is_empty() && ticked.lost == 0 {
                break;
            }
            granted += ticked.granted.len();
        }
        let granting = began.elapsed();
        let (began, mut workers) = (now(), Vec::new());
        for at in 0..WORKERS {
            let plane = Arc::clone(&self.plane);
            workers.push(tokio::spawn(async move { work(&plane, &format!("worker-{at}"), life).await }));
        }
        let mut claims = Vec::with_capacity(submitted);
        for worker in workers {
            claims.extend(worker.await??);
        }
        let working = began.elapsed();
        if (granted, claims.len()) != (submitted, submitted) {
            return Err(format!("of {submitted}, {granted} granted and {} ended", claims.len()).into());
        }
        Ok(Round { granting, working, claims })
    }

    /// Fails where a counter is not its recount.
    pub async fn check(&self) -> Result<(), Failed> {
        let clean = self.plane.audit().await?.is_clean();
        if clean { Ok(()) } else { Err("the audit found a drift".into()) }
    }
}

/// Takes runs and ends them until none is left; answers how long each claim took.
async fn work(plane: &ControlPlane, name: &str, life: Life) -> Result<Vec<Duration>, Failed> {
    let worker = Worker::new(name);
    let mut claims = Vec::new();
    loop {
        let began = now();
        let claimed = loop {
            match plane.claim_run(&worker, LEASE).await {
                // Others were first, again and again: that counts as part of the same claim.
                Err(Error::Conflict { .. }) => {}
                answer => break answer?,
            }
        };
        let Some(claimed) = claimed else { return Ok(claims) };
        claims.push(began.elapsed());
        match life {
            Life::Whole => complete(plane, &claimed.lease).await?,
            Life::Shortest => {
                plane.fail_run(&claimed.lease, RunCause::Invalid, None).await?;
            }
        }
    }
}

/// Begins a run, tells of it, uploads and completes it.
async fn complete(plane: &ControlPlane, lease: &RunLease) -> Result<(), Failed> {
    plane.begin_run(lease).await?;
    plane.tell(lease, NewStatus::of("training").message_id("first")).await?;
    let key = plane.uploading_run(lease).await?;
    plane.complete_run(lease, &Artifact::new(key, 1 << 20, SHA256)).await?;
    Ok(())
}

/// Does something for each of these, as many at once as there are workers; what it answers is in their order.
async fn all<T, A, F>(
    plane: &Arc<ControlPlane>,
    of: Vec<T>,
    done: impl Fn(Arc<ControlPlane>, T) -> F,
) -> Result<Vec<A>, Failed>
where
    A: Send + 'static,
    F: Future<Output = Result<A, Failed>> + Send + 'static,
{
    let mut answers = Vec::with_capacity(of.len());
    let mut rest = of.into_iter();
    loop {
        let some: Vec<_> =
            rest.by_ref().take(WORKERS).map(|it| tokio::spawn(done(Arc::clone(plane), it))).collect();
        if some.is_empty() {
            return Ok(answers);
        }
        for task in some {
            answers.push(task.await??);
        }
    }
}
