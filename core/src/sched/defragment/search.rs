//! The search for moves: [`best`].

use std::cmp::Reverse;

use super::bound::Proof;
use super::dual::ONE;
use super::floor::{Floor, Gpu};
use super::repack::repack;
use super::work::{Role, Step, Work};

/// How often the sources are gone through again, while that still frees something.
const MOST_ROUNDS: usize = 12;
/// How many sources one move that makes room must at least be good for, in the order in which they are looked for.
const MOST_INSTEAD: [isize; 3] = [4, 3, 2];
/// How many tasks of a node are tried to be moved off to make room.
const MOST_LOADS: usize = 2;
/// How many idle GPUs, each of a node with other room, are begun in vain for one source.
const MOST_BEGUN: usize = 3;
/// How many idle GPUs are looked at for one source.
const MOST_IDLE: usize = 200;
/// How many sources are tried together on an idle GPU.
const MOST_TOGETHER: usize = 64;

/// How much of a GPU may be lost where what lies badly is packed anew.
const MOST_LOST: [i64; 2] = [ONE / 100, ONE / 10];

/// A plan, by positions on the floor.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) steps: Vec<Step>,
    pub(super) freed: usize,
}

/// How to search.
#[derive(Debug, Clone, Copy)]
enum Way {
    Begin(Begin),
    /// What lies so badly is packed anew, see [`repack`].
    Repack(i64),
}

/// For which sources idle GPUs are begun first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// Those of the fewest tasks, then the smallest: the more go on one GPU, the fewer moves it costs to gain one.
    Smallest,
    /// The largest, and beside it the largest that fits: the fewest GPUs are begun.
    Largest,
    /// As the smallest, but only where nothing can be moved on to make room.
    Last,
}

/// A source that is not emptied, since some of its tasks fit no GPU as things are.
#[derive(Debug)]
struct Stuck {
    gpu: usize,
    tasks: Vec<usize>,
    milli: i64,
}

/// The best of some plans: some for when moves are scarce, some for when room is.
pub(super) fn best(floor: &Floor<'_>, budget: usize, proof: &Proof) -> Found {
    let mut best = Found::default();
    let milli = |found: &Found| found.steps.iter().map(|step| floor.milli(step.task)).sum::<i64>();
    let rank = |found: &Found| (found.freed, Reverse(found.steps.len()), Reverse(milli(found)));
    let ways = [Way::Begin(Begin::Smallest), Way::Begin(Begin::Largest), Way::Begin(Begin::Last)];
    for way in ways.into_iter().chain(MOST_LOST.map(Way::Repack)) {
        if best.freed == proof.freeable {
            break;
        }
        let found = search(floor, way, budget, proof);
        if rank(&found) > rank(&best) {
            best = found;
        }
    }
    best
}

/// Empties the GPUs of the fewest tasks first, and of these the least used.
///
/// Either into the tightest room that is there, then into idle GPUs, then by moving on what is in the way; or what lies badly is
/// packed anew, and then what can be emptied is.
fn search(floor: &Floor<'_>, way: Way, budget: usize, proof: &Proof) -> Found {
    let can = |gpu: &usize| floor.gpu(*gpu).is_some_and(Gpu::can_be_emptied);
    let mut sources: Vec<usize> = (0..floor.gpus().len()).filter(can).collect();
    sources.sort_by_key(|gpu| floor.gpu(*gpu).map(|gpu| (gpu.tasks.len(), gpu.used())));
    let kept = if matches!(way, Way::Begin(_)) { proof.freeable } else { 0 };
    let mut work = Work::new(floor.clone(), sources, kept, budget);
    match way {
        Way::Begin(begin) => {
            empty_all(&mut work, false);
            if begin == Begin::Last {
                clear_nodes(&mut work);
                empty_all(&mut work, true);
            }
            begin_idle(&mut work, begin);
        }
        Way::Repack(most_lost) => repack(&mut work, proof, most_lost),
    }
    empty_all(&mut work, true);
    // What was packed anew may have taken more than it gave back.
    Found { freed: usize::try_from(work.freed()).unwrap_or(0), steps: work.steps().collect() }
}

/// Goes through the sources until no more can be emptied.
fn empty_all(work: &mut Work<'_>, displacing: bool) {
    for _ in 0..MOST_ROUNDS {
        let before = work.freed();
        work.begin_round();
        for nth in 0..work.sources.len() {
            if let Some(gpu) = work.sources.get(nth).copied() {
                work.empty(gpu, displacing);
            }
        }
        if work.freed() == before {
            return;
        }
    }
}

