//! What a node is and what is free on it: [`NodeState`].

use uuid::Uuid;

use super::demand::{MAX_GPUS, MAX_MODEL_BYTES, Tag};
use crate::amount;

/// One node as the scheduler sees it: what it is and what is free on it.
///
/// Free amounts are signed: a node that shrank below what runs on it has less than nothing free, and nothing fits
/// until enough of it has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The node.
    pub id: Uuid,
    /// Where the node stands among nodes of equal score: the lower rank is taken first, then the lower id.
    ///
    /// A fixed order matters: it lets a policy fill up what it has begun instead of spreading equal choices.
    pub rank: u64,
    /// The model of the node's GPUs, if it has any and the model is known.
    pub model: Option<String>,
    /// Whether new tasks may be placed here. What runs already is not touched by it.
    pub schedulable: bool,
    /// Free processor time in thousandths of a core.
    pub cpu_free: i64,
    /// Free memory in MiB.
    pub memory_free: i64,
    /// Free disk space in MiB.
    pub storage_free: i64,
    /// The GPUs in slot order; a [`Placement`](super::Placement) names them by their position here.
    pub gpus: Vec<GpuState>,
    /// How many GPU tasks of each kind run here. Only the clustering policy looks at it.
    pub running: Running,
}

/// One GPU of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuState {
    /// What is free of it, from 0 to 1000 thousandths.
    pub free_milli: i64,
    /// Whether it works. Nothing is placed on one that does not, and its free part counts as none.
    pub healthy: bool,
}

impl GpuState {
    /// A GPU that works and is used by nobody.
    pub const IDLE: Self = Self { free_milli: 1000, healthy: true };

    /// What can be placed on it: what is free, or nothing if it does not work.
    pub const fn usable_milli(self) -> i64 {
        if self.healthy { self.free_milli } else { 0 }
    }
}

/// How many GPU tasks of each kind run on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running(Vec<(Tag, u32)>);

impl Running {
    /// Adds tasks of one kind.
    pub fn add(&mut self, tag: Tag, tasks: u32) {
        if tasks == 0 {
            return;
        }
        match self.0.binary_search_by_key(&tag, |(held, _)| *held) {
            Ok(at) => {
                if let Some((_, count)) = self.0.get_mut(at) {
                    *count = count.saturating_add(tasks);
                }
            }
            Err(at) => self.0.insert(at, (tag, tasks)),
        }
    }

    /// Takes away one task of a kind; nothing where none runs.
    pub fn remove(&mut self, tag: Tag) {
        if let Ok(at) = self.0.binary_search_by_key(&tag, |(held, _)| *held) {
            match self.0.get_mut(at) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => drop(self.0.remove(at)),
            }
        }
    }

    /// How many tasks of this kind run.
    pub fn count(&self, tag: Tag) -> u32 {
        self.iter().find(|(held, _)| *held == tag).map_or(0, |(_, count)| count)
    }

    /// The kinds that run, with how many of each (never 0).
    pub fn iter(&self) -> impl Iterator<Item = (Tag, u32)> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Tag> for Running {
    fn from_iter<T: IntoIterator<Item = Tag>>(tags: T) -> Self {
        let mut running = Self::default();
        tags.into_iter().for_each(|tag| running.add(tag, 1));
        running
    }
}

/// Nodes of which the scheduler takes in none, for one of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node}, at place {place}: {source}")]
#[non_exhaustive]
pub struct InvalidNodes {
    /// The position of the node among those given, from 0.
    pub place: usize,
    /// Which node.
    pub node: Uuid,
    /// What is wrong with it.
    pub source: InvalidNode,
}

/// A node that the scheduler cannot take in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNode {
    /// The node has more GPUs than [`MAX_GPUS`].
    #[error("a node must have at most {MAX_GPUS} gpus, got {got}")]
    TooManyGpus {
        /// The number of GPUs given.
        got: usize,
    },
    /// A GPU has from 0 to 1000 milli free.
    #[error("gpu {slot} must have from 0 to 1000 milli free, got {got}")]
    GpuFree {
        /// The position of the GPU.
        slot: usize,
        /// The free amount given.
        got: i64,
    },
    /// A free amount is beyond ±2^53, the range of an [amount].
    #[error("free {what} must be within 2^53 of zero, got {got}")]
    Free {
        /// Which of the amounts.
        what: &'static str,
        /// The free amount given.
        got: i64,
    },
    /// The name of the model is empty or longer than [`MAX_MODEL_BYTES`].
    #[error("the name of a gpu model must have 1 to {MAX_MODEL_BYTES} bytes, got {bytes}")]
    ModelName {
        /// The length of the name that was given.
        bytes: usize,
    },
    /// A kind of task with more GPUs than a node can have is said to run here.
    #[error("a task must run on 1 to {MAX_GPUS} whole gpus, got {got}")]
    RunningTag {
        /// The number of GPUs given.
        got: u32,
    },
}

