//! Callers that wait for a queue: order, deadlines, dropped futures, panics, closing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::{
    Batch, Column, Metrics, NewRow, NoMetrics, Prepared, Receipt, Schema, StoreError, Table, Write,
};
use apportion::time::{Clock, ManualClock, SystemClock, Timestamp};
use apportion_sql::{Baton, GroupCommit, Queue, QueueOptions};
use async_trait::async_trait;
use tokio::sync::Semaphore;
use uuid::Uuid;

static NOTES: Table = Table::new("notes", &[Column::uuid("id"), Column::text("text", 20)], &["id"]);

/// A committer whose groups end when the test lets them.
#[derive(Debug)]
struct Fake {
    /// One permit lets one group end.
    gate: Semaphore,
    groups: Mutex<Vec<Vec<Uuid>>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    refuse: Mutex<Vec<(Uuid, StoreError)>>,
    panics: Mutex<Vec<Uuid>>,
    /// Whether a group lets the next begin at once.
    passes: bool,
}

#[async_trait]
impl GroupCommit for Fake {
    async fn commit(&self, members: Vec<Prepared>, baton: Baton) -> Vec<Result<Receipt, StoreError>> {
        let mut baton = Some(baton);
        if self.passes {
            baton.take().unwrap().pass();
        }
        let at = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(at, Ordering::SeqCst);
        self.groups.lock().unwrap().push(members.iter().map(|member| member.id).collect());
        self.gate.acquire().await.unwrap().forget();
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let panics = self.panics.lock().unwrap().clone();
        assert!(!members.iter().any(|member| panics.contains(&member.id)), "told to");
        let refused = self.refuse.lock().unwrap();
        let answer = |member: &Prepared| match refused.iter().find(|(id, _)| *id == member.id) {
            Some((_, error)) => Err(error.clone()),
            None => Ok(Receipt::new(member.id, member.fingerprint, Timestamp::EPOCH, None)),
        };
        members.iter().map(answer).collect()
    }
}

impl Fake {
    fn new(permits: usize) -> Arc<Self> {
        Self::that(permits, false)
    }

    fn that(permits: usize, passes: bool) -> Arc<Self> {
        Arc::new(Self {
            passes,
            gate: Semaphore::new(permits),
            groups: Mutex::default(),
            under_way: AtomicUsize::default(),
            most_under_way: AtomicUsize::default(),
            refuse: Mutex::default(),
            panics: Mutex::default(),
        })
    }

    fn groups(&self) -> Vec<Vec<Uuid>> {
        self.groups.lock().unwrap().clone()
    }

    /// Waits until so many groups have begun.
    async fn begun(&self, groups: usize) {
        while self.groups().len() < groups {
            tokio::task::yield_now().await;
        }
    }
}

fn options() -> QueueOptions {
    QueueOptions::default()
}

