//! What can be said of a queue: [`QueueTerms`].

use crate::amount::{CpuMilli, GpuMilli, MemoryMib};
use crate::entity::{QueueId, RunQueue};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// The name of the queue that a run goes to where none is named. No other one can have it.
pub(super) const DEFAULT: &str = "default";
/// The largest weight, in thousandths.
pub(super) const MAX_WEIGHT_MILLI: u32 = 1_000_000;

/// A queue to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewQueue {
    /// The id, where the caller chooses it so that the request can be repeated.
    pub id: Option<QueueId>,
    /// What it is to be like.
    pub terms: QueueTerms,
}

impl NewQueue {
    /// A queue of this name, without limits.
    pub fn new(name: impl Into<String>) -> Self {
        Self { id: None, terms: QueueTerms::new(name) }
    }

    /// Chooses the id.
    pub fn id(mut self, id: QueueId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says what it is to be like.
    pub fn terms(mut self, terms: QueueTerms) -> Self {
        self.terms = terms;
        self
    }
}

/// What a queue is like: all of what can be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueTerms {
    /// Its name: 1 to 128 bytes; no two share one, and `default` is that of one queue alone.
    pub name: String,
    /// The queue that it is a part of.
    pub parent: Option<QueueId>,
    /// Its weight among its neighbours in thousandths: at most 1,000,000; 1000 is one share.
    pub weight_milli: u32,
    /// GPU thousandths.
    pub gpu: QueueQuota<GpuMilli>,
    /// Processor time.
    pub cpu: QueueQuota<CpuMilli>,
    /// Memory.
    pub memory: QueueQuota<MemoryMib>,
}

/// How much of a resource is a queue's own, and how much of it moves; none is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueQuota<A> {
    /// What is its own.
    pub nominal: Option<A>,
    /// The most that it may borrow.
    pub borrowing: Option<A>,
    /// The most of its own that it lends.
    pub lending: Option<A>,
}

impl<A> Default for QueueQuota<A> {
    fn default() -> Self {
        Self { nominal: None, borrowing: None, lending: None }
    }
}

impl<A> QueueQuota<A> {
    /// So much is its own.
    pub fn of(nominal: A) -> Self {
        Self { nominal: Some(nominal), borrowing: None, lending: None }
    }

    /// And so much more it may borrow.
    pub fn borrowing(mut self, most: A) -> Self {
        self.borrowing = Some(most);
        self
    }

    /// And so much of it it lends.
    pub fn lending(mut self, most: A) -> Self {
        self.lending = Some(most);
        self
    }
}

