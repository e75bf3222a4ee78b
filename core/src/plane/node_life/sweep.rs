//! What silence comes to: a node that was not heard for too long is unknown, and one that is heard again is not.
//!
//! Silence is no evidence: what runs there is still charged, and nothing is freed. Only new work goes elsewhere.

use std::time::Duration;

use super::{ControlPlane, LifeRows, of_node, turned};
use crate::entity::{
    Entity as _, NODE_HEARTBEATS, NODE_LIFECYCLES, NodeEvent, NodeHeartbeat, NodeLifecycle, NodeState,
};
use crate::error::{Error, Result};
use crate::plane::retry::lost_race;
use crate::store::{Batch, Is, Key, MAX_PAGE, Row, Scan, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// How many nodes were looked at.
    pub nodes: u64,
    /// How many became unknown.
    pub silent: u64,
    /// How many were heard again.
    pub revived: u64,
}

impl ControlPlane {
    /// Looks at every node that an agent has joined, and turns those that were silent for so long to unknown, and those that are
    /// heard again back. Any number of processes may do so at any time; each change is decided once.
    ///
    /// Silence is measured by the clock of the store, which every heartbeat was stamped with.
    #[tracing::instrument(skip(self))]
    pub async fn sweep_nodes(&self, silence: Duration) -> Result<Swept> {
        let (mut swept, mut after) = (Swept::default(), None);
        loop {
            let read = self.store.scan(Scan::of(&NODE_HEARTBEATS).after(after).limit(MAX_PAGE)).await?;
            let page = read.value;
            swept.nodes += u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
            let keys = page.rows.iter().map(|row| (&NODE_LIFECYCLES, row.key())).collect();
            let lifecycles = self.store.get_many(keys).await?.value;
            let (mut batches, mut events) = (Vec::new(), Vec::new());
            for (row, lifecycle) in page.rows.into_iter().zip(lifecycles) {
                let Some(lifecycle) = lifecycle else { continue };
                let NodeLifecycle { state, has_agent, .. } = NodeLifecycle::from_row(&lifecycle)?;
                let rows = LifeRows {
                    state,
                    has_agent,
                    lifecycle,
                    heartbeat: Some((row.clone(), NodeHeartbeat::from_row(&row)?)),
                    now: read.now,
                };
                if let Some((event, batch)) = self.decide_sweep(&rows, silence)? {
                    events.push(event);
                    batches.push(batch);
                }
            }
            for (event, answer) in events.into_iter().zip(self.store.commit_many(batches).await) {
                match (answer, event) {
                    (Ok(_), NodeEvent::MarkUnknown) => swept.silent += 1,
                    (Ok(_), _) => swept.revived += 1,
                    // It was heard meanwhile, or somebody else was faster.
                    (Err(error), _) if lost_race(&error) => {}
                    (Err(error), _) => return Err(Error::of_store("node", error)),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(swept);
            }
        }
    }

    /// What becomes of a node, where something does.
    fn decide_sweep(&self, rows: &LifeRows, silence: Duration) -> Result<Option<(NodeEvent, Batch)>> {
        let Some((row, heartbeat)) = &rows.heartbeat else { return Ok(None) };
        let Some((event, heard)) = due(rows.state, heartbeat.seen_at, rows.now.minus(silence)) else {
            return Ok(None);
        };
        let operation = if event == NodeEvent::MarkUnknown { "node.silent" } else { "node.revive" };
        let told = format!("last heard at {}", heartbeat.seen_at);
        let batch = self
            .batch(operation)
            .with(turned(rows, rows.state.on(event)?))
            // It is still as silent, or as loud, as it was when that was decided.
            .with(unchanged(row, heard))
            .with(self.log(of_node(operation, heartbeat.node_id, &told), rows.now));
        Ok(Some((event, batch)))
    }
}

/// What happens to a node in a state that was last heard then, where everything before `limit` is silence; and what must still be
/// so of when it was heard.
fn due(state: NodeState, seen_at: Timestamp, limit: Timestamp) -> Option<(NodeEvent, Is)> {
    match state {
        NodeState::Active if seen_at < limit => Some((NodeEvent::MarkUnknown, Is::Lt(limit.into()))),
        NodeState::Unknown if seen_at >= limit => Some((NodeEvent::Revive, Is::Ge(limit.into()))),
        _ => None,
    }
}

fn unchanged(row: &Row, heard: Is) -> Write {
    let key: Key = row.key();
    Write::patch(&NODE_HEARTBEATS, key, vec![Test::new("seen_at", heard)], Vec::new())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::entity::TABLES;
    use crate::plane::{Heartbeat, NewNode, NewUser};
    use crate::store::memory::MemoryStore;
    use crate::time::ManualClock;

    #[tokio::test]
    async fn a_node_that_is_heard_behind_the_look_is_not_turned() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, Arc::<ManualClock>::clone(&clock)).unwrap());
        let plane = ControlPlane::new(store);
        let owner = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap().id;
        let node = plane.register_node(NewNode::new(owner, "rack-1")).await.unwrap().id;
        let session = plane.join_node(node).await.unwrap();
        let silence = Duration::from_secs(30);
        clock.advance(silence * 2);
        let rows = plane.life_of(node).await.unwrap();
        let (event, batch) = plane.decide_sweep(&rows, silence).unwrap().unwrap();
        assert_eq!(event, NodeEvent::MarkUnknown);
        plane.heartbeats(&[Heartbeat::new(node, session)]).await.pop().unwrap().unwrap();
        let refused = plane.store.commit(batch).await.unwrap_err();
        assert!(lost_race(&refused), "{refused:?}");
        assert_eq!(plane.node_status(node).await.unwrap().state, NodeState::Active);
    }

    #[test]
    fn only_an_active_node_falls_silent_and_only_an_unknown_one_is_heard_again() {
        let at = Timestamp::from_micros;
        for state in NodeState::ALL {
            let silent = due(*state, at(99), at(100)).map(|(event, _)| event);
            let heard = due(*state, at(100), at(100)).map(|(event, _)| event);
            assert_eq!(silent, (*state == NodeState::Active).then_some(NodeEvent::MarkUnknown), "{state}");
            assert_eq!(heard, (*state == NodeState::Unknown).then_some(NodeEvent::Revive), "{state}");
            // What is decided is what the table of states allows.
            for event in [silent, heard].into_iter().flatten() {
                assert!(state.on(event).is_ok());
            }
        }
    }
}