fn start(fake: &Arc<Fake>, clock: Arc<dyn Clock>, options: QueueOptions) -> Arc<Queue> {
    let schema = Arc::new(Schema::new(&[&NOTES]).unwrap());
    let committer = Arc::clone(fake) as Arc<dyn GroupCommit>;
    Arc::new(Queue::start(schema, clock, Arc::new(NoMetrics), committer, options))
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn note() -> Batch {
    let ids = TimeOrderedIds::new(clock());
    let row = NewRow::new(&NOTES).set("id", ids.next_id()).set("text", "hello");
    Batch::new(ids.next_id(), "write").with(Write::Insert(row))
}

fn notes(count: usize) -> (Vec<Uuid>, Vec<Batch>) {
    let batches: Vec<_> = (0..count).map(|_| note()).collect();
    (batches.iter().map(|batch| batch.id).collect(), batches)
}

type Answers = Vec<Result<Receipt, StoreError>>;

fn call(queue: &Arc<Queue>, batches: Vec<Batch>) -> tokio::task::JoinHandle<Answers> {
    let queue = Arc::clone(queue);
    tokio::spawn(async move { queue.commit_many(batches).await })
}

/// Lets everything that can go on go on.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_longer_than_a_group_keeps_its_order_and_has_one_group_under_way() {
    for lanes in [1, 3] {
        let fake = Fake::new(100);
        let queue = start(&fake, clock(), QueueOptions { max_group: 3, lanes, ..options() });
        let (ids, batches) = notes(10);
        let answers = queue.commit_many(batches).await;
        let answered: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().batch).collect();
        assert_eq!(answered, ids);
        assert_eq!(fake.groups(), ids.chunks(3).map(<[_]>::to_vec).collect::<Vec<_>>());
        assert_eq!(fake.most_under_way.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn calls_that_wait_are_committed_together() {
    let fake = Fake::new(0);
    let queue = start(&fake, clock(), options());
    let first = call(&queue, vec![note()]);
    fake.begun(1).await;
    let waiting: Vec<_> = (0..20).map(|_| call(&queue, vec![note(), note()])).collect();
    settle().await;
    assert_eq!(fake.groups().len(), 1, "a second group began in a lane that is taken");
    fake.gate.add_permits(2);
    first.await.unwrap()[0].as_ref().unwrap();
    for caller in waiting {
        assert!(caller.await.unwrap().iter().all(Result::is_ok));
    }
    assert_eq!(fake.groups().iter().map(Vec::len).collect::<Vec<_>>(), [1, 40]);
}

#[tokio::test]
async fn calls_fly_side_by_side_where_there_are_lanes() {
    let fake = Fake::new(0);
    let queue = start(&fake, clock(), QueueOptions { max_group: 2, lanes: 2, ..options() });
    let (ids, batches) = notes(4);
    let long = call(&queue, batches);
    fake.begun(1).await;
    let (others, batches) = notes(3);
    let other = call(&queue, batches);
    fake.begun(2).await;
    settle().await;
    // The rest of the first call waits for its beginning; another call goes past it.
    assert_eq!(fake.groups()[0], ids[..2]);
    assert_eq!(fake.groups()[1], others[..2]);
    assert_eq!(fake.groups().len(), 2);
    fake.gate.add_permits(10);
    assert!(long.await.unwrap().iter().all(Result::is_ok));
    assert!(other.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(fake.most_under_way.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn groups_of_many_callers_overlap_where_they_let_the_next_begin() {
    // With fewer callers all of them share a commit.
    for (callers, passes, groups, at_once) in
        [(64, true, vec![1, 33, 31], 2), (64, false, vec![1, 64], 1), (20, true, vec![1, 20], 1)]
    {
        let fake = Fake::that(0, passes);
        let queue = start(&fake, clock(), options());
        let opening = call(&queue, vec![note()]);
        fake.begun(1).await;
        let all: Vec<_> = (0..callers).map(|_| call(&queue, vec![note()])).collect();
        settle().await;
        assert_eq!(fake.groups().len(), 1, "how many there are is not known yet");
        fake.gate.add_permits(1);
        opening.await.unwrap()[0].as_ref().unwrap();
        fake.begun(groups.len()).await;
        settle().await;
        assert_eq!(fake.groups().iter().map(Vec::len).collect::<Vec<_>>(), groups);
        assert_eq!(fake.most_under_way.load(Ordering::SeqCst), at_once);
        fake.gate.add_permits(10);
        for caller in all {
            assert!(caller.await.unwrap().iter().all(Result::is_ok));
        }
    }
}

#[tokio::test]
async fn callers_that_come_back_together_are_waited_for() {
    /// A clock by which every look takes 40 ms, so that every group was slow.
    #[derive(Debug, Default)]
    struct Slow(AtomicUsize);

    impl Clock for Slow {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(40) * u32::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap()
        }
    }

    let fake = Fake::new(0);
    let queue = start(&fake, Arc::new(Slow::default()), options());
    let opening = call(&queue, vec![note()]);
    fake.begun(1).await;
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for _ in 0..5 {
                    queue.commit_many(vec![note()]).await[0].as_ref().unwrap();
                    // Each has something else to do before it comes back, some more than others.
                    for _ in 0..caller {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    settle().await;
    fake.gate.add_permits(1000);
    opening.await.unwrap()[0].as_ref().unwrap();
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(fake.groups().iter().map(Vec::len).collect::<Vec<_>>(), [1, 8, 8, 8, 8, 8]);
}

#[tokio::test]
async fn a_deadline_in_the_queue_withdraws_and_one_under_way_is_unknown() {
    let fake = Fake::new(0);
    let (manual, ms) = (Arc::new(ManualClock::new(Timestamp::EPOCH)), Duration::from_millis(1));
    let queue = start(&fake, manual.clone(), options());
    let first = note().deadline(60 * ms);
    let under_way = first.id;
    let running = call(&queue, vec![first]);
    fake.begun(1).await;
    let second = note().deadline(20 * ms);
    let withdrawn = second.id;
    let late = call(&queue, vec![second]);
    settle().await;
    manual.advance(20 * ms);
    let late = late.await.unwrap();
    assert!(matches!(late[0], Err(StoreError::DeadlineExceeded { waited }) if waited == 20 * ms), "{late:?}");
    manual.advance(40 * ms);
    let running = running.await.unwrap();
    assert!(matches!(running[0], Err(StoreError::Unknown { id }) if id == under_way), "{running:?}");
    fake.gate.add_permits(10);
    queue.commit_many(vec![note()]).await[0].as_ref().unwrap();
    assert!(!fake.groups().concat().contains(&withdrawn));
}

#[tokio::test]
async fn a_deadline_is_measured_by_the_injected_clock() {
    let fake = Fake::new(0);
    let manual = Arc::new(ManualClock::new(Timestamp::EPOCH));
    let queue = start(&fake, manual.clone(), options());
    let running = call(&queue, vec![note()]);
    fake.begun(1).await;
    let (ids, batches) = notes(3);
    let mut batches = batches.into_iter();
    let hour = Duration::from_hours(1);
    let waiting = call(
        &queue,
        vec![
            batches.next().unwrap(),
            batches.next().unwrap().deadline(hour),
            batches.next().unwrap().deadline(2 * hour),
        ],
    );
    settle().await;
    manual.advance(hour);
    fake.gate.add_permits(2);
    running.await.unwrap()[0].as_ref().unwrap();
    let answers = waiting.await.unwrap();
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(
        matches!(answers[1], Err(StoreError::DeadlineExceeded { waited }) if waited == hour),
        "{answers:?}"
    );
    assert_eq!(fake.groups()[1], [ids[0], ids[2]]);
}

#[tokio::test]
async fn a_full_queue_lets_callers_wait_until_their_deadline() {
    let fake = Fake::new(0);
    let queue = start(&fake, clock(), QueueOptions { max_group: 1, queue: 1, ..options() });
    let patient: Vec<_> = (0..6).map(|_| call(&queue, vec![note()])).collect();
    fake.begun(1).await;
    settle().await;
    let hasty = note().deadline(Duration::from_millis(20));
    let id = hasty.id;
    let answers = queue.commit_many(vec![hasty]).await;
    assert!(matches!(answers[0], Err(StoreError::DeadlineExceeded { .. })), "{answers:?}");
    fake.gate.add_permits(10);
    for caller in patient {
        caller.await.unwrap()[0].as_ref().unwrap();
    }
    assert!(!fake.groups().concat().contains(&id));
}

#[tokio::test]
async fn a_dropped_caller_takes_nothing_back_and_holds_nobody_up() {
    let fake = Fake::new(0);
    let queue = start(&fake, clock(), options());
    let running = call(&queue, vec![note()]);
    fake.begun(1).await;
    let (ids, batches) = notes(2);
    let dropped = call(&queue, batches);
    settle().await;
    running.abort();
    dropped.abort();
    fake.gate.add_permits(10);
    queue.commit_many(vec![note()]).await[0].as_ref().unwrap();
    assert_eq!(fake.groups().concat()[1..3], ids);
}

#[tokio::test]
async fn a_panic_leaves_its_group_unknown_and_the_queue_at_work() {
    let fake = Fake::new(100);
    let queue = start(&fake, clock(), QueueOptions { max_group: 2, ..options() });
    let (ids, batches) = notes(5);
    fake.panics.lock().unwrap().push(ids[1]);
    let answers = queue.commit_many(batches).await;
    for (answer, batch) in answers[..2].iter().zip(&ids) {
        assert!(matches!(answer, Err(StoreError::Unknown { id }) if id == batch), "{answers:?}");
    }
    // What is durable is a prefix: those behind it are not tried.
    assert!(
        answers[2..].iter().all(|answer| matches!(answer, Err(StoreError::Unavailable { .. }))),
        "{answers:?}"
    );
    assert_eq!(fake.groups(), [ids[..2].to_vec()]);
    queue.commit_many(vec![note()]).await[0].as_ref().unwrap();
}

#[tokio::test]
async fn what_comes_behind_an_uncertain_batch_of_the_same_call_is_not_tried() {
    let unavailable = || StoreError::Unavailable { reason: "gone".into(), source: None };
    for error in [unavailable(), StoreError::Unknown { id: Uuid::nil() }] {
        let fake = Fake::new(100);
        let queue = start(&fake, clock(), QueueOptions { max_group: 1, ..options() });
        let (ids, batches) = notes(3);
        fake.refuse.lock().unwrap().push((ids[1], error));
        let answers = queue.commit_many(batches).await;
        assert!(answers[0].is_ok(), "{answers:?}");
        assert!(matches!(answers[2], Err(StoreError::Unavailable { .. })), "{answers:?}");
        assert_eq!(fake.groups().concat(), ids[..2]);
    }
    // One that is refused disturbs nobody.
    let fake = Fake::new(100);
    let queue = start(&fake, clock(), QueueOptions { max_group: 1, ..options() });
    let (ids, batches) = notes(3);
    fake.refuse.lock().unwrap().push((ids[1], StoreError::invalid("a", "b")));
    let answers = queue.commit_many(batches).await;
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok(), "{answers:?}");
}

#[tokio::test]
async fn closing_answers_what_was_accepted_and_refuses_the_rest() {
    let fake = Fake::new(0);
    let queue = start(&fake, clock(), QueueOptions { max_group: 4, ..options() });
    let accepted: Vec<_> = (0..20).map(|_| call(&queue, vec![note()])).collect();
    fake.begun(1).await;
    settle().await;
    let closing = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.close().await }
    });
    settle().await;
    assert!(queue.is_closing() && !closing.is_finished());
    let refused = queue.commit_many(vec![note(), note()]).await;
    assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::Closed))), "{refused:?}");
    fake.gate.add_permits(100);
    closing.await.unwrap();
    for caller in accepted {
        caller.await.unwrap()[0].as_ref().unwrap();
    }
    assert_eq!(fake.groups().concat().len(), 20);
    queue.close().await;
}

