//! Packing draws of tasks into a node: [`Draws`].

use super::Cell;
use super::copies::Copies;
use crate::sched::class::{SLOTS, WHOLE};
use crate::sched::demand::GpuDemand;
use crate::sched::mix::{Kind, TaskMix};

/// The most tasks in a draw.
const MAX_DRAWN: u64 = 4096;

/// The fractions of the golden ratio and of the square root of 2, in 2^64ths: their multiples are spread evenly.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const DIAGONAL: u64 = 0x6A09_E667_F3BC_C908;

/// Draws of tasks from a mix, the same for all nodes, so that two nodes differ by what they are and not by luck.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    /// The kinds that use GPUs, those that ask for the most first.
    kinds: Vec<Kind>,
    all: Vec<Vec<Drawn>>,
}

/// Processor time and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) cpu: i64,
    pub(super) memory: i64,
}

/// What is left over of the GPUs of a cell, and the most that was taken of processor time and memory on the way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) left: i64,
    pub(super) taken: Amounts,
}

impl Amounts {
    /// Whether there is so much of both.
    pub(super) const fn within(self, free: Self) -> bool {
        self.cpu <= free.cpu && self.memory <= free.memory
    }

    /// The most of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }
}

/// A draw as it is packed: with each of its kinds the least that it and those behind it ask for, so that the end is seen
/// where nothing more can fit.
type Draw = Vec<(Drawn, Least)>;

/// The least processor time, memory and part of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Least {
    cpu: i64,
    memory: i64,
    each: u16,
}

/// What runs on nodes of one GPU model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OnModel {
    /// Each draw, and its tasks of one GPU or less where there are others in it.
    draws: Vec<(Draw, Option<Draw>)>,
    pub(super) copies: Copies,
}

/// Equal tasks of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Drawn {
    /// The place of their kind.
    kind: u32,
    cpu: i64,
    memory: i64,
    /// GPUs of each task.
    count: u16,
    /// Milli of each of its GPUs.
    each: u16,
    /// How many tasks.
    tasks: u16,
}

impl Drawn {
    fn new(at: usize, kind: &Kind, tasks: u16) -> Self {
        let (count, each) = kind.gpu.need();
        Self {
            kind: u32::try_from(at).unwrap_or(u32::MAX),
            cpu: kind.cpu.get(),
            memory: kind.memory.get(),
            count: u16::try_from(count).unwrap_or(u16::MAX),
            each: u16::try_from(each.get()).unwrap_or(WHOLE),
            tasks,
        }
    }

    /// How many of so many tasks go into so much processor time and memory.
    #[inline]
    fn fitting(&self, tasks: i64, cpu: i64, memory: i64) -> i64 {
        if self.cpu > cpu || self.memory > memory {
            return 0;
        }
        let mut tasks = tasks;
        // To divide takes longer than to multiply, and is seldom necessary.
        if self.cpu.saturating_mul(tasks) > cpu {
            tasks = cpu / self.cpu;
        }
        if self.memory.saturating_mul(tasks) > memory {
            tasks = memory / self.memory;
        }
        tasks
    }
}

impl Draws {
    /// So many draws for each number of GPUs, of as many tasks as ask for so many GPUs together.
    ///
    /// The kinds stand in a row, each as long as it is frequent; the row is cut into as many equal strata as a draw has
    /// tasks, and each draw takes one task from each stratum, where the golden ratio puts it. So what is frequent is in all
    /// draws as often as it should be, and what is rare in some.
    pub(super) fn new(mix: &TaskMix, draws: u64, gpus: [u64; 2]) -> Self {
        let mut kinds: Vec<Kind> =
            mix.kinds().iter().filter(|kind| kind.gpu != GpuDemand::None).cloned().collect();
        let asked = |kind: &Kind| {
            let (count, each) = kind.gpu.need();
            i64::from(count) * each.get()
        };
        kinds.sort_by_key(|kind| {
            (std::cmp::Reverse(asked(kind)), kind.cpu, kind.memory, kind.gpu, kind.models.clone())
        });
        let total: u128 = kinds.iter().map(|kind| u128::from(kind.weight)).sum();
        let milli: u128 =
            kinds.iter().map(|kind| u128::from(kind.weight) * u128::from(asked(kind).unsigned_abs())).sum();
        let tasks = |gpus: u64| {
            let tasks = (u128::from(gpus) * 1000 * total + milli / 2) / milli.max(1);
            u64::try_from(tasks).unwrap_or(MAX_DRAWN).clamp(1, MAX_DRAWN)
        };
        let numbered = |gpus| (0..draws).map(move |number| (tasks(gpus), number));
        let all = gpus.into_iter().flat_map(numbered);
        let all = all.map(|(tasks, number)| stratified(&kinds, total, tasks, number)).collect();
        Self { kinds, all }
    }

