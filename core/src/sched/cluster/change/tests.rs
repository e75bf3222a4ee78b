use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::sched::demand::{Demand, GpuDemand};
use crate::sched::node::GpuState;
use crate::sched::placement::Placement;
use crate::sched::policy::Policy;
use crate::sched::scheduler::Scheduler;

const NODES: u32 = 9;

fn id(at: u32) -> Uuid {
    Uuid::from_u128(u128::from(at % NODES))
}

/// One of a few thousand states of a node, many of which are in one class of a coarse cluster.
fn drawn(at: u32, draw: u32) -> NodeState {
    let mut node = NodeState::empty(id(at), u64::from(at % 2 + u32::from(draw.is_multiple_of(11))));
    node.model =
        (!at.is_multiple_of(2)).then(|| ["A", "B"][usize::try_from(draw / 250 % 2).unwrap()].to_owned());
    node.cpu_free = i64::from(draw % 5 * 900);
    node.memory_free = i64::from(draw / 5 % 5 * 4_000);
    node.storage_free = i64::from(draw / 25 % 5 * 9_000);
    let gpu = |slot: u32| {
        let free_milli = [1000, 1000, 300, 0][usize::try_from((draw / 125 + slot * slot) % 4).unwrap()];
        GpuState { free_milli, healthy: !(draw + slot).is_multiple_of(7) }
    };
    node.gpus = (0..at % 2 * 2).map(gpu).collect();
    node.running.add(Tag::Share, draw / 500 % 2 * 9);
    node.schedulable = !draw.is_multiple_of(13);
    node
}

fn demand(cpu: u32, memory: u32, gpu: GpuDemand) -> Demand {
    Demand::new(CpuMilli::from_u32(cpu), MemoryMib::from_u32(memory), StorageMib::ZERO, gpu, vec![]).unwrap()
}

/// A cluster that is followed by one scheduler, with the nodes that it should have.
struct Pair {
    policy: Policy,
    cluster: Cluster,
    follower: Scheduler,
    model: BTreeMap<Uuid, NodeState>,
    live: Vec<Placement>,
}

impl Pair {
    fn new(policy: Policy) -> Self {
        let (cluster, follower) = (Cluster::for_policy(policy), Scheduler::new(policy, 0));
        Self { policy, cluster, follower, model: BTreeMap::new(), live: Vec::new() }
    }

    fn step(&mut self, kind: u32, at: u32, draw: u32) {
        match kind {
            0..=3 => {
                self.cluster.upsert(&drawn(at, draw)).unwrap();
                self.model.insert(id(at), drawn(at, draw));
            }
            4 => {
                let was_there = self.model.remove(&id(at)).is_some();
                assert_eq!(self.cluster.remove(&id(at)), was_there);
            }
            5 => {
                let node = self.model.get_mut(&id(at));
                assert_eq!(self.cluster.set_schedulable(&id(at), draw.is_multiple_of(2)), node.is_some());
                if let Some(node) = node {
                    node.schedulable = draw.is_multiple_of(2);
                }
            }
            6 => {
                if let Some(gone) = self.live.pop()
                    && self.cluster.release(&gone).is_ok()
                {
                    self.model.insert(gone.node, self.cluster.get(&gone.node).unwrap());
                }
            }
            7 => {
                // Some of them twice, and more than are looked up at once.
                let many = |step: u32| drawn(at + step * step, draw + step * 37);
                let nodes: Vec<NodeState> = (0..draw % 50).map(many).collect();
                self.cluster.upsert_all(&nodes).unwrap();
                self.model.extend(nodes.into_iter().map(|node| (node.id, node)));
            }
            8 => {
                // The GPUs of the last task break, or work again.
                let of_task = self.live.last().map_or(id(at), |placement| placement.node);
                let Some(mut node) = self.cluster.get(&of_task) else { return };
                node.gpus.iter_mut().for_each(|gpu| gpu.healthy = !gpu.healthy);
                self.cluster.upsert(&node).unwrap();
                self.model.insert(node.id, node);
            }
            _ => {
                let share = GpuDemand::Share(GpuMilli::new(300).unwrap());
                let gpu = [GpuDemand::None, share, GpuDemand::Whole(1)][usize::try_from(draw % 3).unwrap()];
                if let Some(found) = self.follower.find(&self.cluster, &demand(700, 900, gpu), &[]) {
                    self.cluster.place(&found).unwrap();
                    self.model.insert(found.node, self.cluster.get(&found.node).unwrap());
                    self.live.push(found);
                }
            }
        }
    }

