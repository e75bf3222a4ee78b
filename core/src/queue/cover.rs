//! Whose quota covers a run: [`Covers`].

use std::cmp::Reverse;

use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

use super::job::Job;
use super::order::OrderKey;
use super::pending::Entry;
use super::resources::Resources;
use super::round::Round;
use super::running::Held;
use super::tree::{Filling, QueueTree};

/// The place of a run among those that a quota covers: those first that keep what they have the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CoverKey {
    /// What cannot be stopped uses a quota whatever else there is.
    preemptible: bool,
    priority: Reverse<i32>,
    order: OrderKey,
}

/// A run that holds something, or will when others have stopped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    key: CoverKey,
    queue: Uuid,
    total: Resources,
}

/// Which runs the quotas of the queues cover.
///
/// The quota of a queue goes to the runs below it in their order ([`CoverKey`]), each as far as what is left is enough
/// for it, those first that are covered further below. A run for which it is enough is *covered* by that queue, and so
/// by those above; one that is covered nowhere below the root has only what others leave.
#[derive(Debug, Default)]
pub(super) struct Covers {
    runs: FxHashMap<Uuid, Vec<Member>>,
    /// What is known of a queue, until something changes below it.
    filled: FxHashMap<Uuid, Filled>,
    depths: FxHashMap<Uuid, usize>,
}

#[derive(Debug)]
struct Filled {
    /// Those that are covered further below.
    below: Vec<Member>,
    /// The others, in their order.
    others: Vec<Member>,
    covered: FxHashSet<Uuid>,
}

impl Member {
    const fn id(&self) -> Uuid {
        self.key.order.id
    }
}

impl Covers {
    fn add(&mut self, tree: &QueueTree, member: Member) {
        self.runs.entry(member.queue).or_default().push(member);
        self.forget(tree, member.queue);
    }

    pub(super) fn remove(&mut self, tree: &QueueTree, run: Uuid, queue: Uuid) {
        if let Some(members) = self.runs.get_mut(&queue) {
            members.retain(|member| member.id() != run);
        }
        self.forget(tree, queue);
    }

    fn forget(&mut self, tree: &QueueTree, queue: Uuid) {
        self.depths.clear();
        for node in tree.path(queue) {
            self.filled.remove(&node.id);
        }
    }

    /// How far below the root a run is covered: by the queue so many levels below it, or with 0 by none.
    fn depth(&mut self, tree: &QueueTree, run: Uuid, queue: Uuid) -> usize {
        if let Some(depth) = self.depths.get(&run) {
            return *depth;
        }
        let depth = self.deepest(tree, queue, |covers, at| covers.fill(tree, at).covered.contains(&run));
        self.depths.insert(run, depth);
        depth
    }

    /// The same of one that comes.
    fn depth_of_new(&mut self, tree: &QueueTree, new: &Member) -> usize {
        let by = |covers: &mut Self, at| {
            let filled = covers.fill(tree, at);
            let mut quota = filled.fill_below(tree, at);
            for other in filled.others.iter().take_while(|other| other.key < new.key) {
                quota.add(other.queue, other.total, false);
            }
            quota.add(new.queue, new.total, false)
        };
        self.deepest(tree, new.queue, by)
    }

    fn deepest(&mut self, tree: &QueueTree, queue: Uuid, covers: impl Fn(&mut Self, Uuid) -> bool) -> usize {
        let mut up: Vec<Uuid> = tree.path(queue).map(|node| node.id).collect();
        // A root cannot borrow.
        up.pop();
        let nearest = up.iter().position(|at| covers(self, *at));
        nearest.map_or(0, |nearest| up.len() - nearest)
    }

    fn fill(&mut self, tree: &QueueTree, at: Uuid) -> &Filled {
        if !self.filled.contains_key(&at) {
            let filled = self.filled_anew(tree, at);
            self.filled.insert(at, filled);
        }
        self.filled.entry(at).or_insert_with(Filled::none)
    }