/// Moves off a node what makes room for the tasks of several sources that have but one: the most for each such move first.
fn clear_nodes(work: &mut Work<'_>) {
    let only = |gpu: &usize| {
        let mut tasks = work.floor.gpu(*gpu)?.tasks.iter().copied();
        tasks.next().filter(|task| tasks.next().is_none() && work.stays(*task)).map(|task| (*gpu, task))
    };
    let mut singles: Vec<(usize, usize)> = work.sources.iter().filter_map(only).collect();
    singles.sort_by_key(|(_, task)| Reverse(work.floor.milli(*task)));
    for enough in MOST_INSTEAD {
        for node in 0..work.floor.nodes() {
            let loads = work.floor.loads(node).iter().copied().filter(|load| work.stays(*load));
            for load in loads.take(MOST_LOADS).collect::<Vec<_>>() {
                let (mark, before) = (work.mark(), work.freed());
                if work.left() > enough.unsigned_abs() && work.unload(load) {
                    fill(work, node, &singles);
                    if work.freed() < before + enough {
                        work.back_to(mark);
                    }
                }
            }
        }
    }
}

/// Brings what fits of these to the GPUs of a node that are in use, the largest first.
fn fill(work: &mut Work<'_>, node: usize, singles: &[(usize, usize)]) {
    for to in work.floor.gpus_of(node) {
        if !matches!(work.role(to), Role::Target | Role::Filled | Role::Source) {
            continue;
        }
        let narrow = |(_, task): &(usize, usize)| work.floor.milli(*task) > work.free(to);
        let from = singles.partition_point(narrow);
        for (gpu, task) in singles.get(from..).unwrap_or(&[]) {
            work.empty_onto(*gpu, *task, to);
        }
    }
}

/// Begins to use idle GPUs, each for the tasks of two sources or more, which are then idle instead.
fn begin_idle(work: &mut Work<'_>, begin: Begin) {
    let is_idle = |gpu: &usize| work.floor.gpu(*gpu).is_some_and(|gpu| !gpu.in_use() && gpu.tasks.is_empty());
    let mut idle: Vec<usize> = (0..work.floor.gpus().len()).filter(is_idle).collect();
    idle.sort_by_key(|gpu| Reverse(work.floor.offer(*gpu).map(|offer| offer.cpu_free)));
    let sources = work.sources.iter().filter(|gpu| work.is_source(**gpu));
    let mut stuck: Vec<Stuck> = sources.map(|gpu| Stuck::new(work, *gpu)).collect();
    match begin {
        Begin::Smallest | Begin::Last => {
            stuck.sort_by_key(|source| (work.unmoved(source.gpu).count(), source.milli));
        }
        Begin::Largest => stuck.sort_by_key(|source| Reverse(source.milli)),
    }
    for nth in 0..stuck.len() {
        let these = stuck.get(nth..).unwrap_or(&[]);
        // One move gains nothing if another GPU is begun for it.
        if work.left() < 2 {
            return;
        }
        if these.first().is_some_and(|first| work.is_source(first.gpu)) {
            begin_for(work, &idle, these);
            idle.retain(|gpu| work.role(*gpu) == Role::Idle);
        }
    }
}

impl Stuck {
    fn new(work: &Work<'_>, gpu: usize) -> Self {
        let fits_nowhere = |task: &usize| work.target_of(*task, gpu).is_none();
        let tasks: Vec<usize> = work.unmoved(gpu).filter(fits_nowhere).collect();
        let milli = tasks.iter().map(|task| work.floor.milli(*task)).sum();
        Self { gpu, tasks, milli }
    }

    /// Whether each of its tasks would fit a GPU, and all of them its share.
    fn fits(&self, work: &Work<'_>, gpu: usize) -> bool {
        let fits = |task: &usize| work.floor.fits(*task, self.gpu, gpu);
        work.is_source(self.gpu) && self.milli <= work.free(gpu) && self.tasks.iter().all(fits)
    }
}

/// Begins to use an idle GPU for the first of these sources, if one will do.
fn begin_for(work: &mut Work<'_>, idle: &[usize], sources: &[Stuck]) {
    let Some(first) = sources.first() else { return };
    let mut in_vain = Vec::new();
    for gpu in idle.iter().copied().take(MOST_IDLE) {
        // Of GPUs whose nodes have the same room, one does as well as another.
        let offer = work.floor.offer(gpu);
        if in_vain.contains(&offer) || !first.fits(work, gpu) {
            continue;
        }
        if in_vain.len() == MOST_BEGUN || begin_one(work, gpu, sources) {
            return;
        }
        in_vain.push(offer);
    }
}

/// Begins to use a GPU for the first of these sources, if another one can be emptied into it too.
fn begin_one(work: &mut Work<'_>, gpu: usize, sources: &[Stuck]) -> bool {
    let (mark, before) = (work.mark(), work.freed());
    work.give(gpu, Role::Target);
    let mut tried = 0;
    for source in sources {
        if tried == MOST_TOGETHER {
            break;
        }
        if source.fits(work, gpu) {
            let is_first = tried == 0;
            tried += 1;
            if !work.empty(source.gpu, false) && is_first {
                break;
            }
        }
    }
    if work.floor.gpu(gpu).is_some_and(Gpu::in_use) {
        if work.freed() < before + 2 {
            work.back_to(mark);
            return false;
        }
        work.begun();
    } else {
        // What has moved since made room elsewhere, if they went at all.
        work.give(gpu, Role::Idle);
    }
    work.freed() > before
}
