//! A plan in the making, which can be taken back step by step: [`Work`].

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::dual::GPU;
use super::floor::{Floor, Gpu};

/// How many GPUs are looked at for one share. More matters only where many have room, but their nodes do not.
const MOST_TRIED: usize = 2_000;
/// How many shares are tried to be moved on to make room for another one.
const MOST_DISPLACED: usize = 16;
/// How many of them move on for one share, each to where the next one was, beyond the first.
const MOST_CHAINED: usize = 2;
/// How many GPUs are looked at for one share whose nodes would have room without something else.
const MOST_CROWDED: usize = 200;
/// How many nodes are looked at for something that makes room.
const MOST_HOSTS: usize = 16;

/// A task goes from one place to another, all by their positions on the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) task: usize,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// What a GPU is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It is to be emptied, and takes a share only where no other GPU does.
    Source,
    /// It takes what fits, and may still be emptied.
    Target,
    /// It has taken something, so it is not emptied any more: no task is moved twice.
    Filled,
    /// Nobody uses it, or will.
    Idle,
}

/// A point to which everything can be taken back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    done: usize,
    moves: usize,
    freed: isize,
}

/// Something that was done.
#[derive(Debug, Clone, Copy)]
enum Done {
    Moved(Step),
    /// The role that a GPU had.
    Had(usize, Role),
}

/// The floor as it will be, and what leads there.
#[derive(Debug)]
pub(super) struct Work<'a> {
    pub(super) floor: Floor<'a>,
    /// GPUs that can be emptied, in the order in which they are.
    pub(super) sources: Vec<usize>,
    roles: Vec<Role>,
    /// Those that take what fits, by what is free of them: the first that is large enough is the tightest fit.
    targets: BTreeSet<(i64, usize)>,
    /// The nodes by their free processor time.
    hosts: BTreeSet<(i64, usize)>,
    moved: Vec<bool>,
    /// What has come to each GPU.
    came: Vec<Vec<usize>>,
    /// For what no way could be made in this round, by share, processor time, memory, and how many may move on.
    hopeless: FxHashSet<(i64, i64, i64, usize)>,
    log: Vec<Done>,
    moves: usize,
    budget: usize,
    freed: isize,
}

impl<'a> Work<'a> {
    /// Work on a floor, of which the first so many sources are kept for being emptied.
    pub(super) fn new(floor: Floor<'a>, sources: Vec<usize>, kept: usize, budget: usize) -> Self {
        let role = |gpu: &Gpu| if gpu.in_use() { Role::Target } else { Role::Idle };
        let mut roles: Vec<Role> = floor.gpus().iter().map(role).collect();
        for gpu in sources.iter().take(kept) {
            if let Some(role) = roles.get_mut(*gpu) {
                *role = Role::Source;
            }
        }
        let all = floor.gpus().iter().zip(&roles).enumerate();
        let targets = all.filter(|(_, (_, role))| **role == Role::Target);
        let targets = targets.map(|(at, (gpu, _))| (gpu.free, at)).collect();
        let hosts = (0..floor.nodes()).map(|node| (floor.cpu(node), node)).collect();
        let moved = vec![false; floor.tasks()];
        let came = vec![Vec::new(); floor.gpus().len()];
        Self {
            floor,
            sources,
            roles,
            targets,
            hosts,
            moved,
            came,
            hopeless: FxHashSet::default(),
            log: Vec::new(),
            moves: 0,
            budget,
            freed: 0,
        }
    }

