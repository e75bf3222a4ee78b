//! Callers whose look-ups are answered together: [`Gather`].

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apportion::store::{Query, Reads, StoreError};
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// How many look-ups go into one statement.
const MAX_QUERIES: usize = 1024;

/// How often a lane lets other tasks run before it takes what waits.
const YIELDS: usize = 16;

/// How long a statement takes before what waits is no longer left to it.
const PATIENCE: Duration = Duration::from_millis(5);

/// Answers queries: what a backend does with what was gathered.
#[async_trait]
pub trait Answering: Send + Sync {
    /// Answers queries from one state that is no older than the call.
    async fn answer(&self, queries: Vec<Query>) -> Result<Reads, StoreError>;
}

/// Answers calls that look rows up by their keys, those that wait in one round trip.
///
/// A look-up costs little but its round trip, and hundreds of callers have hundreds of them. So a call that comes while
/// a statement is under way waits for the next, together with whatever else waits; one that comes alone is asked at once.
/// A statement that takes long is not waited for, while no more than so many are under way. Calls with scans are never
/// put together: a short one would wait for a long one.
pub struct Gather {
    answering: Arc<dyn Answering>,
    runtime: Handle,
    lanes: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    calls: Vec<Call>,
    /// How many statements are under way.
    lanes: usize,
}

/// A call that waits for its answer.
struct Call {
    queries: Vec<Query>,
    answer: oneshot::Sender<Result<Reads, StoreError>>,
}

impl fmt::Debug for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

impl Gather {
    /// Gathers calls while a statement is under way, and has at most so many `lanes` of them at once.
    ///
    /// # Panics
    /// Outside a tokio runtime. Its timer must be enabled.
    pub fn new(answering: Arc<dyn Answering>, lanes: usize) -> Arc<Self> {
        let (runtime, waiting) = (Handle::current(), Mutex::default());
        Arc::new(Self { answering, runtime, lanes: lanes.max(1), waiting })
    }

    /// Answers a call.
    pub async fn read(self: &Arc<Self>, queries: Vec<Query>) -> Result<Reads, StoreError> {
        let only_keys = queries.iter().all(|query| matches!(query, Query::Get { .. }));
        if !only_keys || queries.len() > MAX_QUERIES {
            return self.answering.answer(queries).await;
        }
        let (answer, answered) = oneshot::channel();
        let may_begin = {
            let mut waiting = self.lock();
            waiting.calls.push(Call { queries, answer });
            let free = waiting.lanes == 0;
            waiting.lanes += usize::from(free);
            free
        };
        if may_begin {
            Lane::begin(self);
        }
        let lost = || Err(StoreError::Unavailable { reason: "a read ended unanswered".into(), source: None });
        answered.await.unwrap_or_else(|_| lost())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // What waits is changed in one step.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls that go into the next statement; where there are none, the lane that asks ends.
    fn next(&self) -> Vec<Call> {
        let mut waiting = self.lock();
        // In one step with the look at what waits: whoever comes after this begins a lane.
        waiting.lanes -= usize::from(waiting.calls.is_empty());
        let mut queries = 0;
        let fits = |call: &&Call| {
            queries += call.queries.len();
            queries <= MAX_QUERIES
        };
        let count = waiting.calls.iter().take_while(fits).count();
        waiting.calls.drain(..count).collect()
    }

    /// Begins another lane for what waits, where there may be one more.
    fn help(self: &Arc<Self>) {
        let may_begin = {
            let mut waiting = self.lock();
            let needed = !waiting.calls.is_empty() && waiting.lanes < self.lanes;
            waiting.lanes += usize::from(needed);
            needed
        };
        if may_begin {
            Lane::begin(self);
        }
    }

    /// Answers some calls together.
    async fn together(&self, mut calls: Vec<Call>) {
        // Nobody waits for the answer of a caller that has gone away.
        calls.retain(|call| !call.answer.is_closed());
        if calls.is_empty() {
            return;
        }
        let all = calls.iter().flat_map(|call| call.queries.iter().cloned()).collect();
        match (self.answering.answer(all).await, calls.len()) {
            (Ok(reads), _) => {
                let mut answers = reads.answers.into_iter();
                for call in calls {
                    let mine = answers.by_ref().take(call.queries.len()).collect();
                    drop(call.answer.send(Ok(Reads::new(reads.now, mine))));
                }
            }
            (Err(error), 1) | (Err(error @ StoreError::Unavailable { .. }), _) => {
                for call in calls {
                    drop(call.answer.send(Err(error.clone())));
                }
            }
            // One of them asked for what cannot be answered. The others are not to hear of it.
            (Err(_), _) => {
                for call in calls {
                    let answer = self.answering.answer(call.queries).await;
                    drop(call.answer.send(answer));
                }
            }
        }
    }
}

/// The right to have a statement under way; taken before it begins.
struct Lane {
    gather: Arc<Gather>,
    ended: bool,
}

impl Lane {
    /// Works in a task of its own: others wait for it when the caller that began it has gone away.
    fn begin(gather: &Arc<Gather>) {
        let lane = Self { gather: Arc::clone(gather), ended: false };
        gather.runtime.spawn(async move { lane.run().await });
    }

    async fn run(mut self) {
        loop {
            // Callers that are woken together ask one by one.
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
            let calls = self.gather.next();
            if calls.is_empty() {
                self.ended = true;
                return;
            }
            let mut answering = pin!(self.gather.together(calls));
            while timeout(PATIENCE, answering.as_mut()).await.is_err() {
                self.gather.help();
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // A panic ended it, or the runtime is going down, in which nothing more can be begun. Who waits is told.
        let mut waiting = self.gather.lock();
        waiting.lanes -= 1;
        waiting.calls.clear();
    }
}