impl NodeState {
    /// A node without anything: give it what it has.
    pub fn empty(id: Uuid, rank: u64) -> Self {
        Self {
            id,
            rank,
            model: None,
            schedulable: true,
            cpu_free: 0,
            memory_free: 0,
            storage_free: 0,
            gpus: Vec::new(),
            running: Running::default(),
        }
    }

    /// Says what is wrong with this node, if anything is.
    pub fn validate(&self) -> Result<(), InvalidNode> {
        if self.gpus.len() > usize::try_from(MAX_GPUS).unwrap_or(usize::MAX) {
            return Err(InvalidNode::TooManyGpus { got: self.gpus.len() });
        }
        if let Some((slot, gpu)) =
            self.gpus.iter().enumerate().find(|(_, gpu)| !(0..=1000).contains(&gpu.free_milli))
        {
            return Err(InvalidNode::GpuFree { slot, got: gpu.free_milli });
        }
        let free = [("cpu", self.cpu_free), ("memory", self.memory_free), ("storage", self.storage_free)];
        if let Some((what, got)) = free.into_iter().find(|(_, got)| got.abs_diff(0) > amount::MAX.abs_diff(0))
        {
            return Err(InvalidNode::Free { what, got });
        }
        if let Some(model) =
            self.model.as_ref().filter(|model| model.is_empty() || model.len() > MAX_MODEL_BYTES)
        {
            return Err(InvalidNode::ModelName { bytes: model.len() });
        }
        let wrong = |tag| matches!(tag, Tag::Whole(count) if !(1..=MAX_GPUS).contains(&count));
        match self.running.iter().find(|(tag, _)| wrong(*tag)) {
            Some((tag, _)) => Err(InvalidNode::RunningTag { got: tag.index() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_beyond_the_limits_is_refused_with_what_is_wrong() {
        let node = NodeState::empty(Uuid::nil(), 0);
        assert_eq!(node.validate(), Ok(()));
        let many = NodeState { gpus: vec![GpuState::IDLE; 17], ..node.clone() };
        assert_eq!(many.validate(), Err(InvalidNode::TooManyGpus { got: 17 }));
        let full = NodeState {
            gpus: vec![GpuState::IDLE, GpuState { free_milli: 1001, healthy: true }],
            ..node.clone()
        };
        assert_eq!(full.validate(), Err(InvalidNode::GpuFree { slot: 1, got: 1001 }));
        let deep = NodeState { memory_free: i64::MIN, ..node.clone() };
        assert_eq!(deep.validate(), Err(InvalidNode::Free { what: "memory", got: i64::MIN }));
        let tagged = NodeState { running: [Tag::Whole(0)].into_iter().collect(), ..node };
        assert_eq!(tagged.validate(), Err(InvalidNode::RunningTag { got: 0 }));
    }

    #[test]
    fn running_counts_tasks_by_kind() {
        let running: Running = [Tag::Whole(2), Tag::Share, Tag::Share].into_iter().collect();
        assert_eq!(running.iter().collect::<Vec<_>>(), [(Tag::Share, 2), (Tag::Whole(2), 1)]);
        assert_eq!(running.count(Tag::Whole(1)), 0);
    }

    #[test]
    fn a_task_is_taken_away_once_and_a_kind_without_tasks_is_gone() {
        let mut running: Running = [Tag::Share, Tag::Share, Tag::Whole(2)].into_iter().collect();
        running.remove(Tag::Share);
        assert_eq!((running.count(Tag::Share), running.count(Tag::Whole(2))), (1, 1));
        running.remove(Tag::Share);
        running.remove(Tag::Share);
        running.remove(Tag::Whole(4));
        assert_eq!(running, [Tag::Whole(2)].into_iter().collect());
    }
}
