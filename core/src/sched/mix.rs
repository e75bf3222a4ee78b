//! What tasks are typical: [`TaskMix`], and how it is learnt: [`MixLearner`].

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::demand::{Demand, GpuDemand};
use crate::amount::{CpuMilli, MemoryMib};

/// The share of all tasks that the typical ones cover, in percent.
pub const COVERED_PERCENT: u64 = 95;

/// The most kinds of task with their memory that a mix keeps.
const MAX_KINDS: usize = 1024;

/// Weights add up to at most this, so that sums over a node's GPUs stay exact.
const MAX_WEIGHT: u64 = 1 << 40;

/// A kind of task that is typical, and how often it comes.
///
/// Memory and disk are left out: GPUs are what fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypicalTask {
    /// Processor time asked for.
    pub cpu: CpuMilli,
    /// GPUs asked for.
    pub gpu: GpuDemand,
    /// GPU models that will do, sorted; none means any.
    pub models: Vec<String>,
    /// How often it comes, beside the other weights of the mix.
    pub weight: u64,
}

/// The typical workload M by which fragments are measured: the most frequent kinds of task, until they cover
/// [`COVERED_PERCENT`] of all.
///
/// Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
/// Descent", USENIX ATC 2023, section 3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskMix {
    tasks: Vec<TypicalTask>,
    total: u64,
    kinds: Vec<Kind>,
}

/// A kind of task with everything that [`Policy::OpportunityCost`](super::Policy::OpportunityCost) looks at, and how
/// often it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) cpu: CpuMilli,
    pub(super) memory: MemoryMib,
    pub(super) gpu: GpuDemand,
    pub(super) models: Vec<String>,
    pub(super) weight: u64,
}

/// What makes two tasks the same kind as far as GPUs fragment.
type Shape = (CpuMilli, GpuDemand, Vec<String>);

/// What makes two tasks the same kind.
type Exact = (Shape, MemoryMib);

impl TaskMix {
    /// The typical workload among these tasks.
    pub fn from_demands<'a>(demands: impl IntoIterator<Item = &'a Demand>) -> Self {
        Self::from_counts(demands.into_iter().map(|demand| (demand, 1)))
    }

    /// The typical workload among tasks that come so often.
    pub fn from_counts<'a>(counts: impl IntoIterator<Item = (&'a Demand, u64)>) -> Self {
        let mut kinds: FxHashMap<Exact, u64> = FxHashMap::default();
        for (demand, count) in counts {
            let held = kinds.entry(kind(demand)).or_insert(0);
            *held = held.saturating_add(count);
        }
        Self::from_kinds(kinds.into_iter())
    }

    fn from_kinds(exact: impl Iterator<Item = (Exact, u64)>) -> Self {
        let exact = by_frequency(exact);
        let mut shapes: FxHashMap<Shape, u64> = FxHashMap::default();
        for ((shape, _), count) in &exact {
            let held = shapes.entry(shape.clone()).or_insert(0);
            *held = held.saturating_add(*count);
        }
        let mut shapes = by_frequency(shapes.into_iter());
        let all = sum(&shapes);
        let mut covered: u128 = 0;
        shapes.retain(|(_, count)| {
            let wanted = covered * 100 < all * u128::from(COVERED_PERCENT);
            covered += u128::from(*count);
            wanted
        });
        let weight = weigh(sum(&shapes));
        let task = |((cpu, gpu, models), count)| TypicalTask { cpu, gpu, models, weight: weight(count) };
        let tasks: Vec<TypicalTask> = shapes.into_iter().map(task).collect();
        let weight = weigh(sum(&exact));
        let kind =
            |(((cpu, gpu, models), memory), count)| Kind { cpu, memory, gpu, models, weight: weight(count) };
        let kinds = exact.into_iter().take(MAX_KINDS).map(kind).collect();
        let total = tasks.iter().map(|task| task.weight).sum();
        Self { tasks, total, kinds }
    }

    /// The typical tasks, the most frequent first.
    pub fn tasks(&self) -> &[TypicalTask] {
        &self.tasks
    }

    /// All kinds of task with their memory, the most frequent first.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The sum of all weights; 0 if nothing is known.
    pub const fn total_weight(&self) -> u64 {
        self.total
    }
}

