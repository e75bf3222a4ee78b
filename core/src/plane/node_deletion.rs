//! Deleting a node: what goes with it is named, and what stands in the way is too.
//!
//! First it is dead and its agent has no key any more: it takes no work, and nobody speaks for it. Then what is left of it goes in
//! steps, each of which guards that it is dead, and the node itself last.

use super::ControlPlane;
use super::accounts::Standing;
use super::decided::Decided;
use super::node_life::of_node;
use super::overrides::next_session;
use super::retry::{Retry, lost_race};
use super::security::next_epoch;
use crate::entity::{
    API_KEY_USES, API_KEYS, COMMANDS, COMPUTE_NODES, ComputeNode, Entity as _, FOREIGN_INSTANCES, GPUS,
    IMAGES, INSTANCES, LEASE_NODES, MANAGED_COMPUTE_NODES, MANAGED_IMAGES, MANAGED_INSTANCES,
    NODE_HEARTBEATS, NODE_LEDGERS, NODE_LIFECYCLES, NodeEvent, NodeId, NodeLifecycle, NodeState, PORT_MAPS,
    QUOTAS, USER_ACCESS,
};
use crate::error::{Error, Result};
use crate::store::{
    Answer, Change, MAX_EXAMINED, MAX_PAGE, Query, Row, Scan, StoreExt as _, Table, Test, Write,
};
use crate::time::Timestamp;

/// What goes in steps: a table and its order by node, children before parents.
const GOES: [(&Table, &str); 8] = [
    (&COMMANDS, "commands_node"),
    (&PORT_MAPS, "port_maps_node"),
    (&FOREIGN_INSTANCES, "foreign_instances_node"),
    (&MANAGED_INSTANCES, "managed_instances_node"),
    (&MANAGED_IMAGES, "managed_images_node"),
    (&IMAGES, "images_node"),
    (&MANAGED_COMPUTE_NODES, "managed_compute_nodes_node"),
    (&GPUS, "gpus_node"),
];
/// What goes in the last step, by the id of the node, with the node behind it.
const LAST: [&Table; 4] = [&NODE_HEARTBEATS, &NODE_LEDGERS, &NODE_LIFECYCLES, &COMPUTE_NODES];
/// The most rows that go in one step.
const AT_ONCE: usize = MAX_PAGE as usize;
/// What stands in the way: a table, and the order by node of those of its rows that are live.
const STANDS: [(&Table, &str); 2] = [(&INSTANCES, "instances_node"), (&LEASE_NODES, "lease_nodes_node")];

/// The most keys of an agent that go at once, each with its use.
const KEYS_AT_ONCE: u32 = 450;

/// What deleting a node does, or why it cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeDeletion {
    /// What goes with the node, and the node itself: the name of a table, and how many of its rows. Of a table with more than
    /// 100,000 as many are told.
    pub goes: Vec<(&'static str, usize)>,
    /// What stands in the way: live instances and held leases. Nothing is deleted while there is any of it.
    pub stands: Vec<Standing>,
}

/// The rows that every step of a deletion is decided on.
struct Found {
    /// As in [`LAST`]; the first one only where an agent has ever joined.
    last: [Option<Row>; 4],
    /// The table of something that stands in the way.
    live: Option<&'static str>,
    pages: Vec<Vec<Row>>,
    now: Timestamp,
}

