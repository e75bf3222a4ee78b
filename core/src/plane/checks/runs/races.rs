//! What is promised where something happens between what an operation has read and what it commits.

use std::sync::Arc;

use super::agents::taken_on;
use super::worker::{SHA256, statuses};
use super::{DAY, HOUR, Lab, wrong_state};
use crate::ControlPlane;
use crate::entity::{
    AccessState, BindingState, Limits, RunCause, RunState, TRAINING_RUNS, TrainingImageState, USER_ACCESS,
};
use crate::error::Error;
use crate::plane::checks::World;
use crate::plane::checks::cut::Cut;
use crate::plane::{Artifact, NewStatus, RunLease, RunPolicy, TrainingEdit};
use crate::store::{StoreExt as _, Write};

pub(super) async fn check_races(world: &World) {
    what_a_worker_says_behind_the_end_of_its_lease_is_refused(world).await;
    what_ends_behind_the_word_of_the_worker_is_decided_again(world).await;
    what_ends_between_two_looks_is_no_error_of_who_looks(world).await;
    a_run_is_a_copy_of_what_is_there_when_it_is_submitted(world).await;
    a_run_is_not_submitted_by_who_is_suspended_meanwhile(world).await;
    images_and_runs_never_miss_each_other(world).await;
}

impl World {
    /// A control plane in which this happens before its first commit.
    pub(super) fn behind<F, D>(&self, done: D) -> ControlPlane
    where
        D: FnOnce(Arc<ControlPlane>) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let first = done(Arc::clone(&self.cloud));
        self.over(Arc::new(Cut::after(&self.cloud.store, usize::MAX).raced_by(first)))
    }
}

/// What a worker says.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Word {
    Begin,
    Tell,
    Upload,
    Complete,
    Fail,
    Return,
}

impl Word {
    const ALL: [Self; 6] = [Self::Begin, Self::Tell, Self::Upload, Self::Complete, Self::Fail, Self::Return];

    async fn say(self, cloud: &ControlPlane, lease: RunLease) -> Result<(), Error> {
        match self {
            Self::Begin => cloud.begin_run(&lease).await.map(drop),
            Self::Tell => cloud.tell(&lease, NewStatus::of("training")).await.map(drop),
            Self::Upload => cloud.uploading_run(&lease).await.map(drop),
            Self::Complete => {
                let key = format!("runs/{}/{}/artifact", lease.run, lease.attempt);
                cloud.complete_run(&lease, &Artifact::new(key, 7, SHA256)).await.map(drop)
            }
            Self::Fail => cloud.fail_run(&lease, RunCause::Crashed, None).await.map(drop),
            Self::Return => cloud.return_run(&lease, "it is to stop").await.map(drop),
        }
    }

    /// A run to whose worker this is the next thing to say.
    async fn next_of(self, world: &World) -> RunLease {
        let lease = Lab::new(world).await.held(world).await;
        let before: &[Self] = match self {
            Self::Begin => &[],
            Self::Tell | Self::Upload | Self::Fail | Self::Return => &[Self::Begin],
            Self::Complete => &[Self::Begin, Self::Upload],
        };
        for word in before {
            word.say(&world.cloud, lease).await.unwrap();
        }
        lease
    }
}

/// What takes a run from its worker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Taker {
    Abort,
    Expiry,
    Abandon,
}

impl Taker {
    const ALL: [Self; 3] = [Self::Abort, Self::Expiry, Self::Abandon];

    async fn take(self, cloud: &ControlPlane, lease: RunLease) {
        match self {
            Self::Abort => drop(cloud.abort_run(lease.run, "enough").await.unwrap()),
            Self::Expiry => assert_eq!(cloud.sweep_leases().await.unwrap().expired, 1),
            Self::Abandon => cloud.abandon_lease(lease.lease, "the rack is gone").await.unwrap(),
        }
    }
}

async fn what_a_worker_says_behind_the_end_of_its_lease_is_refused(world: &World) {
    // Whatever earlier checks have left is not renewed, and would be counted.
    world.clock.advance(HOUR);
    world.cloud.sweep_leases().await.unwrap();
    for word in Word::ALL {
        for taker in Taker::ALL {
            let lease = word.next_of(world).await;
            let clock = Arc::clone(&world.clock);
            let cloud = world.behind(|cloud| async move {
                if taker == Taker::Expiry {
                    clock.advance(HOUR);
                }
                taker.take(&cloud, lease).await;
            });
            let answer = word.say(&cloud, lease).await;
            assert!(matches!(answer, Err(Error::WrongState { .. })), "{word:?} behind {taker:?}: {answer:?}");
            let run = world.run(lease.run).await;
            let expected = match taker {
                Taker::Abort => (RunState::Aborted, Some(RunCause::Requested), 0),
                Taker::Expiry | Taker::Abandon => (RunState::Queued, Some(RunCause::WorkerLost), 1),
            };
            assert_eq!((run.state, run.cause, run.failures), expected, "{word:?} behind {taker:?}");
            assert_eq!(statuses(world, lease.run).await, []);
            let held = world.lease(lease.lease).await.state;
            let released =
                if taker == Taker::Abandon { BindingState::Released } else { BindingState::Releasing };
            assert_eq!(held, released, "{word:?} behind {taker:?}");
        }
    }
}

