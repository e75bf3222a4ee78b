//! The operations: [`ControlPlane`].
//!
//! Each operation reads rows, decides with a pure function, and commits one batch that guards everything the decision
//! read. A lost race is decided again, in one place, a bounded number of times.

mod accounts;
mod acting;
mod api_keys;
mod audit;
mod audit_chain;
#[cfg(feature = "conformance")]
pub mod checks;
mod commands;
mod connections;
mod decided;
mod delete;
mod ending;
mod engine;
mod explain;
mod follow;
mod grants;
mod images;
mod import;
mod launch;
mod launch_rows;
mod leases;
mod lifecycle;
mod login;
mod login_rows;
#[cfg(test)]
mod login_tests;
mod many;
mod moves;
mod node_deletion;
mod node_life;
mod nodes;
mod overrides;
mod place;
mod profile;
mod queues;
mod refusals;
mod rentals;
mod repair;
mod report;
mod request;
mod resize;
mod retry;
mod roles;
mod runs;
mod second_factor;
mod security;
mod session_ends;
mod sessions;
mod ssh_keys;
#[cfg(test)]
mod tests;
mod trainings;
mod usage;
mod users;
mod view;
mod within;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use accounts::{Confirmation, Message, NewAdministrator, SignUp, Standing, UserDeletion};
pub use acting::{Acting, Thing};
pub use api_keys::{ListedApiKey, MadeApiKey, NewApiKey};
pub use audit::{AuditReport, Drift};
pub use audit_chain::{Anchor, AuditFinding, AuditVerification, Sealed};
pub use commands::{CommandLease, CommandOutcome, NewCommand};
pub use connections::{LogInThrough, ProviderAccount};
pub use engine::{RunScheduler, Ticked};
pub use explain::{Explained, LaunchPlan, NearNode};
pub use grants::{Grant, Shared};
pub use images::{LoadedImage, NewImage, SaveImageRequest};
pub use import::{
    Imported, ImportedGpu, ImportedInstance, ImportedNode, ImportedPort, ImportedUser, NotImported,
};
pub use leases::{ClaimedRun, LeaseStanding, LeasedGpu, LeasesSwept, RunLease, Worker};
pub use login::{LogIn, LoggedIn};
pub use many::{Operation, Outcome};
pub use moves::{InstanceMove, MovePlan};
pub use node_deletion::NodeDeletion;
pub use node_life::{Heartbeat, NodeSession, NodeStatus, Swept};
pub use overrides::Abandoned;
pub use profile::Profile;
pub use queues::{NewQueue, QueueQuota, QueueTerms};
pub use rentals::{Asked, JanitorPass};
pub use repair::Repaired;
pub use report::Reconciled;
pub use request::{LaunchRequest, MAX_PORTS, NewNode, NewUser, PortKey, PortRequest};
pub use roles::NewRole;
pub use runs::{Advanced, Artifact, NewRun, NewStatus, RunPolicy, SweptRuns};
pub use second_factor::{Resealed, SecondFactor, TotpEnrolment};
pub use session_ends::OpenSession;
pub use trainings::{NewTraining, NewTrainingImage, TrainingEdit};
pub use usage::{Usage, UsagePages};

use uuid::Uuid;

use crate::entity::Repositories;
use crate::error::{Error, Result};
use crate::id::{IdSource, TimeOrderedIds};
use crate::identity::{
    ApiKeyPolicy, Caller, CodePolicy, ConnectionPolicy, Entropy, Guesses, IdentityOptions, KeyRing,
    LoginPolicy, PasswordHashing, SessionPolicy, SshKeyPolicy, TotpPolicy,
};
use crate::rent::RentalOptions;
use crate::sched::{Policy, TaskMix, Totals};
use crate::store::{Batch, Metrics, NoMetrics, Store};
use crate::time::SystemClock;
use crate::training::TrainingPolicy;
use follow::{Followed, Held};
use place::Planner;

/// The control plane of a GPU cloud, over a store.
///
/// Any number of them, in any number of processes, may work on one store: what one decides is guarded by its batch, so
/// no GPU or port has two owners and no limit is passed. Cheap to share behind an `Arc`; every method may be called at
/// the same time.
#[derive(Debug)]
pub struct ControlPlane {
    store: Arc<dyn Store>,
    ids: Arc<dyn IdSource>,
    entity_ids: Arc<dyn IdSource>,
    metrics: Arc<dyn Metrics>,
    repositories: Repositories,
    followed: Arc<Followed>,
    planner: Arc<Mutex<Planner>>,
    deadline: Option<Duration>,
    identity: Arc<Identity>,
    runs: RunPolicy,
    trainings: TrainingPolicy,
    /// On whose behalf it works.
    caller: Arc<Caller>,
    /// What was launched in the application's transaction, where this one works in one.
    unsettled: Option<Arc<Mutex<Held>>>,
    /// What was refused and is not yet in the audit trail.
    refusals: Arc<refusals::Refusals>,
    /// What the host decides about rented machines.
    rentals: Option<Arc<RentalOptions>>,
}

