//! What is promised of workers that are agents of nodes.

use super::worker::SHA256;
use super::{HOUR, Lab, World};
use crate::amount::CpuMilli;
use crate::entity::{NODE_LIFECYCLES, NodeId, RunAsk, RunState, UserId};
use crate::error::Error;
use crate::identity::Origin;
use crate::plane::leases::{Grant, GrantNode};
use crate::plane::{Acting, Artifact, NewApiKey, NewStatus, RunLease, Worker};
use crate::store::StoreExt as _;

pub(super) async fn check_agents(world: &World) {
    the_agent_of_its_node_works_on_a_run_and_no_other(world).await;
}

/// What the agent of a node may do.
async fn agent_of(world: &World, owner: UserId, node: NodeId) -> Acting {
    let made = world.cloud.create_api_key(owner, NewApiKey::agent("agent", node)).await.unwrap();
    world.cloud.acting(world.cloud.check_api_key(&made.secret, Origin::unknown()).await.unwrap())
}

/// A lease of a run on a node, which its agent has taken.
pub(super) async fn taken_on(world: &World, lab: &Lab, node: NodeId) -> RunLease {
    let ask = RunAsk { gpus: 0, cpu: CpuMilli::from_u32(1000), ..RunAsk::default() };
    let run = world.cloud.submit_run(lab.ask().ask(ask)).await.unwrap().id;
    world.advance().await;
    let session = world.cloud.join_node(node).await.unwrap();
    let lifecycle = world.cloud.store.get(&NODE_LIFECYCLES, node).await.unwrap().value.unwrap();
    let on = GrantNode { node, lifecycle_revision: lifecycle.revision(), members: 1, gpus: Vec::new() };
    let granted = world.cloud.grant_runs(&[Grant { run, nodes: vec![on], rental: None }]).await;
    let lease = granted.into_iter().next().unwrap().unwrap().id;
    let worker = Worker::new("agent").on(node, session);
    let claimed = world.cloud.claim_run(&worker, HOUR).await.unwrap().unwrap();
    assert_eq!(claimed.lease.lease, lease);
    claimed.lease
}

async fn the_agent_of_its_node_works_on_a_run_and_no_other(world: &World) {
    let lab = Lab::new(world).await;
    let (here, there) = (world.node(lab.owner).await, world.node(lab.owner).await);
    let lease = taken_on(world, &lab, here).await;
    let (own, other) = (agent_of(world, lab.owner, here).await, agent_of(world, lab.owner, there).await);
    let nothing = other.begin_run(&lease).await;
    assert!(matches!(nothing, Err(Error::NotFound { .. })), "{nothing:?}");
    own.begin_run(&lease).await.unwrap();
    let nothing = other.tell(&lease, NewStatus::of("training")).await;
    assert!(matches!(nothing, Err(Error::NotFound { .. })), "{nothing:?}");
    own.tell(&lease, NewStatus::of("training")).await.unwrap();
    let artifact = Artifact::new(own.uploading_run(&lease).await.unwrap(), 5, SHA256);
    let nothing = other.complete_run(&lease, &artifact).await;
    assert!(matches!(nothing, Err(Error::NotFound { .. })), "{nothing:?}");
    let complete = own.complete_run(&lease, &artifact).await.unwrap();
    assert_eq!(complete.state, RunState::Completed);
    // It is the agent's still, to be said again.
    assert_eq!(own.complete_run(&lease, &artifact).await.unwrap(), complete);
    let lease = taken_on(world, &lab, here).await;
    let nothing = other.return_run(&lease, "mine").await;
    assert!(matches!(nothing, Err(Error::NotFound { .. })), "{nothing:?}");
    assert_eq!(own.return_run(&lease, "it is to stop").await.unwrap().state, RunState::Queued);
    // An agent is a worker, and nobody's user.
    let denied = own.abort_run(lease.run, "").await;
    assert!(matches!(denied, Err(Error::Denied { .. } | Error::NotFound { .. })), "{denied:?}");
}
