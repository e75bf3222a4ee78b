//! What a task asks for: [`Demand`].

use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};

/// The most GPUs that one node can have, and so the most that one task can ask of one node.
pub const MAX_GPUS: u32 = 16;

/// The most GPU models that one demand can name.
pub const MAX_MODELS: usize = 64;

/// The longest name of a GPU model, in bytes.
pub const MAX_MODEL_BYTES: usize = 128;

/// What one task asks of one node.
///
/// A demand is a *shape*: equal demands are interchangeable to the scheduler, which remembers its scores per shape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Demand {
    cpu: CpuMilli,
    memory: MemoryMib,
    storage: StorageMib,
    gpu: GpuDemand,
    models: Vec<String>,
}

/// The GPU part of a [`Demand`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GpuDemand {
    /// No GPU.
    None,
    /// A share of one GPU, from 1 to 999 thousandths, beside other shares.
    Share(GpuMilli),
    /// So many whole GPUs, from 1 to [`MAX_GPUS`], with nobody else on them.
    Whole(u32),
}

/// The kind of a GPU task, as the clustering policy tells tasks apart: shares, or so many whole GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// A share of a GPU.
    Share,
    /// So many whole GPUs.
    Whole(u32),
}

/// A demand that no node could be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDemand {
    /// A share is from 1 to 999 thousandths of a GPU; a whole GPU is asked for as such.
    #[error("a share of a gpu must be from 1 to 999 milli, got {}", got.get())]
    Share {
        /// The share that was asked for.
        got: GpuMilli,
    },
    /// A task asks for 1 to [`MAX_GPUS`] whole GPUs.
    #[error("a task must ask for 1 to {MAX_GPUS} whole gpus, got {got}")]
    Whole {
        /// The number that was asked for.
        got: u32,
    },
    /// More models are named than [`MAX_MODELS`].
    #[error("a demand must name at most {MAX_MODELS} gpu models, got {got}")]
    TooManyModels {
        /// The number of models named.
        got: usize,
    },
    /// A model's name is empty or longer than [`MAX_MODEL_BYTES`].
    #[error("the name of a gpu model must have 1 to {MAX_MODEL_BYTES} bytes, got {bytes}")]
    ModelName {
        /// The length of the name that was given.
        bytes: usize,
    },
}

impl GpuDemand {
    /// How many GPUs are needed, and how much of each.
    pub const fn need(self) -> (u32, GpuMilli) {
        match self {
            Self::None => (0, GpuMilli::ZERO),
            Self::Share(milli) => (1, milli),
            Self::Whole(count) => (count, GpuMilli::WHOLE),
        }
    }
}

impl Tag {
    /// A small number for each kind: 0 for shares, else the number of GPUs.
    pub(crate) const fn index(self) -> u32 {
        match self {
            Self::Share => 0,
            Self::Whole(count) => count,
        }
    }

    pub(crate) const fn from_index(index: u32) -> Self {
        if index == 0 { Self::Share } else { Self::Whole(index) }
    }
}

impl Demand {
    /// Makes a demand.
    ///
    /// `models` are the GPU models that will do, none for any; they are sorted, and a repeated one counts once. A demand
    /// without GPUs has no use for models, they are dropped, so that demands that mean the same are equal.
    pub fn new(
        cpu: CpuMilli,
        memory: MemoryMib,
        storage: StorageMib,
        gpu: GpuDemand,
        mut models: Vec<String>,
    ) -> Result<Self, InvalidDemand> {
        match gpu {
            GpuDemand::None => models.clear(),
            GpuDemand::Share(got) if !(1..=999).contains(&got.get()) => {
                return Err(InvalidDemand::Share { got });
            }
            GpuDemand::Whole(got) if !(1..=MAX_GPUS).contains(&got) => {
                return Err(InvalidDemand::Whole { got });
            }
            GpuDemand::Share(_) | GpuDemand::Whole(_) => {}
        }
        models.sort_unstable();
        models.dedup();
        if models.len() > MAX_MODELS {
            return Err(InvalidDemand::TooManyModels { got: models.len() });
        }
        if let Some(model) = models.iter().find(|model| model.is_empty() || model.len() > MAX_MODEL_BYTES) {
            return Err(InvalidDemand::ModelName { bytes: model.len() });
        }
        Ok(Self { cpu, memory, storage, gpu, models })
    }