#[tokio::test]
async fn a_queue_that_is_dropped_commits_what_it_accepted_and_lets_go_of_its_committer() {
    let fake = Fake::new(0);
    let queue = start(&fake, clock(), QueueOptions { max_group: 1, ..options() });
    let (ids, batches) = notes(3);
    let caller = call(&queue, batches);
    fake.begun(1).await;
    settle().await;
    caller.abort();
    drop(caller.await);
    assert_eq!(Arc::strong_count(&queue), 1);
    drop(queue);
    fake.gate.add_permits(10);
    while Arc::strong_count(&fake) > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.groups().concat(), ids);
}

#[test]
fn callers_of_a_runtime_that_is_gone_are_told() {
    let fake = Fake::new(0);
    let make = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (runtime, other) = (make(), make());
    let queue = runtime.block_on(async { start(&fake, clock(), QueueOptions { max_group: 1, ..options() }) });
    let (ids, batches) = notes(2);
    let _entered = other.enter();
    let caller = call(&queue, batches);
    other.block_on(fake.begun(1));
    runtime.shutdown_background();
    let answers = other.block_on(caller).unwrap();
    assert!(matches!(answers[0], Err(StoreError::Unknown { id }) if id == ids[0]), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Unavailable { .. })), "{answers:?}");
    let late = other.block_on(queue.commit_many(vec![note()]));
    assert!(matches!(late[0], Err(StoreError::Unavailable { .. })), "{late:?}");
}

