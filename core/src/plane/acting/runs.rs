//! Runs of trainings on behalf of a caller. Whoever may not see a run is told that there is none.

use std::time::Duration;

use super::merged::{Place, Places};
use super::views::View;
use super::{Acting, Thing};
use crate::access::{Operation, Reach};
use crate::entity::{
    Entry, LEASE_NODES, LeaseId, ListPage, PageRequest, RunCause, RunId, TRAINING_RUNS, TrainingRun,
    TrainingRunFilter, TrainingStatus,
};
use crate::error::Result;
use crate::identity::Via;
use crate::plane::{
    Artifact, ClaimedRun, ControlPlane, LeaseStanding, NewRun, NewStatus, NodeSession, RunLease, Worker,
};
use crate::store::{Count, Scan, StoreExt as _, Test};

impl Acting {
    /// See [`ControlPlane::submit_run`](crate::ControlPlane::submit_run): of a training that the caller may see, in the default
    /// queue, or in one that is named where they may use it.
    pub async fn submit_run(&self, request: NewRun) -> Result<Entry<TrainingRun>> {
        let mut asked = vec![(Operation::SubmitRun, Thing::Training(request.training))];
        if request.queue.is_some() {
            asked.push((Operation::UseQueue, Thing::Cloud));
        }
        let request = &request;
        self.run_all(&asked, |plane| async move { plane.submit_run(request.clone()).await }).await
    }

    /// See [`ControlPlane::abort_run`](crate::ControlPlane::abort_run).
    pub async fn abort_run(&self, run: RunId, reason: &str) -> Result<Entry<TrainingRun>> {
        self.run(
            Operation::AbortRun,
            Thing::Run(run),
            |plane| async move { plane.abort_run(run, reason).await },
        )
        .await
    }

    /// A run.
    pub async fn training_run(&self, run: RunId) -> Result<Entry<TrainingRun>> {
        self.one(Operation::ReadRun, Thing::Run(run), run).await
    }

    /// What a run was told to be doing, in the order in which it was told.
    pub async fn list_statuses(&self, run: RunId, page: PageRequest) -> Result<ListPage<TrainingStatus>> {
        let page = &page;
        self.run(Operation::ReadRun, Thing::Run(run), |plane| async move {
            plane.repositories().training_statuses().list(run, page.clone()).await
        })
        .await
    }

    /// What a run was last told to be doing, where it was told anything. It costs the same however much that is, so it can be asked
    /// again and again.
    pub async fn last_status(&self, run: RunId) -> Result<Option<Entry<TrainingStatus>>> {
        self.run(Operation::ReadRun, Thing::Run(run), |plane| async move {
            plane.repositories().training_statuses().last(run).await
        })
        .await
    }

    /// The runs that the caller may see: their own, or all. In the order of ids.
    pub async fn list_runs(
        &self,
        filter: TrainingRunFilter,
        page: PageRequest,
    ) -> Result<ListPage<TrainingRun>> {
        self.list(self.runs_seen(filter).await?, page).await
    }

    /// How many those are.
    pub async fn count_runs(&self, filter: TrainingRunFilter) -> Result<Count> {
        self.count(self.runs_seen(filter).await?).await
    }

    /// The worker begins; see [`ControlPlane::begin_run`](crate::ControlPlane::begin_run). For the agent of a node that the lease is
    /// on, and who may do the work of any run.
    pub async fn begin_run(&self, lease: &RunLease) -> Result<Entry<TrainingRun>> {
        self.as_worker(lease, |plane| async move { plane.begin_run(lease).await }).await
    }

    /// The worker tells something; see [`ControlPlane::tell`](crate::ControlPlane::tell).
    pub async fn tell(&self, lease: &RunLease, message: NewStatus) -> Result<Entry<TrainingStatus>> {
        let message = &message;
        self.as_worker(lease, |plane| async move { plane.tell(lease, message.clone()).await }).await
    }

    /// The worker asks where to upload; see [`ControlPlane::uploading_run`](crate::ControlPlane::uploading_run).
    pub async fn uploading_run(&self, lease: &RunLease) -> Result<String> {
        self.as_worker(lease, |plane| async move { plane.uploading_run(lease).await }).await
    }

    /// The worker has uploaded; see [`ControlPlane::complete_run`](crate::ControlPlane::complete_run).
    pub async fn complete_run(&self, lease: &RunLease, artifact: &Artifact) -> Result<Entry<TrainingRun>> {
        self.as_worker(lease, |plane| async move { plane.complete_run(lease, artifact).await }).await
    }