async fn what_ends_behind_the_word_of_the_worker_is_decided_again(world: &World) {
    for word in Word::ALL {
        let lease = word.next_of(world).await;
        let cloud = world.behind(|cloud| async move { word.say(&cloud, lease).await.unwrap() });
        let aborted = cloud.abort_run(lease.run, "enough").await;
        let run = world.run(lease.run).await;
        if word == Word::Complete {
            wrong_state(aborted);
            assert_eq!((run.state, run.artifact_bytes), (RunState::Completed, Some(7)));
        } else {
            assert_eq!(aborted.unwrap(), run);
            assert_eq!((run.state, run.cause), (RunState::Aborted, Some(RunCause::Requested)));
        }
        let expected = if matches!(word, Word::Complete | Word::Fail | Word::Return) {
            BindingState::Released
        } else {
            BindingState::Releasing
        };
        assert_eq!(world.lease(lease.lease).await.state, expected, "{word:?}");
        world.pins_nothing(lease.run).await;
    }
    // A sweep that sees a run that is late, and behind whose back it goes on, leaves it alone.
    for word in [Word::Begin, Word::Tell, Word::Complete] {
        world.cloud.sweep_runs().await.unwrap();
        let lease = word.next_of(world).await;
        let policy = RunPolicy::default();
        for limit in [policy.silence, policy.silence, policy.silence, policy.silence] {
            world.clock.advance(limit);
            world.cloud.renew_lease(&lease, HOUR).await.unwrap();
        }
        let cloud = world.behind(|cloud| async move { word.say(&cloud, lease).await.unwrap() });
        let swept = cloud.sweep_runs().await.unwrap();
        assert_eq!((swept.runs, swept.requeued, swept.ended), (1, 0, 0), "{word:?}: {swept:?}");
        let run = world.run(lease.run).await;
        assert_eq!(run.failures, 0, "{word:?}");
        if !run.state.is_terminal() {
            world.cloud.abort_run(lease.run, "").await.unwrap();
        }
    }
}

/// A lease is read first, then its run: what ends the run between the two is met by whoever takes the lease away, or gives it back.
async fn what_ends_between_two_looks_is_no_error_of_who_looks(world: &World) {
    for looks in ["sweep", "abandon", "report"] {
        let lab = Lab::new(world).await;
        let node = world.node(lab.owner).await;
        let lease = taken_on(world, &lab, node).await;
        let cloud = Arc::clone(&world.cloud);
        let ends = async move { drop(cloud.abort_run(lease.run, "enough").await.unwrap()) };
        let cut = Cut::after(&world.cloud.store, usize::MAX).raced_before(&TRAINING_RUNS, ends);
        let cloud = world.over(Arc::new(cut));
        match looks {
            "sweep" => {
                world.clock.advance(HOUR);
                assert_eq!(cloud.sweep_leases().await.unwrap().expired, 0);
            }
            "abandon" => cloud.abandon_lease(lease.lease, "the rack is gone").await.unwrap(),
            _ => {
                let session = world.cloud.join_node(node).await.unwrap();
                assert_eq!(cloud.report_leases(node, session, &[]).await.unwrap(), 1);
            }
        }
        let ended = world.run(lease.run).await;
        let why = (ended.state, ended.cause);
        assert_eq!(why, (RunState::Aborted, Some(RunCause::Requested)), "{looks}");
        let held = if looks == "sweep" { BindingState::Releasing } else { BindingState::Released };
        assert_eq!(world.lease(lease.lease).await.state, held, "{looks}");
    }
}