impl ControlPlane {
    /// What deleting a node would do now, or what stands in the way. Changes nothing.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn plan_node_deletion(&self, node: NodeId) -> Result<NodeDeletion> {
        let count = |table, order| Query::Count(Scan::of(table).by(order).with(node).examine(MAX_EXAMINED));
        let mut queries: Vec<Query> = STANDS.iter().map(|(table, order)| count(table, order)).collect();
        queries.push(count(&API_KEYS, "api_keys_node"));
        queries.extend(GOES.iter().map(|(table, order)| count(table, order)));
        queries.extend(LAST.iter().map(|table| Query::Get { table, key: node.into() }));
        let counts = self.store.read(queries).await?.answers.into_iter().map(|answer| match answer {
            Answer::Count(count) => usize::try_from(count.rows).unwrap_or(usize::MAX),
            answer => answer.into_rows().len(),
        });
        let mut counts = counts.collect::<Vec<_>>().into_iter();
        let mut next = || counts.next().unwrap_or(0);
        let (live, leases, keys) = (next(), next(), next());
        let mut goes = vec![(API_KEY_USES.name, keys), (API_KEYS.name, keys)];
        goes.extend(
            GOES.iter().map(|(table, _)| table.name).chain(LAST.iter().map(|table| table.name)).zip(counts),
        );
        if goes.last().is_none_or(|(_, rows)| *rows == 0) {
            return Err(Error::not_found(ComputeNode::KIND, node));
        }
        goes.retain(|(_, rows)| *rows > 0);
        let live = (live > 0).then_some(Standing::LiveInstances(live));
        let leases = (leases > 0).then_some(Standing::HeldLeases(leases));
        let stands = live.into_iter().chain(leases).collect();
        Ok(NodeDeletion { goes, stands })
    }

    /// Deletes a node with everything that is only its: GPUs, images with their grants, its own grants, ports, foreign containers,
    /// commands, and the keys of its agent. The history of instances that have ended keeps its id, and so does the audit trail.
    ///
    /// First the node takes no work any more, then what is its goes in steps, and the node last: cut off in the middle, it goes on
    /// when it is asked again. On the machine nothing is removed.
    ///
    /// # Errors
    /// `NotFound`; `StillUsed` for what stands in the way, which [`ControlPlane::plan_node_deletion`] counts: live instances are
    /// deleted by their owners, or given up by [`ControlPlane::mark_node_dead`]. Then the node is as it was.
    #[tracing::instrument(skip(self))]
    pub async fn delete_node(&self, node: NodeId) -> Result<()> {
        self.begin_node_deletion(node).await?;
        self.finish_node_deletion(node).await
    }

    /// The first step: the node takes no work any more, and no agent can join as it.
    pub(super) async fn begin_node_deletion(&self, node: NodeId) -> Result<()> {
        while !self.close_node(node).await? {}
        Ok(())
    }

    /// Turns a node without instances dead and takes keys of its agent; says whether there was nothing left of that to do.
    async fn close_node(&self, node: NodeId) -> Result<bool> {
        self.decided("node.delete", ComputeNode::KIND, || async move {
            let keys = Scan::of(&API_KEYS).by("api_keys_node").with(node).limit(KEYS_AT_ONCE);
            let found = self.of_node_deletion(node, vec![Query::Scan(keys)]).await?;
            found.refused()?;
            let (state, [heard, ledger, life, profile]) = (found.state()?, &found.last);
            let (Some(life), Some(profile)) = (life, profile) else { return Err(gone(node)) };
            let keys = found.pages.first().map(Vec::as_slice).unwrap_or_default();
            if state == NodeState::Dead && keys.is_empty() {
                return Ok(Decided::Done(true));
            }
            let mut batch = self.batch("node.delete");
            if state == NodeState::Dead {
                batch.push(Write::guard(&NODE_LIFECYCLES, node, life.revision()));
            } else {
                let set = vec![("state", state.on(NodeEvent::MarkDead)?.as_str().into())];
                batch.push(Write::update(&NODE_LIFECYCLES, node, life.revision(), set));
                batch.writes.extend(heard.as_ref().map(next_session).transpose()?);
                // A launch is first, and then there is an instance; or it finds the node dead.
                let empty = vec![Test::eq("instances", 0_i64)];
                if ledger.is_some() {
                    let same = vec![("instances", Change::Add(0))];
                    batch.push(Write::patch(&NODE_LEDGERS, node, empty, same));
                }
            }
            for key in keys {
                // The row of its use is only ever patched, so its revision is the first.
                batch.push(Write::delete(&API_KEY_USES, key.key(), 1));
                batch.push(Write::delete(&API_KEYS, key.key(), key.revision()));
            }
            if !keys.is_empty() {
                let owner = profile.id::<()>("owner_id")?.uuid();
                let access = self.store.get(&USER_ACCESS, owner).await?.value;
                batch.writes.extend(access.as_ref().map(next_epoch).transpose()?);
            }
            let told = format!("begun while {state}, {} keys of its agent", keys.len());
            batch.push(self.log(of_node("node.delete", node, &told), found.now));
            Ok(Decided::Commit(false, batch))
        })
        .await
    }

    /// The steps behind the first one.
    pub(super) async fn finish_node_deletion(&self, node: NodeId) -> Result<()> {
        let mut retry = Retry::new("node.delete", &*self.ids, &*self.metrics);
        let pages = |(table, order): &(&'static Table, &'static str)| {
            Query::Scan(Scan::of(table).by(order).with(node).limit(MAX_PAGE))
        };
        loop {
            let found = self.of_node_deletion(node, GOES.iter().map(pages).collect()).await?;
            found.refused()?;
            if found.state()? != NodeState::Dead {
                // An agent has joined meanwhile.
                retry.again().await?;
                self.begin_node_deletion(node).await?;
                continue;
            }
            let (step, is_last) = found.step(node)?;
            let mut batch = self.batch("node.delete");
            batch.writes = step;
            let told = if is_last {
                found
                    .last
                    .iter()
                    .flatten()
                    .last()
                    .and_then(|row| row.text("name").ok())
                    .unwrap_or("")
                    .to_owned()
            } else {
                format!("{} rows before the node", batch.writes.len())
            };
            batch.push(self.log(of_node("node.delete", node, &told), found.now));
            match self.store.commit(batch).await {
                Ok(_) if is_last => return Ok(()),
                Ok(_) => {}
                Err(error) if lost_race(&error) => retry.again().await?,
                // Something was made for the node between the look and the commit: look again.
                Err(error) => match Error::of_store(ComputeNode::KIND, error) {
                    used @ Error::StillUsed { .. } => retry.again().await.map_err(|_| used)?,
                    other => return Err(other),
                },
            }
        }
    }

    async fn of_node_deletion(&self, node: NodeId, pages: Vec<Query>) -> Result<Found> {
        let one = |(table, order): &(&'static Table, &'static str)| {
            Query::Scan(Scan::of(table).by(order).with(node).limit(1))
        };
        let mut queries: Vec<Query> = STANDS.iter().map(one).collect();
        queries.extend(LAST.iter().map(|table| Query::Get { table, key: node.into() }));
        queries.extend(pages);
        let reads = self.store.read(queries).await?;
        let mut answers = reads.answers.into_iter();
        let stands = STANDS.map(|(table, _)| answers.next().and_then(Answer::into_row).map(|_| table.name));
        let live = stands.into_iter().flatten().next();
        let last = LAST.map(|_| answers.next().and_then(Answer::into_row));
        if last.iter().last().is_none_or(Option::is_none) {
            return Err(gone(node));
        }
        Ok(Found { last, live, pages: answers.map(Answer::into_rows).collect(), now: reads.now })
    }
}

