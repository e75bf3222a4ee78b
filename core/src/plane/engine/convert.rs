//! Rows as the queue knows them.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use crate::amount::MemoryMib;
use crate::entity::{RunAsk, RunState, TrainingRun};
use crate::error::{Error, Result};
use crate::queue::{Ask, Job};
use crate::sched::Placement;

/// A name that no model has, for runs that ask for more memory than any model has.
const NO_MODEL: &str = "none has that much memory";

/// The smallest memory of each model of GPU.
pub(super) type Models = BTreeMap<String, MemoryMib>;

/// What a run asks for, as the queue knows it; `Invalid` where no node could be asked for it.
pub(in crate::plane) fn ask_of(ask: &RunAsk, models: &Models) -> Result<Ask> {
    let demand = RunAsk { models: allowed(ask, models), ..ask.clone() }.demand()?;
    Ask::gang(demand, ask.members, ask.spread)
        .map_err(|error| Error::invalid("ask.members", error.to_string()))
}

/// The models that will do, where not all do.
fn allowed(ask: &RunAsk, models: &Models) -> Vec<String> {
    let Some(least) = ask.gpu_memory else { return ask.models.clone() };
    let large = models.iter().filter(|(_, memory)| **memory >= least).map(|(model, _)| model);
    let named = |model: &&String| ask.models.is_empty() || ask.models.contains(model);
    let allowed: Vec<String> = large.filter(named).take(crate::sched::MAX_MODELS).cloned().collect();
    if allowed.is_empty() { vec![NO_MODEL.to_owned()] } else { allowed }
}

/// A run that waits for its turn; none where it does not, or waits for something else.
pub(super) fn pending(run: &TrainingRun, models: &Models) -> Option<Job> {
    let waits = match run.state {
        RunState::WaitingForGpu => true,
        RunState::Queued => run.images_left == 0,
        _ => false,
    };
    waits.then(|| job(run, run.id.uuid(), models)).flatten()
}

/// The part of a run that does not change while it runs, known by an id.
pub(super) fn job(run: &TrainingRun, id: Uuid, models: &Models) -> Option<Job> {
    let queue = run.queue_id?.uuid();
    let ask = ask_of(&run.ask, models).ok()?;
    let mut job = Job::new(id, queue, run.owner_id.uuid(), run.created_at, ask);
    job.priority = i32::try_from(run.priority).unwrap_or(if run.priority < 0 { i32::MIN } else { i32::MAX });
    job.not_before = run.not_before;
    job.estimate = run.estimate_ms.map(Duration::from_millis);
    job.deadline = run.due;
    job.min_runtime = Duration::from_millis(run.min_runtime_ms);
    job.done = Duration::from_millis(run.kept_ms);
    job.attempt = run.attempt;
    Some(job)
}

/// What is held of one node: how many members, and the GPUs by their positions there, with how much of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HeldOn {
    pub(super) node: Uuid,
    pub(super) members: u32,
    pub(super) gpus: Vec<(u32, i64)>,
}

/// The placements that are held, one a member; none where the rows do not fit what is asked for.
pub(super) fn placements(ask: &Ask, held: &[HeldOn]) -> Option<Vec<Placement>> {
    let demand = ask.demand();
    let (gpus, milli) = demand.gpu().need();
    let each = usize::try_from(gpus).ok()?;
    let mut placements = Vec::new();
    for on in held {
        // A GPU that several members share is told once, with what all of them have of it.
        let mut parts: Vec<u32> = Vec::new();
        for (gpu, held) in &on.gpus {
            let times = if milli.is_zero() { 0 } else { held / milli.get() };
            parts.extend((0..times).map(|_| *gpu));
        }
        parts.sort_unstable();
        let mut parts = parts.into_iter();
        for _ in 0..on.members {
            let gpus: Vec<u32> = parts.by_ref().take(each).collect();
            if gpus.len() != each {
                return None;
            }
            placements.push(Placement { node: on.node, gpus, milli_per_gpu: milli, demand: demand.clone() });
        }
    }
    (u32::try_from(placements.len()).ok()? == ask.members()).then_some(placements)
}

/// What the members of a gang hold, node by node: the opposite of [`placements`].
pub(super) fn by_node(placements: &[Placement]) -> Vec<HeldOn> {
    let mut nodes: BTreeMap<Uuid, (u32, BTreeMap<u32, i64>)> = BTreeMap::new();
    for placement in placements {
        let (members, gpus) = nodes.entry(placement.node).or_default();
        *members += 1;
        for gpu in &placement.gpus {
            *gpus.entry(*gpu).or_default() += placement.milli_per_gpu.get();
        }
    }
    let held = |(node, (members, gpus)): (Uuid, (u32, BTreeMap<u32, i64>))| HeldOn {
        node,
        members,
        gpus: gpus.into_iter().collect(),
    };
    nodes.into_iter().map(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::GpuMilli;

    fn ask(members: u32, gpus: u32, milli: u32) -> RunAsk {
        RunAsk { members, gpus, gpu_milli: GpuMilli::from_u32(milli), ..RunAsk::default() }
    }

    #[test]
    fn what_is_held_is_told_by_member_and_by_node() {
        let node = Uuid::from_u128;
        for (asked, held) in [
            (
                ask(2, 2, 1000),
                vec![HeldOn {
                    node: node(1),
                    members: 2,
                    gpus: vec![(0, 1000), (1, 1000), (2, 1000), (5, 1000)],
                }],
            ),
            (
                ask(3, 1, 300),
                vec![
                    HeldOn { node: node(1), members: 2, gpus: vec![(0, 600)] },
                    HeldOn { node: node(2), members: 1, gpus: vec![(3, 300)] },
                ],
            ),
            (ask(1, 0, 1000), vec![HeldOn { node: node(1), members: 1, gpus: vec![] }]),
        ] {
            let asked = ask_of(&asked, &Models::new()).unwrap();
            let placed = placements(&asked, &held).unwrap();
            assert_eq!(by_node(&placed), held);
        }
    }

    #[test]
    fn rows_that_are_not_what_is_asked_for_are_no_placements() {
        let asked = ask_of(&ask(2, 1, 1000), &Models::new()).unwrap();
        let one = HeldOn { node: Uuid::nil(), members: 1, gpus: vec![(0, 1000)] };
        assert_eq!(placements(&asked, std::slice::from_ref(&one)), None);
        assert_eq!(placements(&asked, &[HeldOn { members: 2, ..one }]), None);
    }

    #[test]
    fn memory_is_asked_for_by_the_models_that_have_it() {
        let models = Models::from([
            ("A".to_owned(), MemoryMib::from_u32(16_000)),
            ("B".to_owned(), MemoryMib::from_u32(80_000)),
        ]);
        let asked = |models: &[&str], memory| RunAsk {
            models: models.iter().map(ToString::to_string).collect(),
            gpu_memory: Some(MemoryMib::from_u32(memory)),
            ..RunAsk::default()
        };
        assert_eq!(allowed(&asked(&[], 20_000), &models), ["B"]);
        assert_eq!(allowed(&asked(&["A"], 16_000), &models), ["A"]);
        assert_eq!(allowed(&asked(&["A"], 20_000), &models), [NO_MODEL]);
        assert_eq!(allowed(&asked(&[], 90_000), &models), [NO_MODEL]);
    }
}
