//! Why a pod was refused, in a vocabulary that stays.

use apportion::Error;
use apportion::sched::NoFit;

/// Why a pod was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Too few GPUs have enough free.
    Gpu,
    /// Too little processor time is free.
    Cpu,
    /// Too little memory is free.
    Memory,
    /// Too little disk space is free.
    Storage,
    /// No node has a GPU of a model that will do.
    Model,
    /// The user has as many instances as the limit allows.
    InstanceLimit,
    /// The user holds as much GPU as the limit allows.
    GpuMilliLimit,
    /// The control plane takes no such request: a name of another form, for one.
    Invalid,
}

impl Reason {
    /// Every reason, in their fixed order.
    pub const ALL: [Self; 8] = [
        Self::Gpu,
        Self::Cpu,
        Self::Memory,
        Self::Storage,
        Self::Model,
        Self::InstanceLimit,
        Self::GpuMilliLimit,
        Self::Invalid,
    ];

    /// The name in the figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Model => "model",
            Self::InstanceLimit => "instance_limit",
            Self::GpuMilliLimit => "gpu_milli_limit",
            Self::Invalid => "invalid",
        }
    }

    /// The reason as a person reads it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Gpu => "too few GPUs free",
            Self::Cpu => "too little processor time free",
            Self::Memory => "too little memory free",
            Self::Storage => "too little disk space free",
            Self::Model => "no node of such a GPU model",
            Self::InstanceLimit => "the user's limit of instances",
            Self::GpuMilliLimit => "the user's limit of GPUs",
            Self::Invalid => "not a valid request",
        }
    }

    /// The column that counts it.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Gpu => "refused_gpu",
            Self::Cpu => "refused_cpu",
            Self::Memory => "refused_memory",
            Self::Storage => "refused_storage",
            Self::Model => "refused_model",
            Self::InstanceLimit => "refused_instance_limit",
            Self::GpuMilliLimit => "refused_gpu_milli_limit",
            Self::Invalid => "refused_invalid",
        }
    }

    /// Why a launch was refused; none where it failed for another reason than what was asked for.
    pub fn of(error: &Error) -> Option<Self> {
        match error {
            Error::NoCapacity(no_fit) => Some(Self::of_no_fit(no_fit)),
            Error::QuotaExceeded { limit_name: "instance_limit", .. } => Some(Self::InstanceLimit),
            Error::QuotaExceeded { limit_name: "gpu_milli_limit", .. } => Some(Self::GpuMilliLimit),
            Error::Invalid { .. } => Some(Self::Invalid),
            _ => None,
        }
    }

    /// What most of the nodes lack whose model would do: each was counted at the first filter that removed it. Where
    /// two filters removed as many, the later one, since those nodes came closer to fitting.
    fn of_no_fit(no_fit: &NoFit) -> Self {
        let filters = [
            (Self::Cpu, no_fit.cpu),
            (Self::Memory, no_fit.memory),
            (Self::Storage, no_fit.storage),
            (Self::Gpu, no_fit.gpu),
        ];
        let most = filters.into_iter().max_by_key(|(_, nodes)| *nodes);
        most.filter(|(_, nodes)| *nodes > 0).map_or(Self::Model, |(reason, _)| reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(no_fit: NoFit) -> Option<Reason> {
        Reason::of(&Error::NoCapacity(Box::new(no_fit)))
    }

    #[test]
    fn the_filter_that_removed_most_nodes_is_the_reason() {
        let no_fit = NoFit { nodes: 12, model: 6, cpu: 2, gpu: 4, ..NoFit::default() };
        assert_eq!(of(no_fit), Some(Reason::Gpu));
        let even = NoFit { cpu: 4, ..no_fit };
        assert_eq!(of(even), Some(Reason::Gpu));
        assert_eq!(of(NoFit { cpu: 5, ..no_fit }), Some(Reason::Cpu));
        assert_eq!(of(NoFit { memory: 9, ..no_fit }), Some(Reason::Memory));
    }

    #[test]
    fn the_model_is_the_reason_only_where_no_node_has_it() {
        let no_fit = NoFit { nodes: 12, model: 12, ..NoFit::default() };
        assert_eq!(of(no_fit), Some(Reason::Model));
        assert_eq!(of(NoFit { model: 11, gpu: 1, ..no_fit }), Some(Reason::Gpu));
    }

    #[test]
    fn a_failure_of_the_store_is_no_refusal() {
        let failed = Error::Store(apportion::store::StoreError::Closed);
        assert_eq!(Reason::of(&failed), None);
        let full = |limit_name| Error::QuotaExceeded { limit_name, limit: 1, used: 1, asked: 1 };
        assert_eq!(Reason::of(&full("instance_limit")), Some(Reason::InstanceLimit));
        assert_eq!(Reason::of(&full("node_cpu")), None);
    }

    #[test]
    fn every_reason_has_a_name_and_a_column_of_its_own() {
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason.column(), format!("refused_{}", reason.name()));
            assert!(Reason::ALL.iter().skip(at + 1).all(|other| other.name() != reason.name()));
        }
    }
}
