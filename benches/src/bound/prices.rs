//! What each task and each resource is said to be worth: [`Prices`], and what a node can hold at them.

use super::instance::{Instance, Kind, Shape};
use super::{at, rounded};

/// So many units of a price are one milli of a GPU. Whole numbers, so that nothing is lost when they are added up.
pub(super) const UNITS_PER_MILLI: i64 = 1_000_000;
/// A tilt of so much would leave nothing of the prices.
const WHOLE_TILT: i64 = 10_000;
/// Beyond this no price is of use: it is far above what a task or a node can be worth.
const LIMIT: i64 = 100_000 * UNITS_PER_MILLI;

/// The price of each kind of task, which may be negative, and of the cpu and the memory of each shape.
///
/// Any prices give a valid bound; good ones come from [`program`](super::program).
#[derive(Debug, Clone)]
pub(super) struct Prices {
    /// For one task of each kind.
    pub(super) kinds: Vec<i64>,
    /// For a milli of cpu and a MiB of memory of each shape; never negative.
    pub(super) shapes: Vec<(i64, i64)>,
}

/// What one GPU holds, or so many GPUs that belong together, or what a task without GPUs takes of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fill {
    pub(super) shape: usize,
    pub(super) gpus: i64,
    /// The kinds, ascending, and how many of each.
    pub(super) tasks: Vec<(usize, i64)>,
}

impl Fill {
    /// Fills of one kind alone: one task that needs its GPUs for itself, or as many shares as one GPU holds.
    pub(super) fn plain(instance: &Instance) -> Vec<Self> {
        let fills = instance.kinds.iter().enumerate().flat_map(|(kind, asked)| {
            let copies = if asked.shares() { 1000 / asked.gpu_milli.max(1) } else { 1 };
            let tasks = vec![(kind, copies)];
            asked.homes.iter().map(move |&shape| Self { shape, gpus: asked.gpus, tasks: tasks.clone() })
        });
        fills.collect()
    }
}

impl Prices {
    /// Of no use to anybody, and valid: no more than all GPUs can be allocated.
    pub(super) fn nothing(instance: &Instance) -> Self {
        Self { kinds: vec![0; instance.kinds.len()], shapes: vec![(0, 0); instance.shapes.len()] }
    }

    /// From prices in GPUs: for one task; and for as much cpu, and memory, as a node of the shape has for each GPU.
    pub(super) fn of(instance: &Instance, kinds: &[f64], shapes: &[(f64, f64)]) -> Self {
        let unit = 1000 * UNITS_PER_MILLI;
        let part = |price: f64, shape: &Shape, of: i64| {
            rounded(
                price.max(0.0) * super::real(unit) * super::real(shape.gpus) / super::real(of.max(1)),
                LIMIT,
            )
        };
        let shapes = instance.shapes.iter().zip(shapes).map(|((shape, _), (cpu, memory))| {
            (part(*cpu, shape, shape.cpu_milli), part(*memory, shape, shape.memory_mib))
        });
        Self {
            kinds: kinds.iter().map(|price| rounded(price * super::real(unit), LIMIT)).collect(),
            shapes: shapes.collect(),
        }
    }

    /// The price of one task, where so many together have one in GPUs.
    pub(super) fn of_each(price: f64, tasks: f64) -> i64 {
        rounded(price / tasks * super::real(1000 * UNITS_PER_MILLI), LIMIT)
    }

    /// Moves prices towards those at which a task costs what it allocates, and nothing else costs anything.
    pub(super) fn tilted(&self, instance: &Instance, tilt: i64) -> Self {
        let keep = WHOLE_TILT - tilt;
        let kinds = self.kinds.iter().zip(&instance.kinds);
        let tilted =
            |(price, kind): (&i64, &Kind)| price * keep + kind.value_milli() * UNITS_PER_MILLI * tilt;
        Self {
            kinds: kinds.map(|price| tilted(price) / WHOLE_TILT).collect(),
            shapes: self
                .shapes
                .iter()
                .map(|(cpu, memory)| (cpu * keep / WHOLE_TILT, memory * keep / WHOLE_TILT))
                .collect(),
        }
    }

    /// What all nodes together can hold, at most, when each task counts for what it allocates less its price.
    pub(super) fn worth_of_nodes(&self, instance: &Instance) -> i64 {
        let each = (0..).zip(&instance.shapes);
        let worths =
            each.map(|(shape, (_, nodes))| self.worth_of(instance, shape).per_node.saturating_mul(*nodes));
        worths.fold(0, i64::saturating_add)
    }