    /// What of it runs on nodes of a GPU model, by its name.
    pub(super) fn on(&self, name: Option<&str>) -> OnModel {
        let admits = |kind: &Kind| {
            kind.models.is_empty() || name.is_some_and(|name| kind.models.iter().any(|named| named == name))
        };
        let admitted: Vec<bool> = self.kinds.iter().map(admits).collect();
        let runs =
            |drawn: &&Drawn| usize::try_from(drawn.kind).is_ok_and(|kind| admitted.get(kind) == Some(&true));
        let draw = |draw: &Vec<Drawn>| {
            let all: Vec<Drawn> = draw.iter().filter(runs).copied().collect();
            let single: Vec<Drawn> = all.iter().filter(|drawn| drawn.count == 1).copied().collect();
            let single = (single.len() < all.len()).then(|| with_least(&single));
            (with_least(&all), single)
        };
        let draws = self.all.iter().map(draw).collect();
        OnModel { draws, copies: Copies::new(&self.kinds, &admitted) }
    }
}

impl OnModel {
    /// What the draws leave over of the GPUs of a cell with so much processor time and memory, in milli, summed over all
    /// draws; and the most that the tasks of one draw took of these.
    pub(super) fn packed(&self, cell: &Cell, free: Amounts) -> Part {
        let room = Room::of(cell, free);
        let mut taken = Amounts::default();
        let mut pack = |draw: &Draw| {
            let (left, packed) = room.packed(draw);
            taken = taken.max(Amounts { cpu: free.cpu - packed.cpu, memory: free.memory - packed.memory });
            left
        };
        let left_over = |(all, single): &(Draw, Option<Draw>)| {
            let left = pack(all);
            match single {
                // A task of several GPUs may leave the worst behind it.
                Some(single) if left > 0 => left.min(pack(single)),
                _ => left,
            }
        };
        let left = self.draws.iter().map(left_over).sum();
        Part { left, taken }
    }
}

fn with_least(draw: &[Drawn]) -> Draw {
    let mut least = Least { cpu: i64::MAX, memory: i64::MAX, each: u16::MAX };
    let mut packed: Draw = Vec::with_capacity(draw.len());
    for drawn in draw.iter().rev() {
        least.cpu = least.cpu.min(drawn.cpu);
        least.memory = least.memory.min(drawn.memory);
        least.each = least.each.min(drawn.each);
        packed.push((*drawn, least));
    }
    packed.reverse();
    packed
}

/// One task from each of `drawn` equal strata of the kinds.
fn stratified(kinds: &[Kind], total: u128, drawn: u64, draw: u64) -> Vec<Drawn> {
    let mut tasks = vec![0_u16; kinds.len()];
    let mut upto: u128 = 0;
    let mut at = 0;
    for stratum in 0..drawn {
        let inside = draw.wrapping_mul(GOLDEN).wrapping_add(stratum.wrapping_mul(DIAGONAL));
        // In parts of which `drawn` make one of weight.
        let position = u128::from(stratum) * total + ((u128::from(inside) * total) >> 64);
        while let Some(kind) = kinds.get(at)
            && upto + u128::from(kind.weight) * u128::from(drawn) <= position
        {
            upto += u128::from(kind.weight) * u128::from(drawn);
            at += 1;
        }
        // Two positions of neighbouring strata are in order, so the kinds are walked once.
        if let Some(tasks) = tasks.get_mut(at) {
            *tasks = tasks.saturating_add(1);
        }
    }
    let taken = kinds.iter().zip(tasks).enumerate().filter(|(_, (_, tasks))| *tasks > 0);
    taken.map(|(at, (kind, tasks))| Drawn::new(at, kind, tasks)).collect()
}

