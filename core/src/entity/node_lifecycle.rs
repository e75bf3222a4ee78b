//! Whether a node takes work: [`NodeLifecycle`], [`NodeState`].

use serde::{Deserialize, Serialize};

use super::compute_node::NodeId;
use super::field::entity;
use super::text::{text_enum, transitions};
use crate::error::{Error, Result};
use crate::store::{Column, Fixed, Invariant, Reference, Table};

/// The state of a node: the row that every launch on it guards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLifecycle {
    /// The node.
    pub node_id: NodeId,
    /// Its state.
    pub state: NodeState,
    /// Whether an agent has ever joined as it: then what is launched there is made by the agent.
    pub has_agent: bool,
}

text_enum!(
    /// The state of a node.
    NodeState, "state" {
        /// It is known, and has not reported what it has.
        Initializing = "initializing",
        /// It takes work.
        Active = "active",
        /// It takes no new work and is to become empty.
        Draining = "draining",
        /// It takes no new work and keeps what it has.
        Cordoned = "cordoned",
        /// It has been silent. What runs there is unknown, and is still charged.
        Unknown = "unknown",
        /// Somebody said that it is gone, and what it held was given to others. It comes back only by an agent that joins.
        Dead = "dead",
    }
);

text_enum!(
    /// What happens to the state of a node.
    NodeEvent, "event" {
        /// It reported what it has.
        Activate = "activate",
        /// It is to take no new work.
        Cordon = "cordon",
        /// It is to take work again.
        Uncordon = "uncordon",
        /// It is to become empty.
        Drain = "drain",
        /// It has been silent for too long.
        MarkUnknown = "mark_unknown",
        /// Somebody says that it is gone.
        MarkDead = "mark_dead",
        /// It is heard again.
        Revive = "revive",
    }
);

transitions!(
    /// The state after an event, or `WrongState` where it cannot happen.
    ///
    /// A cordoned or draining node that falls silent stays what it is: it takes no work anyway, and to be heard
    /// again must not undo what an operator wanted.
    NodeState, NodeEvent, "compute_node"
);

impl NodeState {
    /// Whether new instances may be placed there.
    pub const fn takes_work(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Refuses what is asked of a node that is dead.
    pub(crate) fn must_live(self, event: &'static str) -> Result<()> {
        if self != Self::Dead {
            return Ok(());
        }
        Err(Error::WrongState { kind: "compute_node", state: self.as_str(), event, allowed: Vec::new() })
    }

    const fn after(self, event: NodeEvent) -> Option<Self> {
        match (self, event) {
            (Self::Initializing, NodeEvent::Activate)
            | (Self::Cordoned | Self::Draining, NodeEvent::Uncordon)
            | (Self::Unknown | Self::Dead, NodeEvent::Revive) => Some(Self::Active),
            (Self::Active | Self::Draining, NodeEvent::Cordon) => Some(Self::Cordoned),
            (Self::Active | Self::Cordoned, NodeEvent::Drain) => Some(Self::Draining),
            (Self::Active, NodeEvent::MarkUnknown) => Some(Self::Unknown),
            (Self::Dead, _) => None,
            (_, NodeEvent::MarkDead) => Some(Self::Dead),
            _ => None,
        }
    }
}

/// The table of [`NodeLifecycle`].
pub static NODE_LIFECYCLES: Table = Table::new(
    "node_lifecycles",
    &[
        Column::uuid("node_id"),
        Column::text("state", 32),
        Column::bool("has_agent").default(Fixed::Bool(false)),
    ],
    &["node_id"],
)
.references(&[Reference::new("node_lifecycles_node", &["node_id"], "compute_nodes")])
.invariants(&[Invariant::one_of("node_lifecycles_state", "state", NodeState::TEXTS)]);

entity!(NodeLifecycle, "node_lifecycle", NODE_LIFECYCLES {
    fixed: node_id;
    plain: state, has_agent;
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_allows_exactly_the_events_of_the_table() {
        use NodeState::{Active, Cordoned, Dead, Draining, Initializing, Unknown};
        const NO: Option<NodeState> = None;
        // activate, cordon, uncordon, drain, mark_unknown, mark_dead, revive
        let table = [
            (Initializing, [Some(Active), NO, NO, NO, NO, Some(Dead), NO]),
            (Active, [NO, Some(Cordoned), NO, Some(Draining), Some(Unknown), Some(Dead), NO]),
            (Draining, [NO, Some(Cordoned), Some(Active), NO, NO, Some(Dead), NO]),
            (Cordoned, [NO, NO, Some(Active), Some(Draining), NO, Some(Dead), NO]),
            (Unknown, [NO, NO, NO, NO, NO, Some(Dead), Some(Active)]),
            (Dead, [NO, NO, NO, NO, NO, NO, Some(Active)]),
        ];
        assert_eq!(table.map(|(state, _)| state), NodeState::ALL);
        for (state, row) in table {
            for (event, to) in NodeEvent::ALL.iter().zip(row) {
                assert_eq!(state.on(*event).ok(), to, "{state} on {event}");
            }
            assert_eq!(state.takes_work(), state == Active, "{state}");
        }
    }

    #[test]
    fn a_refused_event_says_what_could_happen_instead() {
        let Err(Error::WrongState { kind, allowed, .. }) = NodeState::Unknown.on(NodeEvent::Drain) else {
            panic!("an unknown node was drained");
        };
        assert_eq!((kind, allowed), ("compute_node", vec!["mark_dead", "revive"]));
    }
}