    /// Processor time asked for.
    pub const fn cpu(&self) -> CpuMilli {
        self.cpu
    }

    /// Memory asked for.
    pub const fn memory(&self) -> MemoryMib {
        self.memory
    }

    /// Disk space asked for.
    pub const fn storage(&self) -> StorageMib {
        self.storage
    }

    /// GPUs asked for.
    pub const fn gpu(&self) -> GpuDemand {
        self.gpu
    }

    /// The GPU models that will do, sorted; none means any.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Whether a node whose GPUs are of this model will do.
    pub fn admits_model(&self, model: Option<&str>) -> bool {
        self.models.is_empty()
            || model.is_some_and(|model| self.models.iter().any(|admitted| admitted == model))
    }

    /// The kind of task, if it uses a GPU.
    pub const fn tag(&self) -> Option<Tag> {
        match self.gpu {
            GpuDemand::None => None,
            GpuDemand::Share(_) => Some(Tag::Share),
            GpuDemand::Whole(count) => Some(Tag::Whole(count)),
        }
    }

    /// All GPU milli asked for, over all GPUs.
    pub const fn gpu_milli_total(&self) -> i64 {
        let (count, each) = self.gpu.need();
        // At most MAX_GPUS times 1000.
        count as i64 * each.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(gpu: GpuDemand, models: &[&str]) -> Result<Demand, InvalidDemand> {
        let models = models.iter().map(ToString::to_string).collect();
        Demand::new(CpuMilli::from_u32(1), MemoryMib::from_u32(1), StorageMib::ZERO, gpu, models)
    }

    #[test]
    fn a_share_is_less_than_a_gpu_and_more_than_nothing() {
        assert!(demand(GpuDemand::Share(GpuMilli::from_u32(1)), &[]).is_ok());
        assert!(demand(GpuDemand::Share(GpuMilli::from_u32(999)), &[]).is_ok());
        assert_eq!(
            demand(GpuDemand::Share(GpuMilli::WHOLE), &[]),
            Err(InvalidDemand::Share { got: GpuMilli::WHOLE })
        );
        assert_eq!(
            demand(GpuDemand::Share(GpuMilli::ZERO), &[]),
            Err(InvalidDemand::Share { got: GpuMilli::ZERO })
        );
    }

    #[test]
    fn a_task_asks_for_as_many_gpus_as_a_node_can_have() {
        assert!(demand(GpuDemand::Whole(MAX_GPUS), &[]).is_ok());
        assert_eq!(demand(GpuDemand::Whole(0), &[]), Err(InvalidDemand::Whole { got: 0 }));
        assert_eq!(demand(GpuDemand::Whole(17), &[]), Err(InvalidDemand::Whole { got: 17 }));
    }

    #[test]
    fn demands_that_mean_the_same_are_equal() {
        let one = demand(GpuDemand::Whole(1), &["b", "a", "b"]).unwrap();
        assert_eq!(one, demand(GpuDemand::Whole(1), &["a", "b"]).unwrap());
        assert_eq!(demand(GpuDemand::None, &["a"]), demand(GpuDemand::None, &[]));
        assert!(one.admits_model(Some("a")) && !one.admits_model(Some("c")) && !one.admits_model(None));
    }

    #[test]
    fn the_list_of_models_has_a_limit() {
        let names: Vec<String> = (0..=MAX_MODELS).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(
            demand(GpuDemand::Whole(1), &names),
            Err(InvalidDemand::TooManyModels { got: MAX_MODELS + 1 })
        );
        assert_eq!(demand(GpuDemand::Whole(1), &[""]), Err(InvalidDemand::ModelName { bytes: 0 }));
    }
}
