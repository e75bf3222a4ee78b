//! Who holds a GPU: [`GpuBinding`].

use serde::{Deserialize, Serialize};

use super::field::entity;
use super::gpu::GpuId;
use super::instance::InstanceId;
use super::text::{text_enum, transitions};
use crate::amount::GpuMilli;
use crate::id::Id;
use crate::store::{Column, Fixed, Invariant, Reference, Table};
use crate::time::Timestamp;

/// The id of a [`GpuBinding`].
pub type GpuBindingId = Id<GpuBinding>;

/// That an instance holds a GPU, or thousandths of one.
///
/// Released, it keeps who held how much and pins neither the GPU nor the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuBinding {
    /// The id.
    pub id: GpuBindingId,
    /// The GPU; `None` when released.
    pub gpu_id: Option<GpuId>,
    /// The instance; `None` when released.
    pub instance_id: Option<InstanceId>,
    /// The instance that holds or held it.
    pub held_by: InstanceId,
    /// How much of the GPU, from 1 to 1000.
    pub milli: GpuMilli,
    /// Where in its life it is.
    pub state: BindingState,
    /// Which attempt to use the GPU this is, from 1: a late report of an earlier one is told by it.
    pub attempt: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was released.
    pub released_at: Option<Timestamp>,
}

text_enum!(
    /// Where in its life a binding is.
    BindingState, "state" {
        /// The GPU is held, and not used yet.
        Reserved = "reserved",
        /// The GPU is used.
        Bound = "bound",
        /// The GPU is being given up, and still held.
        Releasing = "releasing",
        /// The GPU is no longer held. Terminal.
        Released = "released",
    }
);

text_enum!(
    /// What happens to a binding.
    BindingEvent, "event" {
        /// The instance is made, and uses the GPU.
        Bind = "bind",
        /// The instance is to be removed.
        Release = "release",
        /// There is nothing of the instance any more.
        Free = "free",
    }
);

transitions!(
    /// The state after an event, or `WrongState` where it cannot happen.
    BindingState, BindingEvent, "gpu_binding"
);

impl BindingState {
    const fn after(self, event: BindingEvent) -> Option<Self> {
        match (self, event) {
            (Self::Reserved | Self::Bound, BindingEvent::Bind) => Some(Self::Bound),
            (Self::Reserved | Self::Bound | Self::Releasing, BindingEvent::Release) => Some(Self::Releasing),
            (Self::Reserved | Self::Bound | Self::Releasing, BindingEvent::Free) => Some(Self::Released),
            _ => None,
        }
    }

    /// Whether the GPU is held.
    pub const fn holds(self) -> bool {
        !matches!(self, Self::Released)
    }
}

/// The table of [`GpuBinding`].
pub static GPU_BINDINGS: Table = Table::new(
    "gpu_bindings",
    &[
        Column::uuid("id"),
        Column::uuid("gpu_id").nullable(),
        Column::uuid("instance_id").nullable(),
        Column::uuid("held_by").immutable(),
        Column::int("milli").immutable(),
        Column::text("state", 32),
        Column::int("attempt").default(Fixed::Int(1)),
        Column::time("created_at").immutable(),
        Column::time("released_at").nullable(),
    ],
    &["id"],
)
.references(&[
    Reference::new("gpu_bindings_gpu", &["gpu_id"], "gpus"),
    Reference::new("gpu_bindings_instance", &["instance_id"], "instances"),
])
.invariants(&[
    Invariant::together_null("gpu_bindings_released_together", &["gpu_id", "instance_id"]),
    Invariant::at_least("gpu_bindings_milli_positive", "milli", 1),
    Invariant::at_most("gpu_bindings_milli_at_most_whole", "milli", 1000),
    Invariant::one_of("gpu_bindings_state", "state", BindingState::TEXTS),
    Invariant::at_least("gpu_bindings_attempt_positive", "attempt", 1),
]);

entity!(GpuBinding, "gpu_binding", GPU_BINDINGS {
    fixed: id, held_by, milli, created_at;
    plain: gpu_id, instance_id, state, attempt, released_at;
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use BindingState::{Bound, Released, Releasing, Reserved};
        const NO: Option<BindingState> = None;
        // bind, release, free
        let table = [
            (Reserved, [Some(Bound), Some(Releasing), Some(Released)]),
            (Bound, [Some(Bound), Some(Releasing), Some(Released)]),
            (Releasing, [NO, Some(Releasing), Some(Released)]),
            (Released, [NO; 3]),
        ];
        assert_eq!(table.map(|(state, _)| state), BindingState::ALL);
        for (state, row) in table {
            for (event, to) in BindingEvent::ALL.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), to, "{state} on {event}");
            }
            assert_eq!(state.holds(), row != [NO; 3], "{state}");
        }
    }
}