/// Equally frequent ones in the order of what they are, so that a cut does not depend on a hash.
fn by_frequency<T: Ord>(counts: impl Iterator<Item = (T, u64)>) -> Vec<(T, u64)> {
    let mut counts: Vec<(T, u64)> = counts.filter(|(_, count)| *count > 0).collect();
    counts.sort_unstable_by(|(a, count_a), (b, count_b)| count_b.cmp(count_a).then_with(|| a.cmp(b)));
    counts
}

fn sum<T>(counts: &[(T, u64)]) -> u128 {
    counts.iter().map(|(_, count)| u128::from(*count)).sum()
}

/// Makes weights of counts with this sum, which add up to about [`MAX_WEIGHT`] at most.
fn weigh(sum: u128) -> impl Fn(u64) -> u64 {
    let scale = sum.div_ceil(u128::from(MAX_WEIGHT)).max(1);
    move |count| u64::try_from(u128::from(count) / scale).unwrap_or(MAX_WEIGHT).max(1)
}

fn kind(demand: &Demand) -> Exact {
    ((demand.cpu(), demand.gpu(), demand.models().to_vec()), demand.memory())
}

/// Learns the typical workload from the tasks that come, from the first one on.
///
/// A new mix is made when the count has grown by an eighth, not at every task, since all remembered scores go with the
/// old mix: each of the first sixteen tasks makes one, and ten times as many tasks make some twenty more. Old tasks fade:
/// whenever [`WINDOW`](Self::WINDOW) tasks have been counted, all counts are halved. The outcome depends only on the
/// order of what was observed.
#[derive(Debug, Clone, Default)]
pub struct MixLearner {
    counts: BTreeMap<Exact, u64>,
    counted: u64,
    /// How many tasks the mix was made of, as far as they have not faded since.
    made_of: u64,
    /// How many tasks came since then.
    fresh: u64,
    mix: TaskMix,
    version: u64,
}

impl MixLearner {
    /// How many tasks are counted before the counts are halved.
    pub const WINDOW: u64 = 1 << 16;

    /// The most kinds of task that are told apart; of more, the rare ones are forgotten.
    pub const MAX_KINDS: usize = 4096;

    /// Counts a task that came. Answers whether the mix is now another one.
    ///
    /// What is to be placed is counted before it is decided where: so nothing is placed without a mix.
    pub fn observe(&mut self, demand: &Demand) -> bool {
        if self.counted >= Self::WINDOW || self.counts.len() >= Self::MAX_KINDS {
            self.fade();
        }
        let kind = kind(demand);
        if self.counts.len() < Self::MAX_KINDS || self.counts.contains_key(&kind) {
            *self.counts.entry(kind).or_insert(0) += 1;
            self.counted += 1;
        }
        self.fresh += 1;
        if self.fresh < self.made_of / 8 {
            return false;
        }
        self.fresh = 0;
        self.made_of = self.counted;
        let mix = TaskMix::from_kinds(self.counts.iter().map(|(kind, count)| (kind.clone(), *count)));
        let changed = mix != self.mix;
        if changed {
            self.mix = mix;
            self.version += 1;
        }
        changed
    }

    /// The mix as it would be if this task came next, where it would be another one. Nothing is counted.
    pub(crate) fn mix_with(&self, demand: &Demand) -> Option<TaskMix> {
        let fades = self.counted >= Self::WINDOW || self.counts.len() >= Self::MAX_KINDS;
        if !fades && self.fresh + 1 < self.made_of / 8 {
            return None;
        }
        let mut next = self.clone();
        next.observe(demand).then_some(next.mix)
    }

    /// The typical workload as last made; empty before the first task.
    pub const fn mix(&self) -> &TaskMix {
        &self.mix
    }