impl Found {
    fn refused(&self) -> Result<()> {
        match self.live {
            Some(by) => Err(Error::StillUsed { kind: ComputeNode::KIND, by }),
            None => Ok(()),
        }
    }

    fn state(&self) -> Result<NodeState> {
        let [.., life, _] = &self.last;
        let life = life.as_ref().ok_or_else(|| Error::not_found(NodeLifecycle::KIND, ""))?;
        Ok(NodeLifecycle::from_row(life)?.state)
    }

    /// The writes of the next step, and whether it is the last one.
    fn step(&self, node: NodeId) -> Result<(Vec<Write>, bool)> {
        let mut step = Vec::new();
        let mut freed = [0_i64; 3];
        let uses = ["cpu_milli", "memory_mib", "storage_mib"];
        let mut rows = self.pages.iter().flatten();
        for row in rows.by_ref().take(AT_ONCE) {
            step.push(Write::delete(row.table(), row.key(), row.revision()));
            if row.table().name == FOREIGN_INSTANCES.name {
                for (sum, column) in freed.iter_mut().zip(uses) {
                    *sum += row.int(column)?;
                }
            }
        }
        // A full page of one table may be followed by more of it, and only then come its parents.
        let is_last = step.len() < AT_ONCE;
        if is_last {
            for row in self.last.iter().flatten() {
                step.push(Write::delete(row.table(), row.key(), row.revision()));
                if row.table().name == COMPUTE_NODES.name {
                    let one_less = vec![("nodes", Change::Add(-1))];
                    let owner = row.id::<()>("owner_id")?.uuid();
                    step.push(Write::patch(&QUOTAS, owner, Vec::new(), one_less));
                }
            }
            return Ok((step, true));
        }
        for (sum, column) in freed.into_iter().zip(uses).filter(|(sum, _)| *sum != 0) {
            step.push(Write::record(&NODE_LEDGERS, node, column, -sum));
        }
        if let [.., Some(life), _] = &self.last {
            step.push(Write::guard(&NODE_LIFECYCLES, node, life.revision()));
        }
        Ok((step, false))
    }
}

fn gone(node: NodeId) -> Error {
    Error::not_found(ComputeNode::KIND, node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::{GPU_LEASES, TABLES};

    #[test]
    fn everything_that_refers_to_a_node_goes_or_stands_in_the_way() {
        for table in TABLES {
            for reference in table.references.iter().filter(|it| it.parent == COMPUTE_NODES.name) {
                let goes =
                    GOES.iter().any(|(goes, order)| (goes.name, *order) == (table.name, reference.name));
                let with_it = LAST.iter().any(|last| last.name == table.name) || table.name == API_KEYS.name;
                // What a worker took on a node holds something of it.
                let stands = STANDS.iter().any(|(stands, _)| stands.name == table.name)
                    || table.name == GPU_LEASES.name;
                assert!(goes || with_it || stands, "{}", reference.name);
            }
        }
    }
}
