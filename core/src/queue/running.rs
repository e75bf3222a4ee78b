//! What runs: [`RunningSet`].

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::job::Running;
use super::resources::Resources;

/// A run that holds what it was given.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) run: Running,
    /// What all members hold together.
    pub(super) total: Resources,
}

/// All that run, and what they hold on each node.
#[derive(Debug, Clone, Default)]
pub(super) struct RunningSet {
    runs: BTreeMap<Uuid, Held>,
    on_nodes: FxHashMap<Uuid, Resources>,
}

impl RunningSet {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Held> {
        self.runs.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Uuid) -> Option<&mut Running> {
        self.runs.get_mut(&id).map(|held| &mut held.run)
    }

    /// All that run, by their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.runs.values()
    }

    /// What the runs hold on a node.
    pub(super) fn on_node(&self, node: Uuid) -> Resources {
        self.on_nodes.get(&node).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, run: Running) {
        for placement in &run.placements {
            let held = self.on_nodes.entry(placement.node).or_default();
            *held = held.plus(Resources::of(&placement.demand));
        }
        let total = run.job.ask.total();
        self.runs.insert(run.job.id, Held { run, total });
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Held> {
        let held = self.runs.remove(&id)?;
        for placement in &held.run.placements {
            if let Some(on_node) = self.on_nodes.get_mut(&placement.node) {
                *on_node = on_node.minus(Resources::of(&placement.demand));
                if on_node.is_zero() {
                    self.on_nodes.remove(&placement.node);
                }
            }
        }
        Some(held)
    }
}
