//! The control plane of the demonstration.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity::{
    BindingState, Entry, GpuFilter, GpuLease, GpuLeaseFilter, PageRequest, RunState, SecretText, TABLES,
    TrainingRun, TrainingRunFilter, TrainingStatus, UserId,
};
use apportion::plane::{NewApiKey, NewNode, NewRun, NewTraining, NewUser, Options, RunPolicy};
use apportion::queue::{QueuePolicy, Settings};
use apportion::store::Json;
use apportion::time::SystemClock;
use apportion_redb::RedbStore;
use serde_json::json;
use tokio::net::TcpListener;
use trainer::control::serve;
use trainer::service::{Pace, look_after, schedule};

use crate::Outcome;

/// For how long a run is a worker's without being renewed.
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// What a training rests after each epoch, so that there is something to be seen.
const PACE_MS: u64 = 200;

/// A machine of the demonstration.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) node: apportion::entity::NodeId,
    pub(super) key: SecretText,
}

/// Somebody who trains.
#[derive(Debug)]
pub(super) struct User {
    pub(super) id: UserId,
    pub(super) name: &'static str,
    /// What the trainings begin with is counted from here, so that no two learn the same.
    seed: u16,
}

/// A control plane with two users and two machines.
#[derive(Debug)]
pub(super) struct Cloud {
    pub(super) plane: Arc<ControlPlane>,
    pub(super) ada: User,
    pub(super) bob: User,
    pub(super) machines: Vec<Machine>,
    pub(super) address: String,
    pace: Pace,
}