/// What is free of a node while it is packed.
#[derive(Clone, Copy)]
struct Room {
    cpu: i64,
    memory: i64,
    /// GPUs that are entirely free.
    idle: u16,
    /// What is free of the others, ascending, in the first `used` places.
    parts: [u16; SLOTS],
    used: usize,
}

impl Room {
    fn of(cell: &Cell, free: Amounts) -> Self {
        let mut room = Self { cpu: free.cpu, memory: free.memory, idle: 0, parts: [0; SLOTS], used: 0 };
        for &free in cell.gpus() {
            if free == WHOLE {
                room.idle += 1;
            } else if free > 0 {
                room.add(free);
            }
        }
        room
    }

    /// What is left over after the tasks of a draw, in milli, and of processor time and memory.
    fn packed(mut self, draw: &[(Drawn, Least)]) -> (i64, Amounts) {
        for (drawn, least) in draw {
            let roomiest = if self.idle > 0 { WHOLE } else { self.roomiest() };
            if roomiest < least.each || self.cpu < least.cpu || self.memory < least.memory {
                break;
            }
            if drawn.each <= roomiest {
                self.pack(drawn);
            }
        }
        let parts: i64 = self.parts.iter().take(self.used).copied().map(i64::from).sum();
        let left = parts + i64::from(self.idle) * i64::from(WHOLE);
        (left, Amounts { cpu: self.cpu, memory: self.memory })
    }

    #[inline]
    fn pack(&mut self, drawn: &Drawn) {
        let most = drawn.fitting(i64::from(drawn.tasks), self.cpu, self.memory);
        let most = u16::try_from(most).unwrap_or(0);
        let packed = if drawn.each == WHOLE {
            let packed = most.min(self.idle / drawn.count.max(1));
            self.idle -= packed * drawn.count;
            packed
        } else {
            self.pack_shares(drawn.each, most)
        };
        self.cpu -= i64::from(packed) * drawn.cpu;
        self.memory -= i64::from(packed) * drawn.memory;
    }

    /// Puts each of so many shares where it leaves the least. Answers for how many there was room.
    fn pack_shares(&mut self, each: u16, shares: u16) -> u16 {
        let mut left = shares;
        while left > 0 {
            let parts = self.parts.get(..self.used).unwrap_or(&[]);
            let free =
                if let Some((at, free)) = parts.iter().copied().enumerate().find(|(_, free)| *free >= each) {
                    self.parts.copy_within(at + 1..self.used, at);
                    self.used -= 1;
                    free
                } else if self.idle > 0 {
                    self.idle -= 1;
                    WHOLE
                } else {
                    break;
                };
            // What is left of it is the tightest again.
            let packed = (free / each.max(1)).min(left);
            left -= packed;
            self.add(free - packed * each);
        }
        shares - left
    }

    /// The most that is free of a GPU in use.
    fn roomiest(&self) -> u16 {
        self.used.checked_sub(1).and_then(|last| self.parts.get(last)).copied().unwrap_or(0)
    }

    /// Adds a part in its place.
    fn add(&mut self, free: u16) {
        if free == 0 || self.used == SLOTS {
            return;
        }
        let at = self.parts.iter().take(self.used).position(|held| *held >= free).unwrap_or(self.used);
        self.parts.copy_within(at..self.used, at + 1);
        if let Some(place) = self.parts.get_mut(at) {
            *place = free;
        }
        self.used += 1;
    }
}
