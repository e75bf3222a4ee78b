//! Packing anew what lies badly: [`repack`].

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};

use super::bound::Proof;
use super::dual::{GPU, ONE, Prices, Room};
use super::floor::Gpu;
use super::work::{Role, Step, Work};

/// How many shares of a size are looked at for one GPU.
const MOST_ALIKE: usize = 4;
/// How many shares are brought to a GPU at once.
const MOST_BROUGHT: usize = 4;
/// How many idle GPUs, each of a node with other room, are tried until one is begun, and how many are looked at for these.
const MOST_TRIED: usize = 24;
const MOST_IDLE: usize = 1_000;

/// Packs shares so that next to nothing of the GPUs in use is lost.
///
/// By the prices that prove the bound a GPU is worth 1, and *lost* is by how much the shares on it are worth less. In a plan that
/// reaches the bound nothing is lost. So shares leave the GPUs of which more than `most_lost` is lost, those first that are
/// soonest empty, and go together to where no more than that is lost once they are there. What they leave behind is packed
/// next, so that one idle GPU that is begun leads to many others. Each step is worth it by the prices, and not by itself:
/// only in the end there are more idle GPUs, if at all.
pub(super) fn repack(work: &mut Work<'_>, proof: &Proof, most_lost: i64) {
    let mut packing = Packing::new(work, &proof.room, &proof.prices, most_lost);
    while work.left() > 0 && packing.step(work) {}
}

/// What lies badly, and where it may go.
struct Packing<'a> {
    room: &'a Room,
    prices: &'a Prices,
    most_lost: i64,
    /// What is on each GPU is worth so much.
    worth: Vec<i64>,
    /// The shares that may leave where they are, by size.
    loose: Vec<BTreeSet<Loose>>,
    /// GPUs to which something may be brought, in the order in which they are tried.
    open: VecDeque<usize>,
    /// Those to which nothing could be brought as things were.
    later: Vec<usize>,
}

/// A share that may leave where it is. The least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Loose {
    /// How many have to leave its GPU until that is idle, it included.
    unmoved: usize,
    /// What is on its GPU is worth so much.
    worth: i64,
    task: usize,
    from: usize,
}

/// A share that fits a GPU.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    task: usize,
    from: usize,
    milli: i64,
    price: i64,
}

impl<'a> Packing<'a> {
    fn new(work: &Work<'_>, room: &'a Room, prices: &'a Prices, most_lost: i64) -> Self {
        let gpus = 0..work.floor.gpus().len();
        let loose = vec![BTreeSet::new(); room.sizes.len()];
        let (open, later) = (VecDeque::new(), Vec::new());
        let mut packing = Self { room, prices, most_lost, worth: Vec::new(), loose, open, later };
        packing.worth = gpus.clone().map(|gpu| packing.worth_now(work, gpu)).collect();
        packing.open =
            gpus.clone().filter(|gpu| work.role(*gpu) != Role::Idle && packing.is_lossy(*gpu)).collect();
        gpus.for_each(|gpu| packing.list(work, gpu));
        packing
    }

    /// Brings something to some GPU. Answers whether there was any for which that is good.
    fn step(&mut self, work: &mut Work<'_>) -> bool {
        while let Some(gpu) = self.open.pop_front() {
            if work.role(gpu) != Role::Idle && self.fill(work, gpu) {
                return true;
            }
            self.later.push(gpu);
        }
        let begun = self.begin(work);
        if begun {
            self.open.extend(self.later.drain(..));
        }
        begun
    }

    /// Begins an idle GPU, of those on the nodes with the most processor time.
    fn begin(&mut self, work: &mut Work<'_>) -> bool {
        let is_idle = |gpu: &usize| work.role(*gpu) == Role::Idle && work.free(*gpu) == GPU;
        let mut idle: Vec<usize> = (0..work.floor.gpus().len()).filter(is_idle).collect();
        idle.sort_by_key(|gpu| Reverse(work.floor.offer(*gpu).map(|offer| offer.cpu_free)));
        let mut in_vain = Vec::new();
        for gpu in idle.into_iter().take(MOST_IDLE) {
            let offer = work.floor.offer(gpu);
            // Of GPUs whose nodes have the same room, one does as well as another.
            if in_vain.contains(&offer) {
                continue;
            }
            if self.fill(work, gpu) {
                work.begun();
                return true;
            }
            in_vain.push(offer);
            if in_vain.len() == MOST_TRIED {
                break;
            }
        }
        false
    }

