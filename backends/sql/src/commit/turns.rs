//! Whose turn it is: the groups of a store decide one after the other, and become durable in that order.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};
use std::sync::{MutexGuard as Guard, PoisonError};
use std::time::Duration;

use apportion::store::eval::{Loaded, Needs, RowEffect, Source as _};
use apportion::store::{Op, Prepared};
use apportion::time::Timestamp;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::timeout;

use super::known::Known;
use crate::connection::Failure;
use crate::queue::Baton;

/// How long a group that has inserted rows waits for its turn, and then for those in front to write. Others may wait for
/// those rows, and whoever has the turn for others: no database sees that circle, so it is cut here.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many groups look everything up once the database has refused rows.
const DOUBTING: u32 = 64;

/// Whose turn it is, of the groups of a store.
#[derive(Debug)]
pub(super) struct Turns {
    /// Held by the group that decides: from where it judges for good to where others may build on that.
    deciding: Mutex<Decided>,
    /// What groups have decided of rows. Only who decides changes it.
    known: std::sync::Mutex<Known>,
    /// The time of the last commit that a group has seen, in microseconds.
    latest: AtomicI64,
    /// For how many more groups is looked up what the database would tell.
    doubts: AtomicU32,
    /// How many more groups lock what they were judged over before they write, since somebody else changes it.
    strangers: AtomicU32,
    /// What a group decided is undone.
    undone: AtomicBool,
}

/// What the last group decided, which is about to be durable.
#[derive(Debug)]
struct Decided {
    at: Timestamp,
    /// Where the groups are that have decided, and perhaps not ended.
    under_way: Vec<watch::Receiver<Stage>>,
}

impl Default for Decided {
    fn default() -> Self {
        Self { at: Timestamp::MIN, under_way: Vec::new() }
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            deciding: Mutex::default(),
            known: std::sync::Mutex::default(),
            latest: AtomicI64::new(i64::MIN),
            doubts: AtomicU32::new(0),
            strangers: AtomicU32::new(0),
            undone: AtomicBool::new(false),
        }
    }
}

impl Turns {
    fn known(&self) -> Guard<'_, Known> {
        // A row is put in one step.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Where the groups in front are that have not ended; none before the turn. All of them: one that gives up lets nobody
    /// past those in front of it.
    front: Vec<watch::Receiver<Stage>>,
    /// Tells the groups behind where this one is.
    stage: Option<watch::Sender<Stage>>,
    /// The right of the next group to begin.
    baton: Option<Baton>,
}

impl<'c> Place<'c> {
    pub(super) fn new(turns: Option<&'c Turns>, baton: Option<Baton>) -> Self {
        Self { turns, early: turns.is_some(), deciding: None, front: Vec::new(), stage: None, baton }
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
            turns.undone.store(true, Relaxed);
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
        if let (Some(turns), None) = (self.turns, &self.stage) {
            self.decides(turns, turns.deciding.lock().await);
        }
    }

    /// Takes the turn where nobody has it; says whether this group has it now.
    pub(super) fn decide_now(&mut self) -> bool {
        if let (Some(turns), None) = (self.turns, &self.stage)
            && let Ok(decided) = turns.deciding.try_lock()
        {
            self.decides(turns, decided);
        }
        self.deciding.is_some()
    }

    fn decides(&mut self, turns: &Turns, mut decided: MutexGuard<'c, Decided>) {
        self.early = false;
        if turns.undone.swap(false, Relaxed) {
            turns.known().clear();
        }
        let (stage, behind) = watch::channel(Stage::Writing);
        decided.under_way.retain(|group| group.has_changed().is_ok());
        self.front.clone_from(&decided.under_way);
        decided.under_way.push(behind);
        self.stage = Some(stage);
        self.deciding = Some(decided);
    }

    /// Waits for that turn while others may wait for this group.
    pub(super) async fn decide_soon(&mut self) -> Result<(), Failure> {
        timeout(PATIENCE, self.decide()).await.map_err(|_| Failure::Serialization)
    }

    /// Waits until the groups in front are durable.
    async fn end(&mut self) {
        for group in &mut self.front {
            // Nobody can tell any more: it has ended.
            while group.changed().await.is_ok() {}
        }
        self.front.clear();
    }

