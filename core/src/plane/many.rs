//! Many operations at once, decided in the given order and committed together.

use rustc_hash::FxHashMap;

use super::delete::{DeleteRows, Deletion, delete_queries};
use super::follow::Held;
use super::launch::{Decision, launch_error};
use super::launch_rows::{LaunchRows, Tentative, launch_queries};
use super::nodes::fill;
use super::retry::lost_race;
use super::view::View;
use super::{ControlPlane, LaunchRequest};
use crate::entity::{DesiredState, Entry, INSTANCES, Instance, InstanceId, UserId};
use crate::error::{Error, Result};
use crate::store::{Answer, Batch, Query, Receipt, StoreError, Write};
use crate::time::Timestamp;

/// How many operations are decided before they are committed.
const MAX_WINDOW: usize = 1_024;

/// One of many operations.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// [`ControlPlane::launch`].
    Launch(Box<LaunchRequest>),
    /// [`ControlPlane::stop`].
    Stop(InstanceId),
    /// [`ControlPlane::start`].
    Start(InstanceId),
    /// [`ControlPlane::delete`].
    Delete(InstanceId),
}

/// What became of one of many operations: the instance as it is now, or why not.
pub type Outcome = Result<Entry<Instance>>;

/// An operation that was decided, with its place among the answers.
#[derive(Debug)]
struct Open {
    at: usize,
    operation: Operation,
    instance: Instance,
    revision: i64,
    /// Whether its batch carries writes of the application.
    accompanied: bool,
}

/// What an application adds to the batch of each operation.
type Also<'a> = dyn FnMut(usize, std::result::Result<&Instance, &Error>) -> Vec<Write> + Send + 'a;

/// What earlier decisions of a window do before they are committed.
#[derive(Debug)]
struct Window {
    held: Held,
    open: Vec<Open>,
    batches: Vec<Batch>,
    accounts: FxHashMap<UserId, Tentative>,
}

impl Window {
    /// The batch of a launch that was decided before in this window.
    fn launched(&self, id: InstanceId) -> Option<&Batch> {
        let launch = |open: &Open| open.instance.id == id && matches!(open.operation, Operation::Launch(_));
        self.batches.get(self.open.iter().position(launch)?)
    }
}

impl ControlPlane {
    /// Carries out many operations: decides them in the given order, each seeing those before it, and commits them in that
    /// order. The result is the same as doing one after the other, and what is durable is at any time a prefix.
    ///
    /// An operation that loses a race against another process is decided again, after the others.
    pub async fn apply_many(&self, operations: Vec<Operation>) -> Vec<Outcome> {
        self.apply_many_with(operations, |_, _| Vec::new()).await
    }

    /// Carries out many operations as [`ControlPlane::apply_many`] does, with writes of the application in the same
    /// batches: its own rows change exactly when the operation happens. So a worker that takes operations from a queue
    /// can keep in the store how far it has come, and repeats and loses nothing when it is killed.
    ///
    /// `also` is called once for each operation, in the given order, when it is decided: with its place among the
    /// operations, and the instance as it will be or why it is refused. What it answers goes into the operation's batch;
    /// it is dropped where the operation is refused or has nothing left to do.
    ///
    /// An operation with such writes that loses a race is answered `Conflict` instead of being decided again: by then
    /// the application may want to write something else. Let each of them test what the one before it wrote
    /// ([`Write::Patch`]); then none behind a lost one happens either, and what is durable stays a prefix. When the store
    /// cannot be read, `also` is not called, and no operation from there on is carried out.
    #[tracing::instrument(skip_all)]
    pub async fn apply_many_with(
        &self,
        operations: Vec<Operation>,
        mut also: impl FnMut(usize, std::result::Result<&Instance, &Error>) -> Vec<Write> + Send,
    ) -> Vec<Outcome> {
        let mut answers: Vec<Option<Outcome>> = Vec::new();
        answers.resize_with(operations.len(), || None);
        let mut rest: Vec<(usize, Operation)> = operations.into_iter().enumerate().collect();
        while !rest.is_empty() {
            let mut seen = FxHashMap::default();
            let waits = rest.iter().position(|(_, operation)| operation.must_wait(&mut seen));
            let end = waits.unwrap_or(rest.len()).min(MAX_WINDOW);
            let later = rest.split_off(end);
            let window = std::mem::replace(&mut rest, later);
            let places: Vec<usize> = window.iter().map(|(at, _)| *at).collect();
            if let Err(error) = self.apply_window(window, &mut answers, &mut also).await {
                let left = places.into_iter().chain(rest.iter().map(|(at, _)| *at));
                left.for_each(|at| fill(&mut answers, at, Err(error.clone().into())));
                break;
            }
        }
        answers.into_iter().flatten().collect()
    }

