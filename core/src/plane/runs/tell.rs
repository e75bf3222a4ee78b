//! What a run tells of its progress.

use serde::{Deserialize, Serialize};

use super::ControlPlane;
use crate::entity::{
    Entity as _, Entry, RUN_PULSES, RunPulse, StatusTold, TRAINING_STATUSES, TrainingRun, TrainingStatus,
    entry,
};
use crate::error::{Error, Result};
use crate::plane::RunLease;
use crate::plane::decided::Decided;
use crate::plane::leases::{ShownRows, still_holds};
use crate::store::{Answer, Change, Query, Scan, Test, Write};

/// The most measures of one message.
const MAX_METRICS: usize = 32;

/// A message of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewStatus {
    /// The sender's id for it, 1 to 128 bytes: the same one again has no effect.
    #[serde(default)]
    pub message_id: Option<String>,
    /// What is being done, such as `downloading_images`: 1 to 64 lower-case letters, digits and `_`.
    pub status: String,
    /// What is told of it.
    #[serde(default)]
    pub told: StatusTold,
}

impl NewStatus {
    /// That this is being done.
    pub fn of(status: impl Into<String>) -> Self {
        Self { status: status.into(), ..Self::default() }
    }

    /// Gives it an id.
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = Some(id.into());
        self
    }

    /// Says more of it.
    pub fn told(mut self, told: StatusTold) -> Self {
        self.told = told;
        self
    }

    fn check(&self) -> Result<()> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !(1..=64).contains(&self.status.len()) || !self.status.bytes().all(is_plain) {
            return Err(Error::invalid("status", "1 to 64 lower-case letters, digits and _ are expected"));
        }
        if let Some(id) = &self.message_id {
            text("message_id", id, 1, 128)?;
        }
        if let Some(note) = &self.told.note {
            text("told.note", note, 0, 4096)?;
        }
        if self.told.metrics.len() > MAX_METRICS {
            return Err(Error::invalid("told.metrics", format!("at most {MAX_METRICS} are expected")));
        }
        for (name, value) in &self.told.metrics {
            text("told.metrics", name, 1, 64)?;
            if !value.is_finite() {
                return Err(Error::invalid(format!("told.metrics.{name}"), "it is not finite"));
            }
        }
        Ok(())
    }
}

impl ControlPlane {
    /// Takes a message of a run's worker. It gets the next number of the run, without gaps; a message with an id that the run has
    /// had is answered with what was kept the first time. A run that trains and tells something is not silent.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` where the lease is not the worker's any more; `Invalid`.
    #[tracing::instrument(skip_all)]
    pub async fn tell(&self, lease: &RunLease, message: NewStatus) -> Result<Entry<TrainingStatus>> {
        message.check()?;
        let message = &message;
        self.decided("run.tell", TrainingStatus::KIND, || async move {
            let mut queries = Vec::from(lease.queries());
            queries.push(Query::Get { table: &RUN_PULSES, key: lease.run.into() });
            queries.extend(message.message_id.as_deref().map(|id| {
                let of_id = Scan::of(&TRAINING_STATUSES).by("training_statuses_message");
                Query::Scan(of_id.with(lease.run).with(id).limit(1))
            }));
            let reads = self.store.read(queries).await?;
            let mut answers = reads.answers.into_iter();
            let shown = ShownRows::of(&mut answers).judged(lease, reads.now)?;
            let mut rows = answers.map(Answer::into_rows);
            let pulse = rows.next().unwrap_or_default().pop();
            let pulse = pulse.ok_or_else(|| Error::not_found(TrainingRun::KIND, lease.run))?;
            if let Some(before) = rows.next().unwrap_or_default().pop() {
                let kept = entry::<TrainingStatus>(&before)?;
                return Ok(Decided::Done(kept));
            }
            let last = RunPulse::from_row(&pulse)?.sequence;
            let last_value = pulse.int("sequence")?;
            let status = TrainingStatus {
                id: self.new_id().into(),
                run_id: lease.run,
                sequence: last.saturating_add(1),
                attempt: lease.attempt,
                message_id: message.message_id.clone(),
                status: message.status.clone(),
                told: message.told.clone(),
                created_at: shown.now,
            };
            let mut batch = self.batch("run.tell");
            still_holds(&mut batch, lease, &shown.lease, shown.now);
            batch.push(Write::patch(
                &RUN_PULSES,
                lease.run,
                vec![Test::eq("sequence", last_value)],
                vec![("sequence", Change::Add(1)), ("heard_at", Change::Max(shown.now.into()))],
            ));
            batch.push(Write::Insert(status.to_row()));
            Ok(Decided::Commit(Entry::new(status, 1), batch))
        })
        .await
    }
}

fn text(field: &str, text: &str, least: usize, most: usize) -> Result<()> {
    if !(least..=most).contains(&text.len()) || text.contains('\0') {
        return Err(Error::invalid(field, format!("{least} to {most} bytes without NUL are expected")));
    }
    Ok(())
}