    /// The index is as one that is filled now, and who has followed it all along decides as who sees it for the first time.
    fn check(&mut self) {
        let mut filled = Cluster::for_policy(self.policy);
        self.model.values().for_each(|node| filled.upsert(node).unwrap());
        assert_eq!(self.cluster, filled);
        assert_eq!(self.cluster.iter().count(), self.model.len());
        assert_eq!(self.cluster.len(), self.model.len());
        assert_eq!(self.cluster.totals(), filled.totals());
        assert_eq!(self.cluster.class_count(), filled.class_count());
        assert_eq!(self.cluster.supply.free_milli(), filled.supply.free_milli());
        for (_, class) in self.cluster.classes() {
            let members: Vec<NodeKey> =
                class.members.iter().map(|node| self.cluster.node(node).unwrap().key).collect();
            assert!(members.is_sorted() && members.first() == Some(&class.first), "{members:?}");
        }
        for demand in [demand(1_000, 0, GpuDemand::None), demand(1, 9_000, GpuDemand::Whole(1))] {
            let fresh = Scheduler::new(self.policy, 0).find(&self.cluster, &demand, &[]);
            assert_eq!(self.follower.find(&self.cluster, &demand, &[]), fresh);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_index_is_as_one_that_is_filled_now_whatever_has_changed(
        steps in prop::collection::vec((0_u32..13, 0..NODES, 0_u32..1_000), 1..60),
    ) {
        for policy in [Policy::BestFit, Policy::OpportunityCost, Policy::Clustering] {
            let mut pair = Pair::new(policy);
            for (kind, at, draw) in &steps {
                pair.step(*kind, *at, *draw);
                pair.check();
            }
        }
    }
}

#[test]
fn a_node_that_comes_back_as_it_is_changes_nothing() {
    let mut cluster = Cluster::new();
    (0..NODES).for_each(|at| cluster.upsert(&drawn(at, 3)).unwrap());
    let (version, end) = (cluster.log.version, cluster.log.end());
    (0..NODES).for_each(|at| cluster.upsert(&drawn(at, 3)).unwrap());
    assert_eq!((cluster.log.version, cluster.log.end()), (version, end));
    cluster.upsert(&drawn(0, 4)).unwrap();
    assert!(cluster.log.version > version);
}

#[test]
fn of_nodes_none_is_taken_in_if_one_is_not_valid() {
    let mut cluster = Cluster::new();
    cluster.upsert(&drawn(0, 3)).unwrap();
    let before = cluster.clone();
    let mut nodes: Vec<NodeState> = (0..4).map(|at| drawn(at, 4)).collect();
    nodes[2].cpu_free = i64::MAX;
    let refused = cluster.upsert_all(&nodes).unwrap_err();
    assert_eq!((refused.place, refused.node), (2, nodes[2].id));
    let why = "free cpu must be within 2^53 of zero, got 9223372036854775807";
    assert_eq!(refused.to_string(), format!("node {}, at place 2: {why}", nodes[2].id));
    assert_eq!((cluster.log.version, cluster == before), (before.log.version, true));
    nodes[2].cpu_free = 1;
    assert_eq!(cluster.upsert_all(&nodes), Ok(()));
    assert_eq!(cluster.len(), 4);
}