/// What a queue reported.
#[derive(Debug, Default)]
struct Heard {
    depths: Mutex<Vec<usize>>,
    groups: Mutex<Vec<(usize, usize)>>,
}

impl Metrics for Heard {
    fn queue_depth(&self, batches: usize) {
        self.depths.lock().unwrap().push(batches);
    }

    fn group(&self, batches: usize, accepted: usize, _: Duration) {
        self.groups.lock().unwrap().push((batches, accepted));
    }
}

#[tokio::test]
async fn a_queue_reports_its_depth_and_its_groups() {
    let (fake, heard) = (Fake::new(100), Arc::new(Heard::default()));
    let schema = Arc::new(Schema::new(&[&NOTES]).unwrap());
    let committer = Arc::clone(&fake) as Arc<dyn GroupCommit>;
    let queue = Queue::start(schema, clock(), heard.clone(), committer, options());
    let (ids, batches) = notes(3);
    fake.refuse.lock().unwrap().push((ids[1], StoreError::invalid("a", "b")));
    queue.commit_many(batches).await;
    queue.commit_many(vec![note()]).await;
    assert_eq!(*heard.depths.lock().unwrap(), [3, 1]);
    assert_eq!(*heard.groups.lock().unwrap(), [(3, 2), (1, 1)]);
}
