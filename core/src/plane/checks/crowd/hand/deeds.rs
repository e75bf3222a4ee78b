//! What a worker does with a lease.

use rand::RngExt as _;

use super::{Hand, Held, answered};
use crate::entity::RunCause;
use crate::plane::NewStatus;
use crate::plane::checks::crowd::diary::Note;
use crate::plane::checks::crowd::words::{Why, Word, artifact, forged};

/// What a worker does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Work,
    /// It works for longer than the lease, which it renews.
    WorkLong,
    Fail,
    /// It does nothing until the lease is over, as a process that was stopped, and then goes on as if nothing had been.
    Pause,
    /// It is gone, without a word.
    Die,
}

impl Hand {
    pub(super) async fn act(&mut self, mut held: Held) {
        let deed = match self.random.random_range(0..100_u32) {
            _ if self.phase.is_settling() => Deed::Work,
            0..10 => Deed::Fail,
            10..20 => Deed::Pause,
            20..28 => Deed::Die,
            28..33 => Deed::WorkLong,
            _ => Deed::Work,
        };
        // How far it comes before.
        let far = self.random.random_range(0..3_u32);
        let came = match deed {
            Deed::Work => self.work(&mut held).await,
            Deed::WorkLong => self.work(&mut held).await && self.hold_on(&mut held).await,
            Deed::Fail | Deed::Pause | Deed::Die => self.come_as_far_as(far, &held).await,
        };
        match deed {
            _ if !came => self.lost(&held).await,
            Deed::Work | Deed::WorkLong => self.complete(&mut held).await,
            Deed::Fail => self.fail(&held).await,
            Deed::Pause => self.oversleep(&held).await,
            Deed::Die => self.die(&held).await,
        }
    }

    /// Works, up to where something is to be uploaded; `false` where it is told that the lease is lost.
    async fn work(&mut self, held: &mut Held) -> bool {
        let forges = self.random.random_bool(0.1);
        if !self.keep(held).await || !self.come_as_far_as(1, held).await {
            return false;
        }
        if forges {
            for lease in forged(&held.lease) {
                let word = Word::OF_A_RUN[self.random.random_range(0..Word::OF_A_RUN.len())];
                self.say(word, &lease, Why::Forged).await;
                self.say(Word::Release, &lease, Why::Forged).await;
            }
        }
        self.pause(2, 60).await;
        self.keep(held).await
    }

    /// Renews a lease that is about to be over, as it may be where every answer takes its time.
    async fn keep(&mut self, held: &mut Held) -> bool {
        held.until.since(self.clock.now()) > self.lease / 2 || self.renew(held).await
    }

    /// Begins the run, tells something of it, and says that it is trained: the first so many of that.
    async fn come_as_far_as(&mut self, far: u32, held: &Held) -> bool {
        let (plane, lease) = (&self.plane, &held.lease);
        if far > 0 && answered(|| plane.begin_run(lease)).await.is_none() {
            return false;
        }
        if far > 0 {
            let id = format!("{}-{}", lease.lease, self.random.random_range(0..2_u32));
            let message = NewStatus::of("training").message_id(id);
            if answered(|| plane.tell(lease, message.clone())).await.is_none() {
                return false;
            }
        }
        far < 2 || answered(|| plane.uploading_run(lease)).await.is_some()
    }

    /// Holds on to a lease for longer than it was given.
    async fn hold_on(&mut self, held: &mut Held) -> bool {
        let first = held.until;
        while self.clock.now() <= first {
            self.pause(50, 150).await;
            if !self.renew(held).await {
                return false;
            }
        }
        true
    }

    async fn complete(&mut self, held: &mut Held) {
        if !self.come_as_far_as(2, held).await || !self.keep(held).await {
            return self.lost(held).await;
        }
        let lease = held.lease;
        self.diary.note(&Note::Completing { lease });
        self.diary.note(&Note::Idle { lease: lease.lease });
        let what = artifact(&lease, 'a');
        match answered(|| self.plane.complete_run(&lease, &what)).await {
            Some(_) => {
                self.diary.note(&Note::Completed { lease });
                self.let_go(held).await;
            }
            None => self.lost(held).await,
        }
    }

    async fn fail(&mut self, held: &Held) {
        let lease = held.lease;
        let cause = if self.random.random_bool(0.1) { RunCause::Invalid } else { RunCause::Crashed };
        self.diary.note(&Note::Idle { lease: lease.lease });
        match answered(|| self.plane.fail_run(&lease, cause, None)).await {
            Some(_) => self.let_go(held).await,
            None => self.lost(held).await,
        }
    }

    /// Speaks on, now and then, as if it had not let go.
    async fn let_go(&mut self, held: &Held) {
        if self.random.random_bool(0.1) {
            self.say_stale(&held.lease, Why::Ended).await;
        }
        self.remember(held.lease);
    }

    /// Lets the lease age, and speaks on.
    async fn oversleep(&mut self, held: &Held) {
        self.until(held.until).await;
        self.pause(0, 100).await;
        self.say_stale(&held.lease, Why::Expired).await;
        self.release(held.lease).await;
    }

    /// It was told that the lease is lost.
    async fn lost(&mut self, held: &Held) {
        self.say_stale(&held.lease, Why::Taken).await;
        self.release(held.lease).await;
    }
}
