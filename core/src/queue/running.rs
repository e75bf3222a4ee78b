//! What runs: [`RunningSet`].

use std::collections::{BTreeMap, BTreeSet};

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
    stopping: BTreeSet<Uuid>,
}

impl RunningSet {
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    pub(super) fn get(&self, id: Uuid) -> Option<&Held> {
        self.runs.get(&id)
    }

    /// Says that a run was asked to stop. Answers whether it runs.
    pub(super) fn stop(&mut self, id: Uuid) -> bool {
        let Some(held) = self.runs.get_mut(&id) else {
            return false;
        };
        held.run.stopping = true;
        self.stopping.insert(id);
        true
    }

    /// Those that were asked to stop.
    pub(super) fn stopping(&self) -> impl Iterator<Item = &Held> {
        self.stopping.iter().filter_map(|id| self.runs.get(id))
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
        if run.stopping {
            self.stopping.insert(run.job.id);
        }
        let total = run.job.ask.total();
        self.runs.insert(run.job.id, Held { run, total });
    }

    pub(super) fn remove(&mut self, id: Uuid) -> Option<Held> {
        let held = self.runs.remove(&id)?;
        self.stopping.remove(&id);
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