impl QueueTerms {
    /// A queue of this name with one share, without limits and parent.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            parent: None,
            weight_milli: 1000,
            gpu: QueueQuota::default(),
            cpu: QueueQuota::default(),
            memory: QueueQuota::default(),
        }
    }

    /// What a queue is like now.
    pub fn of(queue: &RunQueue) -> Self {
        Self {
            name: queue.name.clone(),
            parent: queue.parent_id,
            weight_milli: queue.weight_milli,
            gpu: QueueQuota {
                nominal: queue.gpu_milli,
                borrowing: queue.gpu_milli_borrowing,
                lending: queue.gpu_milli_lending,
            },
            cpu: QueueQuota {
                nominal: queue.cpu_milli,
                borrowing: queue.cpu_milli_borrowing,
                lending: queue.cpu_milli_lending,
            },
            memory: QueueQuota {
                nominal: queue.memory_mib,
                borrowing: queue.memory_mib_borrowing,
                lending: queue.memory_mib_lending,
            },
        }
    }

    /// Makes it a part of another one.
    pub fn parent(mut self, parent: QueueId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Sets its weight in thousandths.
    pub fn weight_milli(mut self, weight: u32) -> Self {
        self.weight_milli = weight;
        self
    }

    /// Sets its GPU thousandths.
    pub fn gpu(mut self, quota: QueueQuota<GpuMilli>) -> Self {
        self.gpu = quota;
        self
    }

    /// Sets its processor time.
    pub fn cpu(mut self, quota: QueueQuota<CpuMilli>) -> Self {
        self.cpu = quota;
        self
    }

    /// Sets its memory.
    pub fn memory(mut self, quota: QueueQuota<MemoryMib>) -> Self {
        self.memory = quota;
        self
    }

    /// The queue that they describe.
    pub(super) fn queue(&self, id: QueueId, now: Timestamp) -> RunQueue {
        RunQueue {
            id,
            name: self.name.clone(),
            parent_id: self.parent,
            weight_milli: self.weight_milli,
            gpu_milli: self.gpu.nominal,
            gpu_milli_borrowing: self.gpu.borrowing,
            gpu_milli_lending: self.gpu.lending,
            cpu_milli: self.cpu.nominal,
            cpu_milli_borrowing: self.cpu.borrowing,
            cpu_milli_lending: self.cpu.lending,
            memory_mib: self.memory.nominal,
            memory_mib_borrowing: self.memory.borrowing,
            memory_mib_lending: self.memory.lending,
            created_at: now,
            updated_at: now,
        }
    }

    /// Refuses what a queue cannot be like, whatever else is there.
    pub(super) fn check(&self, is_default: bool) -> Result<()> {
        let name = self.name.as_str();
        if name.trim() != name || !(1..=128).contains(&name.len()) || name.chars().any(char::is_control) {
            let rule = "1 to 128 bytes without control characters and spaces around it are expected";
            return Err(Error::invalid("name", rule));
        }
        if (name == DEFAULT) != is_default {
            return Err(Error::invalid("name", "default is the name of one queue, and its only one"));
        }
        if self.weight_milli > MAX_WEIGHT_MILLI {
            return Err(Error::invalid("weight_milli", format!("at most {MAX_WEIGHT_MILLI} is allowed")));
        }
        check_quota("gpu.lending", self.gpu)?;
        check_quota("cpu.lending", self.cpu)?;
        check_quota("memory.lending", self.memory)
    }
}

/// Refuses to lend more than there is.
fn check_quota<A: PartialOrd>(field: &str, quota: QueueQuota<A>) -> Result<()> {
    match (quota.nominal, quota.lending) {
        (Some(own), Some(lending)) if lending > own => {
            Err(Error::invalid(field, "a queue lends at most what is its own"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_say_all_of_a_queue_and_nothing_that_it_cannot_be() {
        let gpus = |count: u32| GpuMilli::from_u32(count * 1000);
        let terms = QueueTerms::new("research")
            .weight_milli(2000)
            .gpu(QueueQuota::of(gpus(8)).borrowing(gpus(4)).lending(gpus(8)))
            .cpu(QueueQuota::of(CpuMilli::from_u32(1)))
            .memory(QueueQuota::default().lending(MemoryMib::from_u32(1)));
        terms.check(false).unwrap();
        let id = QueueId::new(uuid::Uuid::from_u128(1));
        assert_eq!(QueueTerms::of(&terms.queue(id, Timestamp::EPOCH)), terms);
        let mut more = terms.clone();
        more.gpu = more.gpu.lending(gpus(9));
        for (terms, is_default, field) in [
            (QueueTerms::new(""), false, "name"),
            (QueueTerms::new(" x"), false, "name"),
            (QueueTerms::new("a\nb"), false, "name"),
            (QueueTerms::new("x".repeat(129)), false, "name"),
            (QueueTerms::new("default"), false, "name"),
            (QueueTerms::new("other"), true, "name"),
            (terms.weight_milli(1_000_001), false, "weight_milli"),
            (more, false, "gpu.lending"),
        ] {
            let answer = terms.check(is_default);
            assert!(matches!(&answer, Err(Error::Invalid { field: of, .. }) if of == field), "{answer:?}");
        }
    }
}