/// How a control plane decides.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// How a node is chosen among those that fit.
    pub policy: Policy,
    /// The seed of everything random in a choice: the same one makes the same choices.
    pub seed: u64,
    /// The typical demands, where they are known; otherwise they are learned.
    pub mix: Option<TaskMix>,
    /// Where ids come from; by default from the operating system's clock and randomness.
    pub ids: Option<Arc<dyn IdSource>>,
    /// Where the ids of entities come from, where not from `ids`. On a database that splits its tables by ranges of keys,
    /// ids that rise with time all go to the last range; [`RandomIds`](crate::id::RandomIds) go to all of them. The ids
    /// of batches stay those of `ids`, since what is known of a batch expires by the time in its id.
    pub entity_ids: Option<Arc<dyn IdSource>>,
    /// Where figures go.
    pub metrics: Option<Arc<dyn Metrics>>,
    /// How long a commit may take. One that has not begun by then did not happen; one that has is `Unknown`.
    pub deadline: Option<Duration>,
    /// What the host decides about identity.
    pub identity: IdentityOptions,
    /// How long each state of a training run may last, and when it is tried again.
    pub runs: RunPolicy,
    /// What the host decides about trainings.
    pub trainings: TrainingPolicy,
    /// What the host decides about rented machines; without it none is rented.
    pub rentals: Option<RentalOptions>,
}

impl Options {
    /// Says what the host decides about identity.
    pub fn identity(mut self, identity: IdentityOptions) -> Self {
        self.identity = identity;
        self
    }

    /// Says how long each state of a training run may last.
    pub fn runs(mut self, runs: RunPolicy) -> Self {
        self.runs = runs;
        self
    }

    /// Says what the host decides about trainings.
    pub fn trainings(mut self, trainings: TrainingPolicy) -> Self {
        self.trainings = trainings;
        self
    }

    /// Says what the host decides about rented machines.
    pub fn rentals(mut self, rentals: RentalOptions) -> Self {
        self.rentals = Some(rentals);
        self
    }

    /// Sets the policy.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Gives the typical demands.
    pub fn mix(mut self, mix: TaskMix) -> Self {
        self.mix = Some(mix);
        self
    }

    /// Gives the source of ids.
    pub fn ids(mut self, ids: Arc<dyn IdSource>) -> Self {
        self.ids = Some(ids);
        self
    }

    /// Gives another source of ids for entities.
    pub fn entity_ids(mut self, ids: Arc<dyn IdSource>) -> Self {
        self.entity_ids = Some(ids);
        self
    }

    /// Limits the time that a commit may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Gives the receiver of figures.
    pub fn metrics(mut self, metrics: Arc<dyn Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }
}

impl ControlPlane {
    /// A control plane over a store that was opened with [`TABLES`](crate::entity::TABLES).
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::with(store, Options::default())
    }

    /// A control plane that decides as `options` say.
    pub fn with(store: Arc<dyn Store>, options: Options) -> Self {
        let ids = options.ids.unwrap_or_else(|| Arc::new(TimeOrderedIds::new(Arc::new(SystemClock::new()))));
        Self {
            repositories: Repositories::new(Arc::clone(&store), Arc::clone(&ids)),
            followed: Arc::new(Followed::new(Arc::clone(&store), options.policy)),
            planner: Arc::new(Mutex::new(Planner::new(options.policy, options.seed, options.mix))),
            metrics: options.metrics.unwrap_or_else(|| Arc::new(NoMetrics)),
            deadline: options.deadline,
            identity: Arc::new(Identity::new(options.identity)),
            runs: options.runs,
            trainings: options.trainings,
            caller: Arc::new(Caller::system()),
            unsettled: None,
            refusals: Arc::default(),
            rentals: options.rentals.map(Arc::new),
            store,
            entity_ids: options.entity_ids.unwrap_or_else(|| Arc::clone(&ids)),
            ids,
        }
    }

    /// The repositories: reading, and everything that needs no decision.
    pub fn repositories(&self) -> &Repositories {
        &self.repositories
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The capacity of all nodes and what is allocated of it, as the planner sees it now.
    pub async fn capacity(&self) -> Result<Totals> {
        self.followed.refresh().await?;
        Ok(self.followed.with(|view| Ok(view.cluster.totals()))?)
    }

    /// A batch of this operation, with a new id and the deadline.
    fn batch(&self, operation: &'static str) -> Batch {
        let batch = Batch { deadline: self.deadline, ..Batch::new(self.ids.next_id(), operation) };
        batch.by(self.caller.actor())
    }

    /// A batch of this operation on behalf of the caller; of `owner` where the application itself asks.
    fn batch_for(&self, operation: &'static str, owner: Uuid) -> Batch {
        self.batch(operation).by(self.caller.actor().unwrap_or(owner))
    }

    /// The id of a new entity.
    fn new_id(&self) -> Uuid {
        self.entity_ids.next_id()
    }

    fn planner(&self) -> MutexGuard<'_, Planner> {
        // What a planner remembers is checked against the cluster each time it is used.
        self.planner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What identity works with.
#[derive(Debug)]
struct Identity {
    keys: Option<KeyRing>,
    entropy: Arc<dyn Entropy>,
    hashing: PasswordHashing,
    sessions: SessionPolicy,
    logins: LoginPolicy,
    totp: TotpPolicy,
    codes: CodePolicy,
    guesses: Guesses,
    api_keys: ApiKeyPolicy,
    ssh_keys: SshKeyPolicy,
    connections: ConnectionPolicy,
}

impl Identity {
    fn new(options: IdentityOptions) -> Self {
        let hashing = PasswordHashing::new(options.passwords.clone(), Arc::clone(&options.entropy));
        Self {
            guesses: Guesses::new(&*options.entropy, options.logins.remembered),
            keys: options.keys,
            entropy: options.entropy,
            hashing,
            sessions: options.sessions,
            logins: options.logins,
            totp: options.totp,
            codes: options.codes,
            api_keys: options.api_keys,
            ssh_keys: options.ssh_keys,
            connections: options.connections,
        }
    }

    /// The keys of the host, for what cannot be kept without.
    fn keys(&self) -> Result<&KeyRing> {
        self.keys.as_ref().ok_or_else(|| Error::invalid("identity.keys", "the host has given no key"))
    }
}