    fn filled_anew(&mut self, tree: &QueueTree, at: Uuid) -> Filled {
        let mut filled = Filled::none();
        filled.others.extend(self.runs.get(&at).into_iter().flatten());
        for queue in tree.below(at) {
            let under = self.fill(tree, queue);
            filled.below.extend(&under.below);
            for other in &under.others {
                let covered = under.covered.contains(&other.id());
                if covered { &mut filled.below } else { &mut filled.others }.push(*other);
            }
        }
        filled.others.sort_unstable_by_key(|other| other.key);
        let mut quota = filled.fill_below(tree, at);
        let enough = filled.others.iter().filter(|other| quota.add(other.queue, other.total, false));
        filled.covered = enough.map(Member::id).collect();
        filled.covered.extend(filled.below.iter().map(Member::id));
        filled
    }
}

impl Filled {
    fn none() -> Self {
        Self { below: Vec::new(), others: Vec::new(), covered: FxHashSet::default() }
    }

    /// A quota of which those have their part that are covered further below.
    fn fill_below<'a>(&self, tree: &'a QueueTree, at: Uuid) -> Filling<'a> {
        let mut quota = tree.filling(at);
        for run in &self.below {
            quota.add(run.queue, run.total, true);
        }
        quota
    }
}

impl Round<'_> {
    /// How far below the root a running one is covered.
    pub(super) fn depth_of(&mut self, held: &Held) -> usize {
        let (run, queue) = (held.run.job.id, held.run.job.queue);
        self.with_covers(|covers, tree| covers.depth(tree, run, queue))
    }

    /// How far below the root one that waits would be, if it ran.
    pub(super) fn depth_for(&mut self, entry: &Entry) -> usize {
        let member = self.member_of_entry(entry);
        self.with_covers(|covers, tree| covers.depth_of_new(tree, &member))
    }

    /// Takes in what somebody will have.
    pub(super) fn cover(&mut self, entry: &Entry) {
        if self.covers.is_some() {
            let member = self.member_of_entry(entry);
            self.with_covers(|covers, tree| covers.add(tree, member));
        }
    }

    /// Takes out what somebody gives up.
    pub(super) fn uncover(&mut self, runs: &[Uuid]) {
        for held in runs.iter().filter_map(|run| self.running.get(*run)) {
            if let Some(covers) = &mut self.covers {
                covers.remove(self.trial.tree, held.run.job.id, held.run.job.queue);
            }
        }
    }

    fn with_covers<T>(&mut self, ask: impl FnOnce(&mut Covers, &QueueTree) -> T) -> T
    where
        T: Default,
    {
        if !self.trial.tree.has_quotas() {
            return T::default();
        }
        let mut covers = self.covers.take().unwrap_or_else(|| self.all_covers());
        let answer = ask(&mut covers, self.trial.tree);
        self.covers = Some(covers);
        answer
    }

    /// All that hold something and are not to stop, and all that are provided for.
    fn all_covers(&self) -> Covers {
        let mut covers = Covers::default();
        let stays = |held: &&Held| !held.run.stopping && !self.taken.contains(&held.run.job.id);
        for held in self.running.iter().filter(stays) {
            let member =
                self.member(&held.run.job, held.run.job.preemptible, self.order_of(held), held.total);
            covers.runs.entry(member.queue).or_default().push(member);
        }
        for entry in self.provided.iter().filter_map(|id| self.pending.get(*id)) {
            let member = self.member_of_entry(entry);
            covers.runs.entry(member.queue).or_default().push(member);
        }
        covers
    }

    fn member_of_entry(&self, entry: &Entry) -> Member {
        let order = OrderKey { waits: false, ..self.order_of_entry(entry) };
        self.member(&entry.job, true, order, entry.total)
    }

    fn member(&self, job: &Job, preemptible: bool, order: OrderKey, total: Resources) -> Member {
        // Where an order that displaces looks at no priorities, nor does this.
        let by_priority = self.settings.preempt_by_priority || !self.rules.displaces;
        let priority = Reverse(if by_priority { job.priority } else { 0 });
        Member { key: CoverKey { preemptible, priority, order }, queue: job.queue, total }
    }
}