    /// Raised whenever the mix becomes another one.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Halves all counts, and what is said of the mix with them: it is as old as they are. Where the rare ones were most
    /// of what was counted, the mix is kept until there is as much again to make one of.
    fn fade(&mut self) {
        self.counts.retain(|_, count| {
            *count /= 2;
            *count > 0
        });
        self.counted = self.counts.values().sum();
        self.made_of /= 2;
        self.fresh = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{GpuMilli, MemoryMib, StorageMib};

    fn share(milli: u32) -> Demand {
        let gpu = GpuDemand::Share(GpuMilli::from_u32(milli));
        Demand::new(CpuMilli::from_u32(1000), MemoryMib::from_u32(milli), StorageMib::ZERO, gpu, vec![])
            .unwrap()
    }

    #[test]
    fn the_rarest_five_percent_are_not_typical() {
        let tasks: Vec<Demand> = [(100, 60), (200, 34), (300, 3), (400, 2), (500, 1)]
            .into_iter()
            .flat_map(|(milli, count)| std::iter::repeat_n(share(milli), count))
            .collect();
        let mix = TaskMix::from_demands(&tasks);
        assert_eq!(mix.tasks().iter().map(|task| task.weight).collect::<Vec<_>>(), [60, 34, 3]);
        assert_eq!(mix.total_weight(), 97);
        assert_eq!(
            TaskMix::from_counts([(&share(100), 60), (&share(200), 34), (&share(300), 6)]).total_weight(),
            100
        );
    }

    #[test]
    fn memory_does_not_tell_typical_tasks_apart() {
        let more = Demand::new(
            CpuMilli::from_u32(1000),
            MemoryMib::from_u32(9),
            StorageMib::from_u32(9),
            share(100).gpu(),
            vec![],
        );
        assert_eq!(TaskMix::from_demands(&[share(100), more.unwrap()]).tasks().len(), 1);
    }

    #[test]
    fn weights_keep_their_proportions_when_they_are_huge() {
        let mix = TaskMix::from_counts([(&share(1), u64::MAX), (&share(2), u64::MAX / 2)]);
        let weights: Vec<u64> = mix.tasks().iter().map(|task| task.weight).collect();
        assert!(mix.total_weight() <= MAX_WEIGHT && weights[0] / weights[1] == 2);
    }

    #[test]
    fn a_learner_knows_the_first_task_and_makes_a_new_mix_when_an_eighth_has_come() {
        let mut learner = MixLearner::default();
        let made: Vec<u64> = (1..=40).filter(|_| learner.observe(&share(100))).collect();
        assert_eq!(made, [&(1..=16).collect::<Vec<u64>>()[..], &[18, 20, 22, 24, 27, 30, 33, 37]].concat());
        assert_eq!(learner.mix(), &TaskMix::from_counts([(&share(100), 37)]));
        let before = learner.version();
        let made = (41..=60_000).filter(|_| learner.observe(&share(100))).count();
        assert_eq!((made, learner.version()), (63, before + 63));
    }

    #[test]
    fn what_would_be_learned_of_a_task_is_what_is_learned_of_it() {
        let mut learner = MixLearner::default();
        for milli in (1..300).map(|at| 1 + at * 7 % 5) {
            let next = learner.mix_with(&share(milli));
            let changed = learner.observe(&share(milli));
            assert_eq!(next, changed.then(|| learner.mix().clone()));
        }
    }

    #[test]
    fn a_learner_forgets_what_no_longer_comes() {
        let mut learner = MixLearner::default();
        for _ in 0..MixLearner::WINDOW {
            learner.observe(&share(100));
        }
        for _ in 0..MixLearner::WINDOW * 5 {
            learner.observe(&share(200));
        }
        assert_eq!(learner.mix().tasks().len(), 1);
        assert_eq!(learner.mix().tasks()[0].gpu, share(200).gpu());
    }

    #[test]
    fn tasks_that_are_all_of_their_own_kind_leave_a_mix_of_many_and_do_not_stop_the_learning() {
        let mut learner = MixLearner::default();
        let of_its_own = |memory| {
            let memory = MemoryMib::from_u32(memory);
            Demand::new(CpuMilli::from_u32(1000), memory, StorageMib::ZERO, share(300).gpu(), vec![]).unwrap()
        };
        for _ in 0..MixLearner::WINDOW - 1 {
            learner.observe(&share(200));
        }
        let mut since_last = 0;
        for memory in 1000..40_000 {
            since_last = if learner.observe(&of_its_own(memory)) { 0 } else { since_last + 1 };
            assert!(since_last < 15_000, "{memory}");
            assert!(learner.mix().kinds().len() > 100 || memory < 11_000, "{memory}");
        }
    }
}
