//! How many tasks of each kind run on each node: [`TaskCounts`].

use rustc_hash::FxHashMap;

use super::demand::Tag;

/// Counts of tasks by node and kind.
///
/// Which kinds run on a node at all is part of the state of its class; only counts above one are kept here, so that
/// most nodes need nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct TaskCounts(FxHashMap<(u32, u8), u32>);

impl TaskCounts {
    /// How many run, given whether any does.
    pub(super) fn get(&self, node: u32, tag: Tag, any: bool) -> u32 {
        if any { self.0.get(&key(node, tag)).copied().unwrap_or(1) } else { 0 }
    }

    pub(super) fn set(&mut self, node: u32, tag: Tag, count: u32) {
        if count > 1 {
            self.0.insert(key(node, tag), count);
        } else {
            self.0.remove(&key(node, tag));
        }
    }
}

fn key(node: u32, tag: Tag) -> (u32, u8) {
    (node, u8::try_from(tag.index()).unwrap_or(u8::MAX))
}