    /// The moves, in order.
    pub(super) fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        self.log.iter().filter_map(|done| if let Done::Moved(step) = done { Some(*step) } else { None })
    }

    /// How many more GPUs are idle than at first.
    pub(super) const fn freed(&self) -> isize {
        self.freed
    }

    /// Counts a GPU that was idle and is so no more.
    pub(super) const fn begun(&mut self) {
        self.freed -= 1;
    }

    /// How many more moves there may be.
    pub(super) const fn left(&self) -> usize {
        self.budget.saturating_sub(self.moves)
    }

    pub(super) fn role(&self, gpu: usize) -> Role {
        self.roles.get(gpu).copied().unwrap_or(Role::Idle)
    }

    pub(super) fn free(&self, gpu: usize) -> i64 {
        self.floor.gpu(gpu).map_or(0, |gpu| gpu.free)
    }

    /// The tasks of a GPU that are still where they were, the largest first.
    pub(super) fn unmoved(&self, gpu: usize) -> impl Iterator<Item = usize> + '_ {
        let tasks = self.floor.gpu(gpu).map_or(&[][..], |gpu| &gpu.tasks);
        tasks.iter().copied().filter(|task| self.stays(*task))
    }

    pub(super) fn stays(&self, task: usize) -> bool {
        self.moved.get(task) == Some(&false)
    }

    /// Whether a GPU could still be emptied.
    pub(super) fn is_source(&self, gpu: usize) -> bool {
        matches!(self.role(gpu), Role::Source | Role::Target)
    }

    /// Moves everything off a GPU, or nothing. With `displacing`, a share that fits nowhere may push on one that does.
    pub(super) fn empty(&mut self, gpu: usize, displacing: bool) -> bool {
        let tasks: Vec<usize> = self.unmoved(gpu).collect();
        if !self.is_source(gpu) || tasks.len() > self.left() {
            return false;
        }
        let mark = self.mark();
        self.give(gpu, Role::Idle);
        for task in tasks {
            let placed = self.place(task, gpu) || displacing && self.make_way(task, gpu, MOST_CHAINED);
            if !placed || self.moves > self.budget {
                self.back_to(mark);
                // It was tried, so it need not be spared any more.
                self.give(gpu, Role::Target);
                return false;
            }
        }
        self.freed += 1;
        true
    }

    /// Moves a task to where it fits as things are. Answers whether there is such a GPU.
    fn place(&mut self, task: usize, from: usize) -> bool {
        let to = self.target_of(task, from).or_else(|| {
            let last_first = self.sources.iter().rev().copied().filter(|gpu| self.role(*gpu) == Role::Source);
            last_first.take(MOST_TRIED).find(|gpu| self.floor.fits(task, from, *gpu))
        });
        to.is_some_and(|to| {
            self.carry(Step { task, from, to });
            true
        })
    }

    /// The tightest fit for a task among those that take what fits.
    pub(super) fn target_of(&self, task: usize, from: usize) -> Option<usize> {
        let wide_enough = self.targets.range((self.floor.milli(task), 0)..).map(|(_, gpu)| *gpu);
        wide_enough.take(MOST_TRIED).find(|gpu| *gpu != from && self.floor.fits(task, from, *gpu))
    }

    /// Moves a task to where it fits once something else has gone from there. What has no way in a round has none in all of it:
    /// whatever asks for the same is not tried again.
    fn make_way(&mut self, task: usize, from: usize, more: usize) -> bool {
        let Some(demand) = self.floor.demand(task) else { return false };
        let kind = (self.floor.milli(task), demand.cpu().get(), demand.memory().get(), more);
        if self.hopeless.contains(&kind) {
            return false;
        }
        let found = self.clear(task, from) || self.displace(task, from, more);
        if !found {
            self.hopeless.insert(kind);
        }
        found
    }

    /// Begins another round: what had no way may have one now.
    pub(super) fn begin_round(&mut self) {
        self.hopeless.clear();
    }

    /// Moves a task to where it fits once a smaller one has gone from there, which goes first; and that one, where it fits
    /// nowhere, likewise, so many times.
    fn displace(&mut self, task: usize, from: usize, more: usize) -> bool {
        let milli = self.floor.milli(task);
        let widest_first = self.targets.range(..(milli, 0)).rev().map(|(_, gpu)| *gpu);
        let smaller = |gpu: usize| {
            let enough = milli - self.free(gpu);
            let that = |other: &usize| (enough..milli).contains(&self.floor.milli(*other));
            self.unmoved(gpu).filter(that).last().map(|other| (other, gpu))
        };
        let others = widest_first.filter(|gpu| *gpu != from).filter_map(smaller);
        let tried: Vec<(usize, usize)> = others.take(MOST_DISPLACED).collect();
        for (other, gpu) in tried {
            let mark = self.mark();
            if self.move_on(other, gpu, more) && self.come(task, from, gpu) {
                return true;
            }
            self.back_to(mark);
        }
        false
    }

    /// Moves a task to where it fits, or makes way for it.
    fn move_on(&mut self, task: usize, from: usize, more: usize) -> bool {
        if let Some(to) = self.target_of(task, from) {
            self.carry(Step { task, from, to });
            return true;
        }
        more > 0 && self.make_way(task, from, more - 1)
    }

    /// Moves a task to a GPU that is wide enough, and first something off the node if that must be.
    fn come(&mut self, task: usize, from: usize, gpu: usize) -> bool {
        if self.floor.fits(task, from, gpu) {
            self.carry(Step { task, from, to: gpu });
            return true;
        }
        let loads = self.floor.node_of(gpu).map_or(&[][..], |node| self.floor.loads(node));
        let mut loads = loads.iter().copied().filter(|load| self.stays(*load));
        let enough = loads.find(|load| self.floor.fits_with(task, gpu, Some(*load)));
        enough.is_some_and(|load| self.clear_of(task, from, gpu, load))
    }

    /// Moves a task to a GPU that is wide enough, on a node that has room once something else has gone from there, which
    /// goes first: a task without GPU, or one that takes an idle GPU for the one that it leaves. Of those that will do, that
    /// with the most processor time.
    fn clear(&mut self, task: usize, from: usize) -> bool {
        let wide_enough = self.targets.range((self.floor.milli(task), 0)..).map(|(_, gpu)| *gpu);
        let cleared = wide_enough.take(MOST_CROWDED).filter(|gpu| *gpu != from).filter_map(|gpu| {
            let loads = self.floor.loads(self.floor.node_of(gpu)?).iter().copied();
            let mut enough =
                loads.filter(|load| self.stays(*load) && self.floor.fits_with(task, gpu, Some(*load)));
            let load = enough.next()?;
            Some((self.floor.demand(load)?.cpu(), Reverse(gpu), load))
        });
        let mut cleared: Vec<_> = cleared.collect();
        cleared.sort_unstable_by(|a, b| b.cmp(a));
        cleared.into_iter().any(|(_, Reverse(gpu), load)| self.clear_of(task, from, gpu, load))
    }

    /// Moves a task to a GPU once something else has gone from its node, if there is where that can go.
    fn clear_of(&mut self, task: usize, from: usize, gpu: usize, load: usize) -> bool {
        let gone = self.unload(load);
        if gone {
            self.carry(Step { task, from, to: gpu });
        }
        gone
    }

    /// Moves something that makes room off its node, if there is where it can go.
    pub(super) fn unload(&mut self, load: usize) -> bool {
        let ways = self.floor.place_of(load).zip(self.host_of(load));
        if let Some((from, to)) = ways {
            self.carry(Step { task: load, from, to });
        }
        ways.is_some()
    }

    /// Moves the one task of a GPU to another GPU, if it fits.
    pub(super) fn empty_onto(&mut self, gpu: usize, task: usize, to: usize) -> bool {
        let fits = self.is_source(gpu) && gpu != to && self.left() > 0 && self.floor.fits(task, gpu, to);
        if fits {
            self.give(gpu, Role::Idle);
            self.carry(Step { task, from: gpu, to });
            self.freed += 1;
        }
        fits
    }

    /// Moves a share, and sees whether the GPU that it leaves is idle then.
    pub(super) fn bring(&mut self, step: Step) {
        self.carry(step);
        if self.is_source(step.from) && self.unmoved(step.from).next().is_none() {
            self.give(step.from, Role::Idle);
            self.freed += 1;
        }
    }

    /// How much each of the shares asks for that are on a GPU now, and how much of it is used by what must stay.
    pub(super) fn on(&self, gpu: usize) -> impl Iterator<Item = i64> + '_ {
        let pinned = self.floor.gpu(gpu).map_or(0, |gpu| gpu.pinned);
        let came = self.came.get(gpu).into_iter().flatten();
        let there = self.unmoved(gpu).chain(came.copied()).map(|task| self.floor.milli(task));
        there.chain([pinned].into_iter().filter(|pinned| *pinned > 0))
    }

    /// Where something goes that makes room: to the node with the most processor time left.
    fn host_of(&self, load: usize) -> Option<usize> {
        let from = self.floor.place_of(load)?;
        let most_first = self.hosts.iter().rev().map(|(_, node)| *node).take(MOST_HOSTS);
        let elsewhere = most_first.filter(|node| Some(*node) != self.floor.node_of(from));
        let mut places = elsewhere.filter_map(|node| {
            if self.floor.milli(load) == 0 {
                return Some(self.floor.place_on(node));
            }
            self.floor.gpus_of(node).find(|gpu| self.role(*gpu) == Role::Idle)
        });
        places.find(|place| self.floor.fits(load, from, *place))
    }

    /// Gives a GPU another role, and lists it as a target if that is what it is now.
    pub(super) fn give(&mut self, gpu: usize, role: Role) {
        self.log.push(Done::Had(gpu, self.role(gpu)));
        self.set_role(gpu, role);
    }

    fn set_role(&mut self, gpu: usize, role: Role) {
        let free = self.free(gpu);
        self.targets.remove(&(free, gpu));
        if matches!(role, Role::Target | Role::Filled) {
            self.targets.insert((free, gpu));
        }
        if let Some(held) = self.roles.get_mut(gpu) {
            *held = role;
        }
    }

    fn carry(&mut self, step: Step) {
        self.shift(step.task, step.from, step.to);
        self.set_moved(step.task, true);
        if let Some(came) = self.came.get_mut(step.to) {
            came.push(step.task);
        }
        self.log.push(Done::Moved(step));
        self.moves += 1;
        match self.floor.milli(step.task) {
            0 => {}
            GPU => {
                self.give(step.from, Role::Idle);
                self.give(step.to, Role::Filled);
            }
            _ => self.give(step.to, Role::Filled),
        }
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark { done: self.log.len(), moves: self.moves, freed: self.freed }
    }

    /// Takes back everything since the mark.
    pub(super) fn back_to(&mut self, mark: Mark) {
        while self.log.len() > mark.done
            && let Some(done) = self.log.pop()
        {
            match done {
                Done::Moved(step) => {
                    self.shift(step.task, step.to, step.from);
                    self.set_moved(step.task, false);
                    self.came.get_mut(step.to).map(Vec::pop);
                }
                Done::Had(gpu, role) => self.set_role(gpu, role),
            }
        }
        (self.moves, self.freed) = (mark.moves, mark.freed);
    }

    fn set_moved(&mut self, task: usize, to: bool) {
        if let Some(moved) = self.moved.get_mut(task) {
            *moved = to;
        }
    }

    /// Moves a task on the floor, and keeps the list of targets true.
    fn shift(&mut self, task: usize, from: usize, to: usize) {
        let listed = [from, to].map(|gpu| (gpu, self.targets.remove(&(self.free(gpu), gpu))));
        let nodes = [from, to].map(|place| self.floor.node_of(place).unwrap_or(usize::MAX));
        for node in nodes {
            self.hosts.remove(&(self.floor.cpu(node), node));
        }
        self.floor.carry(task, from, to);
        self.hosts.extend(nodes.map(|node| (self.floor.cpu(node), node)));
        for (gpu, _) in listed.into_iter().filter(|(_, listed)| *listed) {
            self.targets.insert((self.free(gpu), gpu));
        }
    }
}