    /// Brings the shares to a GPU that are worth the most there, if next to nothing of it is lost then.
    fn fill(&mut self, work: &mut Work<'_>, gpu: usize) -> bool {
        let chosen = most_worth(&self.candidates(work, gpu), work.free(gpu));
        let worth: i64 = chosen.iter().map(|share| share.price).sum();
        let lost = ONE - self.worth.get(gpu).copied().unwrap_or(0) - worth;
        if chosen.is_empty() || chosen.len() > work.left() || lost > self.most_lost {
            return false;
        }
        let mut gpus: Vec<usize> = chosen.iter().map(|share| share.from).chain([gpu]).collect();
        gpus.sort_unstable();
        gpus.dedup();
        for at in &gpus {
            self.unlist(work, *at);
        }
        let mark = work.mark();
        // The node has room for each of them; for all of them it may not.
        let all = chosen.iter().all(|Candidate { task, from, .. }| {
            let fits = work.floor.fits(*task, *from, gpu);
            if fits {
                work.bring(Step { task: *task, from: *from, to: gpu });
            }
            fits
        });
        if !all {
            work.back_to(mark);
        }
        for at in gpus {
            let now = self.worth_now(work, at);
            if let Some(worth) = self.worth.get_mut(at) {
                *worth = now;
            }
            self.list(work, at);
            if all && at != gpu {
                self.open.retain(|open| *open != at);
                self.later.retain(|later| *later != at);
                if work.role(at) != Role::Idle {
                    self.open.push_front(at);
                }
            }
        }
        all
    }

    /// The shares that fit a GPU, the largest first: of each size the few that should go first.
    fn candidates(&self, work: &Work<'_>, gpu: usize) -> Vec<Candidate> {
        let free = work.free(gpu);
        let sizes = self.room.sizes.iter().zip(&self.prices.shares).zip(&self.loose).rev();
        let mut candidates = Vec::new();
        for (((milli, _), price), loose) in sizes.filter(|((size, _), _)| size.0 <= free) {
            let fits = |share: &&Loose| share.from != gpu && work.floor.fits(share.task, share.from, gpu);
            let fitting = loose.iter().filter(fits).take(MOST_ALIKE);
            let candidate = |share: &Loose| {
                let Loose { task, from, .. } = *share;
                Candidate { task, from, milli: *milli, price: *price }
            };
            candidates.extend(fitting.map(candidate));
        }
        candidates
    }

    /// Lists the shares of a GPU that may leave it.
    fn list(&mut self, work: &Work<'_>, gpu: usize) {
        for (size, share) in self.loose_of(work, gpu) {
            if let Some(loose) = self.loose.get_mut(size) {
                loose.insert(share);
            }
        }
    }

    /// Takes the shares of a GPU off the list, before anything of it changes.
    fn unlist(&mut self, work: &Work<'_>, gpu: usize) {
        for (size, share) in self.loose_of(work, gpu) {
            if let Some(loose) = self.loose.get_mut(size) {
                loose.remove(&share);
            }
        }
    }

    fn loose_of(&self, work: &Work<'_>, from: usize) -> Vec<(usize, Loose)> {
        let may = work.floor.gpu(from).is_some_and(Gpu::can_be_emptied) && work.is_source(from);
        if !may || !self.is_lossy(from) {
            return Vec::new();
        }
        let (unmoved, worth) = (work.unmoved(from).count(), self.worth.get(from).copied().unwrap_or(0));
        let share = |task| Some((self.size(work.floor.milli(task))?, Loose { unmoved, worth, task, from }));
        work.unmoved(from).filter_map(share).collect()
    }

    fn is_lossy(&self, gpu: usize) -> bool {
        self.worth.get(gpu).is_some_and(|worth| ONE - worth > self.most_lost)
    }

    /// What is on a GPU now is worth so much.
    fn worth_now(&self, work: &Work<'_>, gpu: usize) -> i64 {
        let price = |milli| {
            let known = self.size(milli).and_then(|size| self.prices.shares.get(size).copied());
            // Of what must stay it is known only how much it is.
            known.unwrap_or(milli * (ONE / GPU))
        };
        work.on(gpu).map(price).sum()
    }

    fn size(&self, milli: i64) -> Option<usize> {
        self.room.sizes.binary_search_by_key(&milli, |(size, _)| *size).ok()
    }
}

/// Those of the candidates that are worth the most together and go into so much room.
fn most_worth(candidates: &[Candidate], room: i64) -> Vec<Candidate> {
    let mut search = Search { candidates, chosen: Vec::new(), worth: 0, best: Vec::new() };
    search.go(0, room, 0);
    search.best
}

struct Search<'a> {
    candidates: &'a [Candidate],
    chosen: Vec<Candidate>,
    worth: i64,
    best: Vec<Candidate>,
}

impl Search<'_> {
    /// Tries everything that begins with what is chosen.
    fn go(&mut self, from: usize, room: i64, worth: i64) {
        if worth > self.worth {
            self.worth = worth;
            self.best.clone_from(&self.chosen);
        }
        if self.chosen.len() == MOST_BROUGHT {
            return;
        }
        let mut last = 0;
        for (at, candidate) in (0..).zip(self.candidates).skip(from) {
            // Of those of one size it makes no difference which; the first go first.
            if candidate.milli <= room && candidate.milli != last {
                last = candidate.milli;
                self.chosen.push(*candidate);
                self.go(at + 1, room - candidate.milli, worth + candidate.price);
                self.chosen.pop();
            }
        }
    }
}