    /// The same while others may wait for this group, and those in front for them. Who has written everything waits for
    /// nobody.
    pub(super) async fn end_soon(&mut self) -> Result<(), Failure> {
        let written = async {
            for group in &mut self.front {
                drop(group.wait_for(|stage| *stage == Stage::Written).await);
            }
        };
        timeout(PATIENCE, written).await.map_err(|_| Failure::Serialization)?;
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

    /// A group's time, no earlier than that of the group in front, and of any commit that was seen.
    pub(super) fn time(&self, at: Timestamp) -> Timestamp {
        let (Some(turns), Some(decided)) = (self.turns, &self.deciding) else { return at };
        at.max(decided.at).max(Timestamp::from_micros(turns.latest.load(Relaxed)))
    }

    /// There is a commit of this time.
    pub(super) fn saw(&self, at: Timestamp) {
        if let Some(turns) = self.turns {
            turns.latest.fetch_max(at.as_micros(), Relaxed);
        }
    }

    /// Whether the time of some commit is known.
    pub(super) fn has_seen(&self) -> bool {
        self.turns.is_some_and(|turns| turns.latest.load(Relaxed) > i64::MIN)
    }

    /// Takes what groups in front have decided for what there is, of the rows that are to be locked. Gives what is needed
    /// beside.
    pub(super) fn presume(&self, loaded: &mut Loaded, needs: &Needs) -> Needs {
        let mut others = needs.clone();
        let Some(turns) = self.turns else { return others };
        let known = turns.known();
        for locks in &mut others.locks {
            locks.keys.retain(|key| {
                let row = known.row(locks.table, key);
                row.inspect(|row| loaded.presume(locks.table, key, row)).is_none()
            });
        }
        others.locks.retain(|locks| !locks.keys.is_empty());
        others
    }

    /// Lets the next group decide, over what this one decided.
    pub(super) fn decided(
        &mut self,
        at: Timestamp,
        changed: &[RowEffect],
        guarded: Option<(&Needs, &Loaded)>,
    ) {
        let (Some(turns), Some(mut decided)) = (self.turns, self.deciding.take()) else { return };
        decided.at = at;
        let mut known = turns.known();
        if let Some((needs, loaded)) = guarded {
            for locks in &needs.locks {
                for key in &locks.keys {
                    known.put(locks.table, key.clone(), loaded.row(locks.table, key).ok().flatten());
                }
            }
        }
        for effect in changed {
            known.put(effect.table, effect.key.clone(), effect.after.clone());
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
        self.front.clear();
        self.stage = None;
    }
}

/// Whether a number of groups is over; otherwise one more of them is.
fn is_over(groups: &AtomicU32) -> bool {
    groups.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    async fn decided(turns: &Turns) -> Place<'_> {
        let mut place = Place::new(Some(turns), None);
        place.decide_soon().await.unwrap();
        place.decided(Timestamp::EPOCH, &[], None);
        place
    }

    #[tokio::test]
    async fn a_turn_is_taken_at_once_only_where_nobody_decides() {
        let turns = Turns::default();
        let mut first = Place::new(Some(&turns), None);
        assert!(first.decide_now());
        assert!(first.decide_now(), "it has it still");
        let mut second = Place::new(Some(&turns), None);
        assert!(!second.decide_now());
        first.decided(Timestamp::EPOCH, &[], None);
        assert!(!first.decide_now(), "it has decided");
        assert!(second.decide_now());
        assert!(second.end_soon().now_or_never().is_none(), "the first is in front of it");
        assert!(!Place::new(None, None).decide_now(), "there are no turns");
    }

    #[tokio::test]
    async fn who_gives_up_or_is_lost_lets_nobody_past_those_in_front() {
        let turns = Turns::default();
        let mut first = decided(&turns).await;
        let mut second = decided(&turns).await;
        let third = decided(&turns).await;
        let mut last = decided(&turns).await;
        second.come_late();
        drop(third);
        assert!(last.end_soon().now_or_never().is_none(), "the first has not written");
        first.written();
        assert!(last.end_soon().now_or_never().is_none(), "the first is not durable");
        first.ended();
        assert!(last.end_soon().now_or_never().unwrap().is_ok());
        // Who gave up comes last now.
        assert!(second.wait().now_or_never().is_none());
        last.ended();
        assert_eq!(second.wait().now_or_never(), Some(false), "it has its turn already");
    }
}
