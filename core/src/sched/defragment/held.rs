//! Whether a cluster holds what is said to run on it: [`check`].

use rustc_hash::FxHashMap;

use super::NotHeld;
use crate::sched::class::{SLOTS, WHOLE};
use crate::sched::cluster::Cluster;
use crate::sched::demand::Tag;
use crate::sched::place::PlaceError;
use crate::sched::placement::Placement;

/// What the tasks seen so far hold on one node.
#[derive(Default)]
struct Claimed {
    milli: [u16; SLOTS],
    tasks: FxHashMap<Tag, u32>,
}

/// Says which placement is not there, if any: all of them together could be released.
pub(super) fn check<'a>(
    cluster: &Cluster,
    running: impl Iterator<Item = &'a Placement>,
) -> Result<(), NotHeld> {
    let mut claimed: FxHashMap<u32, Claimed> = FxHashMap::default();
    for (position, placement) in running.enumerate() {
        claim(cluster, &mut claimed, placement).map_err(|source| NotHeld { position, source })?;
    }
    Ok(())
}

fn claim(
    cluster: &Cluster,
    claimed: &mut FxHashMap<u32, Claimed>,
    placement: &Placement,
) -> Result<(), PlaceError> {
    let (index, milli) = cluster.locate(placement)?;
    let node = placement.node;
    let unknown = PlaceError::UnknownNode { node };
    let slots = cluster.node(index).ok_or(unknown)?.slots;
    let claimed = claimed.entry(index).or_default();
    for &slot in &placement.gpus {
        let not_held = PlaceError::NotHeld { slot, milli: i64::from(milli) };
        let used = slots.get(slot).map_or(0, |gpu| WHOLE - gpu.free());
        let held = usize::try_from(slot).ok().and_then(|slot| claimed.milli.get_mut(slot));
        let held = held.ok_or(not_held.clone())?;
        *held = held.saturating_add(milli);
        if *held > used {
            return Err(not_held);
        }
    }
    if let Some(tag) = placement.demand.tag() {
        let tasks = claimed.tasks.entry(tag).or_default();
        *tasks += 1;
        if *tasks > cluster.tasks(index, tag) {
            return Err(PlaceError::NotRunning { node });
        }
    }
    Ok(())
}