impl Cloud {
    pub(super) async fn open(folder: &Path) -> Outcome<Self> {
        let store = RedbStore::open(folder.join("cloud.redb"), TABLES, Arc::new(SystemClock::new()))?;
        let policy = RunPolicy::default().backoff(Duration::from_millis(300), Duration::from_secs(1));
        let plane = Arc::new(ControlPlane::with(Arc::new(store), Options::default().runs(policy)));
        let (ada, bob) = (user(&plane, "Ada", 100).await?, user(&plane, "Bob", 200).await?);
        let mut machines = Vec::new();
        for name in ["rack-1", "rack-2"] {
            let mut node = NewNode::new(ada.id, name);
            (node.gpus, node.gpu_model) = (2, Some("Pretended 80GB".to_owned()));
            let node = plane.register_node(node).await?.id;
            let key = plane.create_api_key(ada.id, NewApiKey::agent(name, node)).await?.secret;
            machines.push(Machine { name, node, key });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let mut pace = Pace::default();
        pace.schedule = Duration::from_secs(1);
        pace.look = Duration::from_millis(150);
        pace.silence = Duration::from_secs(2);
        tokio::spawn(serve(Arc::clone(&plane), listener));
        tokio::spawn(look_after(Arc::clone(&plane), pace));
        Ok(Self { plane, ada, bob, machines, address, pace })
    }

    /// Begins to give out GPUs.
    pub(super) fn schedule(&self) {
        tokio::spawn(schedule(Arc::clone(&self.plane), Settings::new(QueuePolicy::FairShare), self.pace));
    }

    /// Makes a training and submits a run of it.
    pub(super) async fn submit(&self, user: &User, number: u16) -> Outcome<(String, Entry<TrainingRun>)> {
        let name = format!("{}-{number}", user.name.to_lowercase());
        let config = json!({ "seed": user.seed + number, "rank": 2 + number, "epochs": 20, "steps": 80, "pace_ms": PACE_MS });
        let training = NewTraining::new(user.id, &name, "sks").config(Json::new(&config)?);
        let training = self.plane.create_training(training).await?;
        Ok((name, self.plane.submit_run(NewRun::of(training.id)).await?))
    }

    pub(super) async fn runs(&self) -> Outcome<Vec<Entry<TrainingRun>>> {
        let every = TrainingRunFilter::default();
        Ok(self.plane.repositories().training_runs().list(every, PageRequest::default()).await?.entries)
    }

    /// The runs that train, of a user or of all.
    pub(super) async fn training(&self, owner: Option<UserId>) -> Outcome<Vec<Entry<TrainingRun>>> {
        let training = TrainingRunFilter {
            owner_id: owner,
            state: Some(RunState::Training),
            ..TrainingRunFilter::default()
        };
        Ok(self.plane.repositories().training_runs().list(training, PageRequest::default()).await?.entries)
    }

    pub(super) async fn leases(&self, state: BindingState) -> Outcome<Vec<Entry<GpuLease>>> {
        let leases = GpuLeaseFilter { state: Some(state), ..GpuLeaseFilter::default() };
        Ok(self.plane.repositories().gpu_leases().list(leases, PageRequest::default()).await?.entries)
    }

    /// What a run has told in its last attempt, in order.
    pub(super) async fn told(&self, run: &TrainingRun) -> Outcome<Vec<TrainingStatus>> {
        let told =
            self.plane.repositories().training_statuses().list(run.id, PageRequest::default()).await?.entries;
        let of_attempt =
            told.into_iter().map(|status| status.value).filter(|status| status.attempt == run.attempt);
        Ok(of_attempt.collect())
    }

    /// How many of its GPUs a machine has given out, of how many.
    pub(super) async fn held(&self, machine: &Machine) -> Outcome<(usize, usize)> {
        let of_node = GpuFilter { node_id: Some(machine.node), ..GpuFilter::default() };
        let gpus = self.plane.repositories().gpus().list(of_node, PageRequest::default()).await?.entries;
        Ok((gpus.iter().filter(|gpu| !gpu.used_milli.is_zero()).count(), gpus.len()))
    }

    pub(super) async fn all_heard(&self) -> Outcome<bool> {
        for machine in &self.machines {
            if self.plane.node_status(machine.node).await?.heard.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether two runs of a machine are far enough that it would be a pity.
    pub(super) async fn are_on_their_way(&self, machine: &Machine) -> Outcome<bool> {
        let mut on_their_way = 0;
        for lease in self.leases(BindingState::Bound).await? {
            if lease.node_id == Some(machine.node) {
                let run = self.plane.repositories().training_runs().require(lease.of_run).await?;
                on_their_way += usize::from(self.told(&run).await?.len() >= 8);
            }
        }
        Ok(on_their_way == 2)
    }

    /// Whether all runs have ended so.
    pub(super) async fn all_are(&self, state: RunState) -> Outcome<bool> {
        let runs = self.runs().await?;
        if let Some(run) = runs.iter().find(|run| run.state.is_terminal() && run.state != state) {
            let why = run.status_info.as_deref().unwrap_or_default();
            return Err(format!("the run {} is {}: {why}", run.id, run.state).into());
        }
        Ok(runs.iter().all(|run| run.state == state))
    }

    /// Refuses where anything is left of runs.
    pub(super) async fn is_back_to_zero(&self) -> Outcome<()> {
        let mut left = 0;
        for machine in &self.machines {
            left += self.held(machine).await?.0;
        }
        for state in [BindingState::Reserved, BindingState::Bound, BindingState::Releasing] {
            left += self.leases(state).await?.len();
        }
        let audit = self.plane.audit().await?;
        if left > 0 || !audit.is_clean() {
            return Err(format!("{left} things are left, and the audit found {:?}", audit.drifts).into());
        }
        Ok(())
    }
}

async fn user(plane: &ControlPlane, name: &'static str, seed: u16) -> Outcome<User> {
    let email = format!("{}@example.org", name.to_lowercase());
    let mut user = plane.create_user(NewUser::new(&email, name)).await?;
    // Whoever runs the demonstration answers for the address.
    user.value.activated = true;
    Ok(User { id: plane.repositories().users().update(user).await?.id, name, seed })
}
