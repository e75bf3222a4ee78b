//! What is disturbed: cut off before it is committed, or behind it, raced by something else, or late.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::compared::difference;
use super::super::cut::Cut;
use super::Checked;
use super::act::Act;
use super::expected::Answer;
use super::facts::{known, stored};
use super::run::{Run, answered};
use super::step::Late;
use super::words::Says;
use crate::plane::RunLease;
use crate::time::{Clock as _, Timestamp};

impl Run<'_> {
    /// The process dies before anything is committed.
    pub(super) async fn cut_off(&mut self, act: &Act) -> Checked {
        let plane = self.plane(Arc::new(Cut::after(self.cloud().store(), 0)));
        let got = act.carry_out(&plane).await;
        if got != Err("unavailable") && !act.is_sweep() {
            answered(act, &got, &self.model.clone().act(act, None))?;
        }
        if self.rows().await? == self.seen {
            return Ok(());
        }
        Err(format!("{act:?} was cut off, and has changed something"))
    }

    /// It is committed, and nobody hears of it.
    pub(super) async fn unheard(&mut self, act: &Act) -> Checked {
        let plane = self.plane(Arc::new(Cut::mute(self.cloud().store())));
        let got = act.carry_out(&plane).await;
        let rows = self.rows().await?;
        let expected = self.model.act(act, act.is_sweep().then_some(&rows));
        match got {
            Err("unavailable") if expected.is_ok() => Ok(()),
            _ if act.is_sweep() => Ok(()),
            got => answered(act, &got, &expected),
        }
    }

    /// Between the decision and its commit time passes, and something else happens.
    pub(super) async fn raced(&mut self, act: &Act, rival: Act, seconds: u64) -> Checked {
        let sees = Arc::new(Cut::never(self.cloud().store()));
        let told: Arc<Mutex<Option<Answer>>> = Arc::default();
        let (cloud, clock, does, tells) =
            (Arc::clone(self.cloud()), Arc::clone(&self.clock), rival.clone(), Arc::clone(&told));
        sees.race(async move {
            clock.advance(Duration::from_secs(seconds));
            let answer = does.carry_out(&cloud).await;
            *tells.lock().unwrap() = Some(answer);
        });
        let got = act.carry_out(&self.plane(Arc::<Cut>::clone(&sees))).await;
        sees.calm();
        let told = told.lock().unwrap().take();
        let Some(told) = told else {
            // Nothing was to be committed.
            return answered(act, &got, &self.model.act(act, None));
        };
        let (rows, before) = (self.rows().await?, self.model.now);
        let disturbed = act.is_sweep().then_some(&rows);
        let mut why = String::new();
        // What was decided before still holds, or it was decided again.
        for decided in [self.clock.now(), before] {
            let mut model = self.model.clone();
            model.now = self.clock.now();
            let rivals = model.act(&rival, None);
            model.now = decided;
            let expected = model.act(act, disturbed);
            model.now = self.clock.now();
            let fits = answered(&rival, &told, &rivals)
                .and_then(|()| if act.is_sweep() { Ok(()) } else { answered(act, &got, &expected) })
                .and_then(|()| model.learn_pauses(&rows))
                .and_then(|()| difference(&stored(&model, &rows), &known(&model)).map_or(Ok(()), Err));
            match fits {
                Ok(()) => {
                    self.model = model;
                    return Ok(());
                }
                Err(reason) if why.is_empty() => why = reason,
                Err(_) => {}
            }
        }
        Err(format!("{act:?} is {got:?}, raced by {rival:?}: {why}"))
    }

    /// What a worker says is decided on, and under way for so many seconds. Meanwhile something else happens, and it arrives between
    /// the decision and the commit of that, or behind it.
    pub(super) async fn late(&mut self, late: Late) -> Checked {
        let Some(shown) = self.taken(late.taken | 1) else { return Ok(()) };
        let Some(says) = self.next_word(&shown, late.next) else { return Ok(()) };
        let Some(other) = self.rival(&Act::Say(shown, says), late.by) else { return Ok(()) };
        let (says, seconds) = match late.seconds {
            0 => self.just_too_late(&shown, &other).unwrap_or((says, 0)),
            seconds => (says, seconds),
        };
        let act = Act::Say(shown, says);
        let slow = Arc::new(Cut::keeping(self.cloud().store()));
        let got = act.carry_out(&self.plane(Arc::<Cut>::clone(&slow))).await;
        let (batches, decided) = (slow.kept(), self.model.now);
        if batches.is_empty() {
            return answered(&act, &got, &self.model.act(&act, None));
        }
        self.wait(seconds.into());
        if late.is_behind || !other.is_sweep() {
            self.act(&other).await?;
            self.compare().await?;
            let arrived = self.cloud().store().commit_many(batches).await;
            return self.arrives(&act, decided, arrived.iter().all(Result::is_ok)).await;
        }
        let sees = Arc::new(Cut::never(self.cloud().store()));
        let told = Arc::new(Mutex::new(None));
        let (store, tells) = (Arc::clone(self.cloud().store()), Arc::clone(&told));
        sees.race(async move {
            let arrived = store.commit_many(batches).await;
            *tells.lock().unwrap() = Some(arrived);
        });
        let swept = other.carry_out(&self.plane(Arc::<Cut>::clone(&sees))).await;
        sees.calm();
        let told = told.lock().unwrap().take();
        let Some(arrived) = told else {
            // The sweep had nothing to do.
            return answered(&other, &swept, &self.model.act(&other, None));
        };
        if arrived.iter().any(Result::is_err) {
            return Err(format!("nothing has happened since {act:?} was decided, and it is {arrived:?}"));
        }
        let rows = self.rows().await?;
        self.as_decided(&act, decided)?;
        let expected = self.model.act(&other, Some(&rows));
        swept.and(expected).map(drop).map_err(|code| format!("{other:?}: {code}"))
    }

    /// What a worker says at the last moment, and how long it takes until a sweep takes its silence for an end.
    fn just_too_late(&self, shown: &RunLease, sweep: &Act) -> Option<(Says, u16)> {
        let lease = &self.model.leases[self.model.lease_at(shown.lease)?];
        let run = &self.model.runs[lease.run];
        let (says, late_at) = match sweep {
            Act::SweepLeases => (Says::Renew(3600), Some(lease.expires_at)),
            Act::SweepRuns => (Says::Tell(u8::try_from(run.told + 10).unwrap_or(0)), run.deadline),
            _ => return None,
        };
        let left = late_at?.as_micros() - self.model.now.as_micros();
        (1..=600).contains(&(left / 1_000_000)).then(|| (says, u16::try_from(left / 1_000_000).unwrap_or(0)))
    }

    /// What was decided before has arrived: where it still holds, it may be done, and otherwise it is not.
    async fn arrives(&mut self, act: &Act, decided: Timestamp, is_done: bool) -> Checked {
        if is_done {
            return self.as_decided(act, decided);
        }
        if self.rows().await? == self.seen {
            return Ok(());
        }
        Err(format!("{act:?} came too late, and has changed something"))
    }

    /// The model does what was decided at another time.
    fn as_decided(&mut self, act: &Act, decided: Timestamp) -> Checked {
        let now = std::mem::replace(&mut self.model.now, decided);
        let expected = self.model.act(act, None);
        self.model.now = now;
        expected.map(drop).map_err(|code| format!("{act:?} came too late, and was done: {code} was expected"))
    }
}
