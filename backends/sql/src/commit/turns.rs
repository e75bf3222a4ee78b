//! Whose turn it is: the groups of a store decide one after the other, and become durable in that order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use apportion::store::eval::{Loaded, Needs, RowEffect};
use apportion::store::{Op, Prepared};
use apportion::time::Timestamp;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::{Instant, timeout_at};

use crate::connection::Failure;
use crate::queue::{Baton, MAX_OVERLAP};

/// How long a group that has inserted rows waits for its turn. Others may wait for those rows, and whoever has the turn for
/// others: no database sees that circle, so it is cut here.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many groups look everything up once the database has refused rows.
const DOUBTING: u32 = 64;

/// Whose turn it is, of the groups of a store.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Held by the group that decides: from where it judges for good to where others may build on that.
    deciding: Mutex<Decided>,
    /// For how many more groups is looked up what the database would tell.
    doubts: AtomicU32,
    /// How many more groups lock what they were judged over before they write, since somebody else changes it.
    strangers: AtomicU32,
    /// What a group decided is undone.
    undone: AtomicBool,
}

/// What the last groups decided, which is about to be durable.
#[derive(Debug)]
struct Decided {
    at: Timestamp,
    /// The rows that each changes, as many groups as may be under way at once; the last is the latest.
    changed: VecDeque<Vec<RowEffect>>,
    /// Where the last is.
    last: Option<watch::Receiver<Stage>>,
}

impl Default for Decided {
    fn default() -> Self {
        Self { at: Timestamp::MIN, changed: VecDeque::new(), last: None }
    }
}

/// How far a group is that has decided. It has ended when nobody can tell any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It may wait for somebody else's rows.
    Writing,
    /// All is written.
    Written,
}

/// A group's place among those of a store.
pub(super) struct Place<'c> {
    /// None where groups do not take turns.
    turns: Option<&'c Turns>,
    /// Nothing was tried, and the turn has not come.
    early: bool,
    deciding: Option<MutexGuard<'c, Decided>>,
    /// Where the group in front is; none before the turn, and once that has ended.
    front: Option<watch::Receiver<Stage>>,
    /// Tells the group behind where this one is.
    stage: Option<watch::Sender<Stage>>,
    /// The right of the next group to begin.
    baton: Option<Baton>,
}

impl<'c> Place<'c> {
    pub(super) fn new(turns: Option<&'c Turns>, baton: Option<Baton>) -> Self {
        Self { turns, early: turns.is_some(), deciding: None, front: None, stage: None, baton }
    }

    /// Whether members are worth working ahead for: they insert, and nothing is deleted, which has to come first.
    pub(super) fn may_work_ahead(&self, members: &[&Prepared]) -> bool {
        let mut ops = members.iter().flat_map(|member| &member.writes).map(|write| &write.op);
        self.early
            && ops.clone().any(|op| matches!(op, Op::Insert(_) | Op::Ensure(_)))
            && !ops.any(|op| matches!(op, Op::Delete(_)))
    }

    /// Whether rows that are inserted may be taken for new, and those that they refer to for there. Mostly they are, and
    /// the database refuses them where not; then the group begins again, and those behind it look first for a while.
    pub(super) fn trusts(&self) -> bool {
        self.turns.is_some_and(|turns| is_over(&turns.doubts))
    }

    pub(super) fn distrust(&self) {
        if let Some(turns) = self.turns {
            turns.doubts.store(DOUBTING, Relaxed);
        }
    }

    /// Whether what was judged may be written together with the locks, since nobody else changes those rows.
    pub(super) fn is_among_itself(&self) -> bool {
        self.turns.is_some_and(|turns| is_over(&turns.strangers))
    }

    /// Somebody else has changed rows.
    pub(super) fn met_a_stranger(&self) {
        if let Some(turns) = self.turns {
            turns.strangers.store(DOUBTING, Relaxed);
        }
    }

    /// Whatever is tried from now on waits for the turn first. What was decided is undone, and has to be decided anew.
    pub(super) fn come_late(&mut self) {
        self.early = false;
        if let (Some(turns), Some(_), None) = (self.turns, &self.stage, &self.deciding) {
            turns.undone.store(true, Relaxed);
            self.ended();
        }
    }

    /// Waits for the turn, and until the group in front is durable; says whether that was waited for.
    pub(super) async fn wait(&mut self) -> bool {
        let waits = self.turns.is_some() && self.stage.is_none();
        self.decide().await;
        self.end().await;
        waits
    }

    /// Waits for the turn to decide.
    async fn decide(&mut self) {
        self.early = false;
        if let (Some(turns), None) = (self.turns, &self.stage) {
            let mut decided = turns.deciding.lock().await;
            if turns.undone.swap(false, Relaxed) {
                decided.changed.clear();
            }
            let (stage, behind) = watch::channel(Stage::Writing);
            self.front = decided.last.replace(behind);
            self.stage = Some(stage);
            self.deciding = Some(decided);
        }
    }

    /// Waits for that turn while others may wait for this group.
    pub(super) async fn decide_soon(&mut self, until: Instant) -> Result<(), Failure> {
        timeout_at(until, self.decide()).await.map_err(|_| Failure::Serialization)
    }

    /// Until when a group waits that inserts now.
    pub(super) fn patience() -> Instant {
        Instant::now() + PATIENCE
    }

    /// Waits until the group in front is durable.
    async fn end(&mut self) {
        if let Some(front) = &mut self.front {
            // Nobody can tell any more: it has ended.
            while front.changed().await.is_ok() {}
        }
        self.front = None;
    }

    /// The same while others may wait for this group, and the group in front for them. Once that has written everything it
    /// waits for nobody.
    pub(super) async fn end_soon(&mut self, until: Instant) -> Result<(), Failure> {
        if let Some(front) = &mut self.front {
            let written = timeout_at(until, front.wait_for(|stage| *stage == Stage::Written)).await;
            drop(written.map_err(|_| Failure::Serialization)?);
        }
        self.end().await;
        Ok(())
    }

    /// Lets the next group begin.
    pub(super) fn pass(&mut self) {
        if self.stage.is_some()
            && let Some(baton) = self.baton.take()
        {
            baton.pass();
        }
    }

    /// A group's time, no earlier than that of the group in front.
    pub(super) fn time(&self, at: Timestamp) -> Timestamp {
        self.deciding.as_ref().map_or(at, |decided| at.max(decided.at))
    }

    /// Takes what the groups in front decided for what there is.
    pub(super) fn presume(&self, loaded: &mut Loaded, needs: &Needs) {
        for changed in self.deciding.iter().flat_map(|decided| &decided.changed) {
            loaded.presume(needs, changed);
        }
    }

    /// Lets the next group decide, over what this one decided.
    pub(super) fn decided(&mut self, at: Timestamp, changed: Vec<RowEffect>) {
        if let Some(mut decided) = self.deciding.take() {
            decided.at = at;
            decided.changed.push_back(changed);
            if decided.changed.len() > MAX_OVERLAP {
                decided.changed.pop_front();
            }
        }
    }

    /// All is written.
    pub(super) fn written(&self) {
        if let Some(stage) = &self.stage {
            stage.send_replace(Stage::Written);
        }
    }

    /// The commit has been answered.
    pub(super) fn ended(&mut self) {
        self.front = None;
        self.stage = None;
    }
}

/// Whether a number of groups is over; otherwise one more of them is.
fn is_over(groups: &AtomicU32) -> bool {
    groups.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err()
}