    /// Carries out operations none of which must wait for another; an error where nothing of them was begun.
    async fn apply_window(
        &self,
        operations: Vec<(usize, Operation)>,
        answers: &mut [Option<Outcome>],
        also: &mut Also<'_>,
    ) -> std::result::Result<(), StoreError> {
        let queries = operations.iter().flat_map(|(_, operation)| operation.queries()).collect();
        self.followed.refresh().await?;
        let reads = self.store.read(queries).await?;
        let held = Held::none(&self.followed);
        let mut window =
            Window { held, open: Vec::new(), batches: Vec::new(), accounts: FxHashMap::default() };
        let mut rows = reads.answers.into_iter();
        for (at, operation) in operations {
            let decided = self.decide_one(at, operation, &mut rows, reads.now, &mut window, also);
            if let Some(outcome) = decided {
                fill(answers, at, outcome);
            }
        }
        let receipts = self.store.commit_many(std::mem::take(&mut window.batches)).await;
        for (open, receipt) in window.open.into_iter().zip(receipts) {
            let at = open.at;
            match &receipt {
                Ok(_) => {
                    let launched = matches!(open.operation, Operation::Launch(_));
                    self.settled(&mut window.held, open.instance.id, launched);
                }
                Err(_) => window.held.give_back(open.instance.id.uuid())?,
            }
            let outcome = self.settle(open, receipt).await;
            fill(answers, at, outcome);
        }
        Ok(())
    }

    /// Decides one operation of a window; an answer where it needs no commit.
    fn decide_one(
        &self,
        at: usize,
        operation: Operation,
        rows: &mut impl Iterator<Item = Answer>,
        now: Timestamp,
        window: &mut Window,
        also: &mut Also<'_>,
    ) -> Option<Outcome> {
        let decided = match &operation {
            Operation::Launch(request) => {
                let answers = rows.by_ref().take(launch_queries(request).len()).collect();
                self.decide_launch_in(request, &LaunchRows::from_answers(request, answers), now, window)
            }
            Operation::Delete(id) => {
                let read = DeleteRows::from_answers(rows);
                match window.launched(*id) {
                    // What was read is older than the launch.
                    Some(batch) => DeleteRows::inserted_by(batch)
                        .map_err(Error::from)
                        .and_then(|rows| self.decide_delete_in(*id, &rows, now, window, true)),
                    None => self.decide_delete_in(*id, &read, now, window, false),
                }
            }
            Operation::Stop(id) => self.decide_turn_in(*id, DesiredState::Stopped, rows.next(), now),
            Operation::Start(id) => self.decide_turn_in(*id, DesiredState::Running, rows.next(), now),
        };
        let writes = also(at, decided.as_ref().map(|(entry, _)| &entry.value));
        match decided {
            Err(error) => Some(Err(error)),
            Ok((entry, None)) => Some(Ok(entry)),
            Ok((entry, Some(mut batch))) => {
                let accompanied = !writes.is_empty();
                batch.writes.extend(writes);
                window.batches.push(batch);
                window.open.push(Open {
                    at,
                    operation,
                    instance: entry.value,
                    revision: entry.revision,
                    accompanied,
                });
                None
            }
        }
    }

