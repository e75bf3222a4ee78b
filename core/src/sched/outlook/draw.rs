//! Packing draws of tasks into a node: [`Draws`].

use super::Cell;
use crate::sched::class::{SLOTS, WHOLE};
use crate::sched::demand::GpuDemand;
use crate::sched::mix::{Kind, TaskMix};

/// Draws of tasks from a mix, the same for all nodes, so that two nodes differ by what they are and not by luck.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    kinds: Vec<Kind>,
    draws: Vec<Vec<Drawn>>,
    /// Which kinds a GPU model admits, by the cluster's number of the model.
    admitted: Vec<Option<Vec<bool>>>,
}

/// Equal tasks of a draw.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    /// The place of their kind.
    kind: usize,
    cpu: i64,
    memory: i64,
    /// GPUs of each task.
    count: u16,
    /// Milli of each of its GPUs.
    each: u16,
    /// How many tasks.
    tasks: u16,
}

/// The golden ratio's fraction in 2^64ths: its multiples are spread as evenly as can be.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Draws {
    /// So many draws of so many tasks each.
    ///
    /// Each draw is systematic: the kinds stand in a row, each as long as it is frequent, and every so many steps one is
    /// taken. So a kind that makes up a tenth of the mix makes up a tenth of each draw, and a rare one is in some of
    /// them. Draws differ by where they begin.
    pub(super) fn new(mix: &TaskMix, draws: u64, drawn: u64) -> Self {
        let mut kinds = mix.kinds().to_vec();
        kinds.sort_by_key(|kind| {
            let (count, each) = kind.gpu.need();
            (std::cmp::Reverse(i64::from(count) * each.get()), kind.cpu, kind.memory, kind.models.clone())
        });
        let total: u128 = kinds.iter().map(|kind| u128::from(kind.weight)).sum();
        let begin = |draw: u64| (u128::from(draw.wrapping_mul(GOLDEN)) * total) >> 64;
        let draws = (0..draws).map(|draw| systematic(&kinds, total, drawn, begin(draw))).collect();
        Self { kinds, draws, admitted: Vec::new() }
    }

    pub(super) fn forget(&mut self) {
        self.admitted.clear();
    }

    /// What the draws leave over of a node, in milli, summed over all draws.
    pub(super) fn left_over(&mut self, cell: &Cell, model: impl FnOnce() -> Option<String>) -> i64 {
        let number = usize::try_from(cell.model).unwrap_or(0);
        if self.admitted.len() <= number {
            self.admitted.resize(number + 1, None);
        }
        let Some(admitted) = self.admitted.get_mut(number) else { return 0 };
        let kinds = &self.kinds;
        let admitted = admitted.get_or_insert_with(|| {
            let model = model();
            let admits = |kind: &Kind| {
                kind.models.is_empty()
                    || model.as_ref().is_some_and(|model| kind.models.iter().any(|named| named == model))
            };
            kinds.iter().map(admits).collect()
        });
        let idle = Room::of(cell);
        self.draws.iter().map(|draw| idle.packed(draw, admitted)).sum()
    }
}

/// Every `total / drawn` steps along the kinds, from `begin` parts of a step on.
fn systematic(kinds: &[Kind], total: u128, drawn: u64, begin: u128) -> Vec<Drawn> {
    let drawn = u128::from(drawn);
    let mut draw: Vec<Drawn> = Vec::new();
    let mut upto: u128 = 0;
    // The task number n is taken where n * total + begin is, in parts of which `drawn` make one of weight.
    let mut next = begin;
    for (at, kind) in kinds.iter().enumerate() {
        upto += u128::from(kind.weight) * drawn;
        let mut tasks = 0_u16;
        while next < upto && total > 0 {
            tasks = tasks.saturating_add(1);
            next += total;
        }
        let (count, each) = kind.gpu.need();
        if tasks > 0 {
            draw.push(Drawn {
                kind: at,
                cpu: kind.cpu.get(),
                memory: kind.memory.get(),
                count: u16::try_from(count).unwrap_or(u16::MAX),
                each: if kind.gpu == GpuDemand::None { 0 } else { u16::try_from(each.get()).unwrap_or(WHOLE) },
                tasks,
            });
        }
    }
    draw
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
    fn of(cell: &Cell) -> Self {
        let mut room = Self { cpu: cell.cpu, memory: cell.memory, idle: 0, parts: [0; SLOTS], used: 0 };
        for &free in cell.gpus() {
            if free == WHOLE {
                room.idle += 1;
            } else if free > 0 {
                room.add(free);
            }
        }
        room
    }

    /// What is left over after a draw, in milli.
    fn packed(mut self, draw: &[Drawn], admitted: &[bool]) -> i64 {
        for drawn in draw {
            if self.idle == 0 && self.used == 0 {
                return 0;
            }
            if drawn.count == 0 || admitted.get(drawn.kind) == Some(&true) {
                self.pack(drawn);
            }
        }
        let parts: i64 = self.parts.iter().take(self.used).copied().map(i64::from).sum();
        parts + i64::from(self.idle) * i64::from(WHOLE)
    }

    fn pack(&mut self, drawn: &Drawn) {
        let times = |free: i64, asked: i64| if asked == 0 { i64::MAX } else { free / asked };
        let most = times(self.cpu, drawn.cpu).min(times(self.memory, drawn.memory));
        let most = u16::try_from(most.clamp(0, i64::from(drawn.tasks))).unwrap_or(0);
        let packed = match drawn.count {
            0 => most,
            _ if drawn.each == WHOLE => {
                let packed = most.min(self.idle / drawn.count);
                self.idle -= packed * drawn.count;
                packed
            }
            _ => (0..most).take_while(|_| self.pack_share(drawn.each)).fold(0, |packed, _| packed + 1),
        };
        self.cpu -= i64::from(packed) * drawn.cpu;
        self.memory -= i64::from(packed) * drawn.memory;
    }

    /// Puts a share where it leaves the least. Answers whether there was room.
    fn pack_share(&mut self, each: u16) -> bool {
        let parts = self.parts.get(..self.used).unwrap_or(&[]);
        if let Some((at, free)) = parts.iter().copied().enumerate().find(|(_, free)| *free >= each) {
            self.parts.copy_within(at + 1..self.used, at);
            self.used -= 1;
            self.add(free - each);
            return true;
        }
        if self.idle == 0 {
            return false;
        }
        self.idle -= 1;
        self.add(WHOLE - each);
        true
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
