//! How finely free amounts are told apart: [`Grain`].

use super::node::NodeState;

/// Storage below this is told apart in steps of [`STORAGE_STEP`], above it in four steps for each doubling.
const STORAGE_FINE: i64 = 4 * STORAGE_STEP;
const STORAGE_STEP: i64 = 16_384;

/// What is free of a node apart from its GPUs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Free {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) storage: i64,
}

impl Free {
    pub(crate) const fn of(node: &NodeState) -> Self {
        Self { cpu: node.cpu_free, memory: node.memory_free, storage: node.storage_free }
    }
}

/// How finely a cluster tells the free amounts of its nodes apart.
///
/// Nodes of one class have equal GPUs, and amounts from the same step. A class is known by the least amounts that it
/// stands for; [`top`](Self::top) is the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grain {
    cpu: i64,
    memory: i64,
    exact: bool,
}

impl Grain {
    /// Everything is told apart, also which kinds of task run on a node.
    pub(crate) const EXACT: Self = Self { cpu: 1, memory: 1, exact: true };

    /// Steps of so much processor time and memory; which kinds of task run is not told apart.
    pub(crate) const fn steps(cpu_milli: i64, memory_mib: i64) -> Self {
        Self { cpu: cpu_milli, memory: memory_mib, exact: false }
    }

    /// Whether everything is told apart.
    pub(crate) const fn is_exact(self) -> bool {
        self.exact
    }

    /// The least amounts of the step in which these are.
    pub(crate) fn floor(self, free: Free) -> Free {
        if self.exact {
            return free;
        }
        // The step of storage is a power of two.
        Free {
            cpu: free.cpu.div_euclid(self.cpu) * self.cpu,
            memory: free.memory.div_euclid(self.memory) * self.memory,
            storage: free.storage & -storage_step(free.storage),
        }
    }

    /// The greatest amounts of the step of which these are the least.
    pub(crate) fn top(self, floor: Free) -> Free {
        if self.exact {
            return floor;
        }
        Free {
            cpu: floor.cpu.saturating_add(self.cpu - 1),
            memory: floor.memory.saturating_add(self.memory - 1),
            storage: floor.storage.saturating_add(storage_step(floor.storage) - 1),
        }
    }
}

/// How wide the step is in which so much storage is: a power of two.
const fn storage_step(storage: i64) -> i64 {
    if storage < STORAGE_FINE { STORAGE_STEP } else { 1 << (storage.ilog2() - 2) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_amount_is_in_its_step(cpu in -9_000_i64..300_000, memory in -9_000_i64..900_000, storage in -99_999_i64..9_999_999) {
            for grain in [Grain::EXACT, Grain::steps(1000, 4096)] {
                let free = Free { cpu, memory, storage };
                let floor = grain.floor(free);
                let top = grain.top(floor);
                prop_assert!(floor.cpu <= cpu && cpu <= top.cpu);
                prop_assert!(floor.memory <= memory && memory <= top.memory);
                prop_assert!(floor.storage <= storage && storage <= top.storage);
                // Both ends are in the same step, and what follows is in another.
                prop_assert_eq!(grain.floor(floor), floor);
                prop_assert_eq!(grain.floor(top), floor);
                let next = grain.floor(Free { cpu: top.cpu + 1, memory: top.memory + 1, storage: top.storage + 1 });
                prop_assert_eq!(next, Free { cpu: top.cpu + 1, memory: top.memory + 1, storage: top.storage + 1 });
            }
        }
    }
}