async fn a_run_is_a_copy_of_what_is_there_when_it_is_submitted(world: &World) {
    // An edit of the training.
    let lab = Lab::new(world).await;
    let training = lab.training;
    let cloud = world.behind(|cloud| async move {
        let edit = TrainingEdit::new().trigger_word("edited");
        cloud.edit_training(training, 1, edit).await.unwrap();
    });
    assert_eq!(cloud.submit_run(lab.ask()).await.unwrap().trigger_word, "edited");
    // An image that is resized, and one that is deleted.
    let lab = Lab::new(world).await;
    let images = lab.images(world, 3, TrainingImageState::Uploaded).await;
    let cloud = world.behind(|cloud| async move {
        cloud.resize_image(images[0]).await.unwrap();
        cloud.delete_training_image(images[1]).await.unwrap();
    });
    let run = cloud.submit_run(lab.ask()).await.unwrap();
    assert_eq!(run.images_left, 1, "one is resized, and one is gone");
    assert_eq!(world.copies(run.id).await.len(), 2);
    // The same request, with room for one run, and another one.
    let lab = Lab::new(world).await;
    world.cloud.set_limits(lab.owner, Limits::default().runs(1)).await.unwrap();
    let ask = lab.ask().id(world.id().into());
    let same = ask.clone();
    let cloud = world.behind(|cloud| async move { drop(cloud.submit_run(same).await.unwrap()) });
    assert_eq!(Some(cloud.submit_run(ask.clone()).await.unwrap().id), ask.id);
    let lab = Lab::new(world).await;
    let other = lab.ask();
    let cloud = world.behind(|cloud| async move { drop(cloud.submit_run(other).await.unwrap()) });
    let refused = cloud.submit_run(lab.ask()).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { key: "live", .. })), "{refused:?}");
    assert_eq!(lab.counted(world).await, 1);
}

async fn a_run_is_not_submitted_by_who_is_suspended_meanwhile(world: &World) {
    let lab = Lab::new(world).await;
    let owner = lab.owner;
    let cloud = world.behind(|cloud| async move {
        let row = cloud.store.get(&USER_ACCESS, owner).await.unwrap().value.unwrap();
        let set = vec![("state", AccessState::Suspended.as_str().into())];
        let suspend = Write::update(&USER_ACCESS, owner, row.revision(), set);
        cloud.store.commit(cloud.batch("check").with(suspend)).await.unwrap();
    });
    let denied = cloud.submit_run(lab.ask()).await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
}

async fn images_and_runs_never_miss_each_other(world: &World) {
    // A run that is submitted behind the look of whoever resizes its only image counts it, or does not wait for it.
    let lab = Lab::new(world).await;
    let images = lab.images(world, 1, TrainingImageState::Uploaded).await;
    let ask = lab.ask().id(world.id().into());
    let (run, submitted) = (ask.id.unwrap(), ask);
    let cloud = world.behind(|cloud| async move { drop(cloud.submit_run(submitted).await.unwrap()) });
    cloud.resize_image(images[0]).await.unwrap();
    assert_eq!(world.run(run).await.images_left, 0);
    // The last two images, each behind the other.
    let lab = Lab::new(world).await;
    let images = lab.images(world, 2, TrainingImageState::Uploaded).await;
    let (run, other) = (lab.submit(world).await, images[1]);
    world.advance().await;
    let cloud = world.behind(|cloud| async move { drop(cloud.resize_image(other).await.unwrap()) });
    cloud.resize_image(images[0]).await.unwrap();
    let ready = world.run(run).await;
    assert_eq!((ready.state, ready.images_left), (RunState::WaitingForGpu, 0));
    assert_eq!(world.logged(run, "run.advance", "waiting_for_gpu").await, 1);
    // The last image behind the start, and the start behind the last image.
    for start_is_late in [true, false] {
        world.advance().await;
        let lab = Lab::new(world).await;
        let images = lab.images(world, 1, TrainingImageState::Uploaded).await;
        let run = lab.submit(world).await;
        let last = images[0];
        let cloud = world.behind(|cloud| async move {
            if start_is_late {
                cloud.resize_image(last).await.unwrap();
            } else {
                assert_eq!(cloud.advance_runs(1000).await.unwrap().preparing, 1);
            }
        });
        if start_is_late {
            assert_eq!(cloud.advance_runs(1000).await.unwrap().preparing, 0);
        } else {
            cloud.resize_image(last).await.unwrap();
        }
        world.advance().await;
        let ready = world.run(run).await;
        assert_eq!((ready.state, ready.images_left), (RunState::WaitingForGpu, 0), "{start_is_late}");
    }
    // An image of a run that ends meanwhile, the last one or not: what has ended is not changed any more.
    for left in [1, 2] {
        let lab = Lab::new(world).await;
        let images = lab.images(world, left, TrainingImageState::Uploaded).await;
        let run = lab.submit(world).await;
        let cloud = world.behind(|cloud| async move { drop(cloud.abort_run(run, "").await.unwrap()) });
        cloud.resize_image(images[0]).await.unwrap();
        let ended = world.run(run).await;
        assert_eq!((ended.state, usize::try_from(ended.images_left).unwrap()), (RunState::Aborted, left));
    }
    world.clock.advance(DAY);
}