    /// The same for one node of a shape, and the fill of one GPU that is worth the most.
    pub(super) fn worth_of(&self, instance: &Instance, shape: usize) -> Worth {
        let Some((extent, _)) = instance.shapes.get(shape) else {
            return Worth::default();
        };
        let (cpu, memory) = self.resources(instance, shape);
        let mut whole = 0;
        let mut shares = Vec::new();
        for (at, kind) in instance.kinds.iter().enumerate().filter(|(_, kind)| kind.homes.contains(&shape)) {
            let gain = self.net(instance, at, (cpu, memory));
            if kind.shares() {
                shares.push(Share { kind: at, milli: kind.gpu_milli, gain });
            } else if kind.gpus > 0 {
                // Rounded up: a bound may be too high.
                whole = whole.max((gain + kind.gpus - 1).div_euclid(kind.gpus));
            }
        }
        let (best, tasks) = fullest(&shares);
        let gpus = extent.gpus * best.max(whole).max(0);
        // Saturating, for absurd prices: a bound may be too high.
        let fixed = [cpu.saturating_mul(extent.cpu_milli), memory.saturating_mul(extent.memory_mib)];
        let per_node = fixed.into_iter().fold(gpus, i64::saturating_add);
        Worth { per_node, fill: Fill { shape, gpus: 1, tasks } }
    }

    /// The prices of cpu and memory of a shape, raised where a task without GPUs would still be worth more than what
    /// it takes: nothing but cpu and memory keeps such tasks from filling a node.
    fn resources(&self, instance: &Instance, shape: usize) -> (i64, i64) {
        let (mut cpu, mut memory) = at(&self.shapes, shape);
        let bare = instance.kinds.iter().enumerate().filter(|(_, kind)| kind.gpus == 0);
        for (at, kind) in bare.filter(|(_, kind)| kind.homes.contains(&shape)) {
            let over = self.net(instance, at, (cpu, memory));
            if over > 0 && kind.cpu_milli > 0 {
                cpu += (over + kind.cpu_milli - 1).div_euclid(kind.cpu_milli);
            } else if over > 0 {
                memory += (over + kind.memory_mib - 1).div_euclid(kind.memory_mib.max(1));
            }
        }
        (cpu, memory)
    }

    /// What a task allocates, less its price and that of the cpu and the memory that it takes.
    fn net(&self, instance: &Instance, at: usize, (cpu, memory): (i64, i64)) -> i64 {
        let (Some(kind), Some(price)) = (instance.kinds.get(at), self.kinds.get(at)) else {
            return 0;
        };
        let taken = cpu.saturating_mul(kind.cpu_milli).saturating_add(memory.saturating_mul(kind.memory_mib));
        (kind.value_milli() * UNITS_PER_MILLI - price).saturating_sub(taken)
    }
}

/// What a node is worth at some prices.
#[derive(Debug, Clone)]
pub(super) struct Worth {
    pub(super) per_node: i64,
    /// The shares that gain the most on one GPU.
    pub(super) fill: Fill,
}

impl Default for Worth {
    fn default() -> Self {
        Self { per_node: 0, fill: Fill { shape: 0, gpus: 1, tasks: Vec::new() } }
    }
}

/// A kind of shares as one GPU sees it.
struct Share {
    kind: usize,
    milli: i64,
    gain: i64,
}

/// The shares that gain the most on one GPU: the knapsack of the classical cutting-stock problem, solved exactly.
fn fullest(shares: &[Share]) -> (i64, Vec<(usize, i64)>) {
    let unit = shares.iter().fold(1000, |unit, share| gcd(unit, share.milli));
    let width = |share: &Share| usize::try_from(share.milli / unit).unwrap_or(usize::MAX);
    let size = usize::try_from(1000 / unit).unwrap_or(0);
    // Of shares that are as wide, only the one that gains the most.
    let mut widths: Vec<Option<&Share>> = vec![None; size + 1];
    for share in shares.iter().filter(|share| share.gain > 0) {
        if let Some(best) = widths.get_mut(width(share))
            && best.is_none_or(|best| best.gain < share.gain)
        {
            *best = Some(share);
        }
    }
    let shares: Vec<&Share> = widths.into_iter().flatten().collect();
    let mut best: Vec<(i64, Option<&Share>)> = vec![(0, None)];
    for room in 1..=size {
        let mut most = (best.last().map_or(0, |(gain, _)| *gain), None);
        for share in &shares {
            let Some(left) = room.checked_sub(width(share)) else { break };
            let gain = at(&best, left).0 + share.gain;
            if gain > most.0 {
                most = (gain, Some(*share));
            }
        }
        best.push(most);
    }
    let mut tasks = std::collections::BTreeMap::new();
    let mut room = size;
    while room > 0 {
        match at(&best, room).1 {
            Some(share) => {
                *tasks.entry(share.kind).or_default() += 1;
                room -= width(share).clamp(1, room);
            }
            None => room -= 1,
        }
    }
    (at(&best, size).0, tasks.into_iter().collect())
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