    /// The worker has failed; see [`ControlPlane::fail_run`](crate::ControlPlane::fail_run).
    pub async fn fail_run(
        &self,
        lease: &RunLease,
        cause: RunCause,
        info: Option<&str>,
    ) -> Result<Entry<TrainingRun>> {
        self.as_worker(lease, |plane| async move { plane.fail_run(lease, cause, info).await }).await
    }

    /// The worker gives the run back; see [`ControlPlane::return_run`](crate::ControlPlane::return_run).
    pub async fn return_run(&self, lease: &RunLease, reason: &str) -> Result<Entry<TrainingRun>> {
        self.as_worker(lease, |plane| async move { plane.return_run(lease, reason).await }).await
    }

    /// The worker holds on to a lease; see [`ControlPlane::renew_lease`](crate::ControlPlane::renew_lease).
    pub async fn renew_lease(&self, shown: &RunLease, lease: Duration) -> Result<LeaseStanding> {
        self.as_worker(shown, |plane| async move { plane.renew_lease(shown, lease).await }).await
    }

    /// The worker says that nothing uses a lease any more; see [`ControlPlane::release_lease`](crate::ControlPlane::release_lease).
    pub async fn release_lease(&self, shown: &RunLease) -> Result<()> {
        self.as_worker(shown, |plane| async move { plane.release_lease(shown).await }).await
    }

    /// The agent of a node takes a lease that was given there, as the worker of this name; see
    /// [`ControlPlane::claim_run`](crate::ControlPlane::claim_run).
    pub async fn claim_run(
        &self,
        session: NodeSession,
        worker: &str,
        lease: Duration,
    ) -> Result<Option<ClaimedRun>> {
        self.run_as_agent("run.claim", |plane, node| async move {
            plane.claim_run(&Worker::new(worker).on(node, session), lease).await
        })
        .await
    }

    /// The agent of a node says which leases something still runs of there; see
    /// [`ControlPlane::report_leases`](crate::ControlPlane::report_leases).
    pub async fn report_leases(&self, session: NodeSession, running: &[LeaseId]) -> Result<usize> {
        self.run_as_agent("lease.report", |plane, node| async move {
            plane.report_leases(node, session, running).await
        })
        .await
    }

    /// Does what a worker says: the agent of a node that the lease is on, or who may do the work of any run.
    async fn as_worker<T, F>(
        &self,
        lease: &RunLease,
        act: impl Fn(ControlPlane) -> F + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        if !matches!(self.caller().via(), Via::NodeAgent { .. }) {
            return self.run(Operation::WorkOnRun, Thing::Run(lease.run), act).await;
        }
        let act = &act;
        self.run_as_agent(Operation::WorkOnRun.as_str(), |plane, node| async move {
            // Which nodes a lease is on never changes, so that what has happened can be said again.
            let on_node = Scan::of(&LEASE_NODES).with(lease.lease).test(Test::eq("of_node", node)).limit(1);
            if plane.store.scan(on_node).await?.value.rows.is_empty() {
                return Err(Thing::Run(lease.run).not_found());
            }
            act(plane).await
        })
        .await
    }

    async fn runs_seen(&self, filter: TrainingRunFilter) -> Result<View> {
        let (known, reach) = self.reach(Operation::ReadRun).await?;
        let tests = [
            filter.training_id.map(|training| Test::eq("of_training", training)),
            filter.owner_id.map(|owner| Test::eq("owner_id", owner)),
            filter.state.map(|state| Test::eq("state", state.as_str())),
        ];
        let tests = tests.into_iter().flatten().collect();
        let of = |index, value: uuid::Uuid| Place::Rows(Scan::of(&TRAINING_RUNS).by(index).with(value));
        let of_training = filter.training_id.map(|id| of("training_runs_of_training", id.uuid()));
        let (false, Some(user)) = (reach == Reach::Any, known.rights.user) else {
            let of_owner = filter.owner_id.map(|id| of("training_runs_owner", id.uuid()));
            return Ok(match of_training.or(of_owner) {
                Some(place) => View::Some(Places::of(&TRAINING_RUNS, vec![place], tests)),
                None => View::All(&TRAINING_RUNS, tests),
            });
        };
        let own = (reach == Reach::Own).then(|| of("training_runs_owner", user.uuid()));
        Ok(View::Some(Places::of(&TRAINING_RUNS, own.into_iter().collect(), tests)))
    }
}
