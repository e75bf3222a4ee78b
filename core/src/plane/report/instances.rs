//! The instances of a machine.

use super::{ControlPlane, Reconciled, Report};
use crate::entity::{BindingEvent, Entity as _, INSTANCES, Instance, InstanceEvent, InstanceState};
use crate::error::Result;
use crate::machine::{FoundInstance, InstanceChange, Known, match_instances};
use crate::plane::commands::clipped;
use crate::plane::delete::{DeleteRows, delete_queries};
use crate::plane::ending::{end, turn_bindings};
use crate::plane::users::Happened;
use crate::store::{Batch, Row, Scan, Write};
use crate::time::Timestamp;

/// For how many instances what they hold is read at once.
const AT_ONCE: usize = 64;

/// What becomes of an instance by a report, and what of it needs more than its row.
struct Change<'f> {
    row: Row,
    instance: Instance,
    found: Option<(&'f FoundInstance, Option<InstanceEvent>)>,
}

impl ControlPlane {
    pub(super) async fn take_instances(
        &self,
        report: Report<'_>,
        found: &[FoundInstance],
        reconciled: &mut Reconciled,
    ) -> Result<()> {
        let mut retry = self.report_retry();
        loop {
            let now = self.still_speaks(report.node, report.session).await?;
            let of_node = Scan::of(&INSTANCES).by("instances_node").with(report.node);
            let known = self.known::<Instance>(of_node).await?;
            let judged: Vec<Known<'_>> = known.iter().map(|(_, instance)| judged(report, instance)).collect();
            let (changes, rest) = match_instances(&judged, found);
            let mut news = Vec::new();
            for ((row, instance), change) in known.into_iter().zip(changes) {
                let found = match change {
                    InstanceChange::Nothing => continue,
                    InstanceChange::Gone => None,
                    InstanceChange::Is(at, event) => match found.get(at) {
                        Some(found) if is_news(&instance, found, event) => Some((found, event)),
                        _ => continue,
                    },
                };
                news.push(Change { row, instance, found });
            }
            let lost = self.change_instances(report, news, now, reconciled).await?;
            if lost == 0 {
                return self.take_foreign(report, found, &rest, reconciled).await;
            }
            retry.again().await?;
        }
    }

    /// Changes instances, each in a batch of its own, and answers how many lost a race.
    async fn change_instances(
        &self,
        report: Report<'_>,
        mut changed: Vec<Change<'_>>,
        now: Timestamp,
        reconciled: &mut Reconciled,
    ) -> Result<usize> {
        let mut lost = 0;
        while !changed.is_empty() {
            let later = changed.split_off(changed.len().min(AT_ONCE));
            let these = std::mem::replace(&mut changed, later);
            let queries = these.iter().flat_map(|change| delete_queries(change.instance.id)).collect();
            let mut answers = self.store.read(queries).await?.answers.into_iter();
            let (mut batches, mut ended) = (Vec::new(), Vec::new());
            for change in these {
                let rows = DeleteRows::from_answers(&mut answers);
                let mut batch = self.report_batch(report, now);
                let instance = self.change_instance(&mut batch, change, &rows, now)?;
                ended.push((instance.id, instance.state));
                batches.push(batch);
            }
            for ((id, state), answer) in ended.into_iter().zip(self.store.commit_many(batches).await) {
                match answer {
                    Ok(_) => {
                        reconciled.changed += 1;
                        match state {
                            InstanceState::Lost => reconciled.lost.push(id),
                            InstanceState::Deleted => reconciled.deleted.push(id),
                            _ => {}
                        }
                    }
                    Err(error) if error.refusal().is_some() => lost += 1,
                    Err(error) => return Err(crate::error::Error::of_store(Instance::KIND, error)),
                }
            }
        }
        Ok(lost)
    }

    /// Adds what becomes of one instance.
    fn change_instance(
        &self,
        batch: &mut Batch,
        change: Change<'_>,
        rows: &DeleteRows,
        now: Timestamp,
    ) -> Result<Instance> {
        let Change { row, mut instance, found } = change;
        instance.updated_at = now;
        if let Some((found, event)) = found {
            let was_in_creation = instance.state.is_in_creation();
            seen(&mut instance, found, event)?;
            if was_in_creation && !instance.state.is_in_creation() {
                turn_bindings(batch, &rows.bindings, BindingEvent::Bind)?;
            }
        } else {
            end(batch, &mut instance, InstanceEvent::SeenGone, rows, now)?;
            let lost = instance.state == InstanceState::Lost;
            let happened = Happened {
                operation: if lost { "instance.lost" } else { "instance.gone" },
                actor: None,
                kind: Instance::KIND,
                subject: instance.id.uuid(),
                description: "its node reports that there is nothing of it",
            };
            batch.push(self.log(happened, now));
        }
        batch.push(Write::update(&INSTANCES, instance.id, row.revision(), instance.plain()));
        Ok(instance)
    }
}

fn judged<'k>(report: Report<'_>, instance: &'k Instance) -> Known<'k> {
    Known {
        id: instance.id,
        key: instance.key.as_deref(),
        state: instance.state,
        by_agent: instance.by_agent,
        open: instance.command_id.is_some(),
        newer: instance.updated_at >= report.inventory.taken_at,
    }
}

/// Takes in what a report says of an instance that is there.
fn seen(instance: &mut Instance, found: &FoundInstance, event: Option<InstanceEvent>) -> Result<()> {
    if let Some(event) = event {
        instance.state = instance.state.on(event)?;
    }
    instance.by_agent = true;
    instance.key.get_or_insert_with(|| found.key.clone());
    if let Some(text) = &found.status_info {
        instance.status_info = Some(clipped(text, 1024));
    }
    Ok(())
}

fn is_news(instance: &Instance, found: &FoundInstance, event: Option<InstanceEvent>) -> bool {
    let mut after = instance.clone();
    seen(&mut after, found, event).is_ok() && after != *instance
}
