//! What takes runs on a machine and carries them out: [`Worker`].
//!
//! It may be killed at any moment. What it had begun ends with it or is ended by the next one, which then says so: only by that do the
//! GPUs come free.

mod attempt;
mod error;
mod kept;
mod program;
mod storage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use apportion::entity::LeaseId;
use apportion::plane::{ClaimedRun, NodeSession};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::control::{Refused, Remote};
use attempt::Attempt;
use kept::Kept;

pub use error::Error;
pub use kept::Record;
pub use storage::Storage;

/// How a worker works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// What it is called where somebody looks.
    pub name: String,
    /// The folder that is its alone: the runs that it carries out, and what it must know after it was killed.
    pub state: PathBuf,
    /// The folder that stands for the host's storage: what was trained is put there.
    pub storage: PathBuf,
    /// The program that trains, with its arguments.
    pub program: Vec<String>,
    /// How long it holds a run without renewing that; it renews after a quarter of it.
    pub lease: Duration,
    /// How long after one question what is to be done it asks the next.
    pub poll: Duration,
    /// How long a program that was asked to end may go on: at most a quarter of the lease.
    pub grace: Duration,
}

impl Settings {
    /// The usual settings of a worker of this name with these two folders.
    pub fn new(name: impl Into<String>, state: PathBuf, storage: PathBuf, program: Vec<String>) -> Self {
        Self {
            name: name.into(),
            state,
            storage,
            program,
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            grace: Duration::from_secs(10),
        }
    }
}

/// Carries out the runs that are given GPUs on a node, as the node's agent: as many at a time as there are.
#[derive(Debug)]
pub struct Worker {
    control: Arc<Remote>,
    settings: Arc<Settings>,
    kept: Kept,
}

/// The attempts that are being carried out.
#[derive(Default)]
struct Running {
    tasks: JoinSet<LeaseId>,
    /// By lease; whoever drops the sender asks the attempt to stop.
    stops: BTreeMap<LeaseId, tokio::sync::oneshot::Sender<()>>,
}

impl Worker {
    /// A worker that has not begun. Only one works in a folder at a time.
    pub fn open(control: Remote, mut settings: Settings) -> Result<Self, Error> {
        settings.grace = settings.grace.min(settings.lease / 4);
        let kept = Kept::open(&settings.state)?;
        Ok(Self { control: Arc::new(control), settings: Arc::new(settings), kept })
    }

    /// Works until `until` answers, or another worker has joined as the agent of the node. Whatever is being carried out then is
    /// stopped and given back, which is no failure of the run.
    pub async fn run(&self, until: impl Future<Output = ()>) -> Result<(), Error> {
        // First of all: what an earlier life has left runs on GPUs that may be given to others next.
        self.kept.end_all(self.settings.grace).await?;
        let mut running = Running::default();
        let ended = {
            let work = self.work(&mut running);
            tokio::select! { error = work => Err(error), () = until => Ok(()) }
        };
        running.stops.clear();
        while running.tasks.join_next().await.is_some() {}
        ended
    }

    async fn work(&self, running: &mut Running) -> Error {
        let session = loop {
            match self.join().await {
                Ok(session) => break session,
                Err(Refused::Unreachable { .. }) => tokio::time::sleep(self.settings.poll).await,
                Err(refused) => return refused.into(),
            }
        };
        loop {
            match self.turn(session, running).await {
                Ok(()) | Err(Refused::Unreachable { .. } | Refused::Over { .. }) => {}
                Err(refused) => return refused.into(),
            }
            let turn = tokio::time::sleep(self.settings.poll);
            tokio::select! {
                () = turn => {}
                Some(done) = running.tasks.join_next(), if !running.tasks.is_empty() => {
                    match done {
                        Ok(lease) => drop(running.stops.remove(&lease)),
                        Err(error) => return Error::Task { source: error },
                    }
                }
            }
        }
    }

    /// Joins, and says that nothing runs of what earlier lives have taken.
    async fn join(&self) -> Result<NodeSession, Refused> {
        let session = self.control.join().await?;
        let released = self.control.report(session, Vec::new()).await?;
        println!(
            "{} joined as life {}; {released} leases of earlier lives came free",
            self.name(),
            session.0
        );
        Ok(session)
    }

    /// Says that it lives and what runs, and takes what there is.
    async fn turn(&self, session: NodeSession, running: &mut Running) -> Result<(), Refused> {
        self.control.heartbeat(session).await?;
        // Also frees what was stopped while nobody could be told.
        self.control.report(session, running.stops.keys().copied().collect()).await?;
        loop {
            let asked = Instant::now();
            match self.control.claim(session, self.name(), self.settings.lease).await? {
                Some(claimed) => self.begin(claimed, asked, running),
                None => return Ok(()),
            }
        }
    }

    fn begin(&self, claimed: ClaimedRun, claimed_at: Instant, running: &mut Running) {
        let lease = claimed.lease.lease;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        running.stops.insert(lease, stop);
        let attempt = Attempt {
            control: Arc::clone(&self.control),
            renewals: self.control.another(),
            settings: Arc::clone(&self.settings),
            kept: self.kept.clone(),
            claimed,
            claimed_at,
        };
        running.tasks.spawn(async move {
            attempt.run(stopped).await;
            lease
        });
    }

    fn name(&self) -> &str {
        &self.settings.name
    }
}