    fn decide_launch_in(
        &self,
        request: &LaunchRequest,
        rows: &LaunchRows,
        now: Timestamp,
        window: &mut Window,
    ) -> Result<(Entry<Instance>, Option<Batch>)> {
        self.observe(request);
        let id = request.id.unwrap_or_else(|| self.new_id().into());
        let account = window.accounts.entry(request.owner).or_default();
        match self.decide_launch(request, id, rows, *account, now, 0, &mut window.held)? {
            Decision::Done(entry) => Ok((*entry, None)),
            Decision::Commit(instance, batch) => {
                account.count(&instance, 1);
                Ok((Entry::new(*instance, 1), Some(batch)))
            }
        }
    }

    /// Decides a deletion; `fresh` says that the instance was launched in the same window.
    fn decide_delete_in(
        &self,
        id: InstanceId,
        rows: &DeleteRows,
        now: Timestamp,
        window: &mut Window,
        fresh: bool,
    ) -> Result<(Entry<Instance>, Option<Batch>)> {
        match self.decide_delete(id, rows, now)? {
            Deletion::Done(entry) => Ok((*entry, None)),
            Deletion::Commit { instance, revision, batch, frees } => {
                if frees {
                    // Decisions after this one may use what it gives back: their batches come after its.
                    let pending = rows.pending(instance.last_node_id.uuid())?;
                    let begin = |view: &mut View| {
                        if fresh { view.end(id.uuid()) } else { view.begin(id.uuid(), pending) }
                    };
                    window.held.hold(id.uuid());
                    self.followed.with(begin)?;
                    window.accounts.entry(instance.owner_id).or_default().count(&instance, -1);
                }
                Ok((Entry::new(*instance, revision), Some(batch)))
            }
        }
    }

    fn decide_turn_in(
        &self,
        id: InstanceId,
        goal: DesiredState,
        row: Option<Answer>,
        now: Timestamp,
    ) -> Result<(Entry<Instance>, Option<Batch>)> {
        let Some(Answer::Row(Some(row))) = row else {
            return Err(Error::not_found("instance", id));
        };
        let (instance, batch) = self.decide_turn(&row, goal, now)?;
        let raised = i64::from(batch.is_some());
        Ok((Entry::new(instance, row.revision() + raised), batch))
    }

    /// Answers a decided operation; one that lost a race is carried out on its own.
    async fn settle(&self, open: Open, receipt: std::result::Result<Receipt, StoreError>) -> Outcome {
        let Err(error) = receipt else {
            return Ok(Entry::new(open.instance, open.revision));
        };
        let lost = lost_race(&error);
        if open.accompanied && lost {
            return Err(Error::Conflict { what: "instance".to_owned() });
        }
        if !lost {
            return match open.operation {
                Operation::Launch(_) => Err(launch_error(error)),
                _ => Err(Error::of_store("instance", error)),
            };
        }
        match open.operation {
            Operation::Launch(request) => self.launch(request.id(open.instance.id)).await,
            Operation::Stop(id) => self.stop(id).await,
            Operation::Start(id) => self.start(id).await,
            Operation::Delete(id) => self.delete(id).await,
        }
    }
}

impl Operation {
    /// The instance that it is about, where the caller named it.
    fn instance(&self) -> Option<InstanceId> {
        match self {
            Self::Launch(request) => request.id,
            Self::Stop(id) | Self::Start(id) | Self::Delete(id) => Some(*id),
        }
    }

    /// Whether it needs rows that an operation of its window is about to change. `seen` are the instances of those before
    /// it, and whether the last one was a launch: all that a deletion needs of that is in its batch.
    fn must_wait(&self, seen: &mut FxHashMap<InstanceId, bool>) -> bool {
        let Some(id) = self.instance() else { return false };
        match seen.insert(id, matches!(self, Self::Launch(_))) {
            None => false,
            Some(launched) => !(launched && matches!(self, Self::Delete(_))),
        }
    }

    fn queries(&self) -> Vec<Query> {
        match self {
            Self::Launch(request) => launch_queries(request),
            Self::Delete(id) => delete_queries(*id),
            Self::Stop(id) | Self::Start(id) => vec![Query::Get { table: &INSTANCES, key: (*id).into() }],
        }
    }
}
