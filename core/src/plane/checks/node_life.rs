//! Nodes that are joined, fall silent, and come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::entity::{NodeId, NodeState, UserId};
use crate::error::{Error, Result};
use crate::identity::Origin;
use crate::plane::{Acting, Heartbeat, LaunchRequest, NewApiKey, NodeSession, Swept};

/// After so long a node is silent.
const SILENCE: Duration = Duration::from_secs(30);

pub(super) async fn check_node_life(world: &World) {
    an_agent_that_was_replaced_says_nothing_any_more(world).await;
    each_of_many_who_join_at_once_has_a_session_of_its_own(world).await;
    silence_frees_nothing_and_only_new_work_goes_elsewhere(world).await;
    what_the_owner_wanted_outlives_silence(world).await;
    many_sweepers_decide_each_change_once(world).await;
    a_node_that_is_heard_while_it_is_swept_is_not_unknown_in_the_end(world).await;
    an_agent_is_let_in_by_the_key_of_its_node_and_does_nothing_else(world).await;
    who_operates_a_node_may(world).await;
}

async fn beat(world: &World, node: NodeId, session: NodeSession) -> Result<()> {
    world.cloud.heartbeats(&[Heartbeat::new(node, session)]).await.pop().unwrap()
}

async fn state(world: &World, node: NodeId) -> NodeState {
    world.cloud.node_status(node).await.unwrap().state
}

fn is_replaced(answer: &Result<()>) -> bool {
    matches!(answer, Err(Error::WrongState { kind: "node session", .. }))
}

/// Starts and stops of an instance are not there yet for an agent; what it says is that it lives.
async fn an_agent_that_was_replaced_says_nothing_any_more(world: &World) {
    let node = world.node(world.user().await).await;
    assert!(is_replaced(&beat(world, node, NodeSession(0)).await), "nobody has joined");
    let paused = world.cloud.join_node(node).await.unwrap();
    beat(world, node, paused).await.unwrap();
    world.clock.advance(Duration::from_secs(1));
    let other = world.cloud.join_node(node).await.unwrap();
    assert!(other > paused);
    let seen = world.cloud.node_status(node).await.unwrap().heard;
    world.clock.advance(Duration::from_secs(1));
    let late = vec![Heartbeat::new(node, paused); 500];
    let accepted = world.cloud.heartbeats(&late).await.iter().filter(|answer| !is_replaced(answer)).count();
    assert_eq!(accepted, 0);
    assert_eq!(world.cloud.node_status(node).await.unwrap().heard, seen, "an old agent was heard");
    beat(world, node, other).await.unwrap();
    assert_ne!(world.cloud.node_status(node).await.unwrap().heard, seen);
}

async fn each_of_many_who_join_at_once_has_a_session_of_its_own(world: &World) {
    let node = world.node(world.user().await).await;
    let joins: Vec<_> = (0..8)
        .map(|_| {
            let cloud = Arc::clone(&world.cloud);
            tokio::spawn(async move {
                loop {
                    match cloud.join_node(node).await {
                        Err(error) if error.is_retryable() => {}
                        answer => return answer.unwrap(),
                    }
                }
            })
        })
        .collect();
    let mut sessions = BTreeSet::new();
    for join in joins {
        sessions.insert(join.await.unwrap());
    }
    assert_eq!(sessions, (1..=8).map(NodeSession).collect());
    for session in sessions {
        assert_eq!(beat(world, node, session).await.is_ok(), session == NodeSession(8), "{session:?}");
    }
}

async fn launch(world: &World, owner: UserId, node: NodeId) -> Result<()> {
    let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).on_node(node);
    world.cloud.launch(request).await.map(drop)
}

async fn silence_frees_nothing_and_only_new_work_goes_elsewhere(world: &World) {
    let owner = world.user().await;
    let node = world.node(owner).await;
    let session = world.cloud.join_node(node).await.unwrap();
    launch(world, owner, node).await.unwrap();
    world.clock.advance(SILENCE + Duration::from_secs(1));
    world.cloud.sweep_nodes(SILENCE).await.unwrap();
    let status = world.cloud.node_status(node).await.unwrap();
    assert_eq!((status.state, status.instances), (NodeState::Unknown, 1), "what it has is still charged");
    assert!(matches!(launch(world, owner, node).await, Err(Error::NoCapacity(_))));
    assert!(world.cloud.audit().await.unwrap().is_clean());
    // It was only slow: the same agent is heard again, and its node takes work.
    beat(world, node, session).await.unwrap();
    assert_eq!(state(world, node).await, NodeState::Unknown, "a heartbeat alone reads and changes no state");
    world.cloud.sweep_nodes(SILENCE).await.unwrap();
    assert_eq!(state(world, node).await, NodeState::Active);
    launch(world, owner, node).await.unwrap();
    // A new agent makes it known at once.
    world.clock.advance(SILENCE * 2);
    world.cloud.sweep_nodes(SILENCE).await.unwrap();
    world.cloud.join_node(node).await.unwrap();
    assert_eq!(state(world, node).await, NodeState::Active);
}

async fn what_the_owner_wanted_outlives_silence(world: &World) {
    let node = world.node(world.user().await).await;
    let session = world.cloud.join_node(node).await.unwrap();
    world.cloud.drain_node(node).await.unwrap();
    assert!(world.cloud.node_status(node).await.unwrap().is_drained());
    world.clock.advance(SILENCE * 2);
    world.cloud.sweep_nodes(SILENCE).await.unwrap();
    beat(world, node, session).await.unwrap();
    world.cloud.sweep_nodes(SILENCE).await.unwrap();
    world.cloud.join_node(node).await.unwrap();
    assert_eq!(state(world, node).await, NodeState::Draining);
    assert!(matches!(world.cloud.drain_node(node).await, Err(Error::WrongState { .. })));
    world.cloud.uncordon_node(node).await.unwrap();
    world.cloud.cordon_node(node).await.unwrap();
    assert_eq!(state(world, node).await, NodeState::Cordoned);
}

async fn sweep(world: &World) -> Swept {
    world.cloud.sweep_nodes(SILENCE).await.unwrap()
}

async fn many_sweepers_decide_each_change_once(world: &World) {
    sweep(world).await;
    let owner = world.user().await;
    let mut beats = Vec::new();
    for _ in 0..20 {
        let node = world.node(owner).await;
        beats.push(Heartbeat::new(node, world.cloud.join_node(node).await.unwrap()));
    }
    world.clock.advance(SILENCE * 2);
    let others = sweep(world).await;
    assert_eq!((others.silent, others.revived), (others.silent.max(20), 0));
    for answer in world.cloud.heartbeats(&beats).await {
        answer.unwrap();
    }
    let sweeps: Vec<_> = (0..6)
        .map(|_| {
            let cloud = Arc::clone(&world.cloud);
            tokio::spawn(async move { cloud.sweep_nodes(SILENCE).await.unwrap() })
        })
        .collect();
    let mut revived = 0;
    for swept in sweeps {
        revived += swept.await.unwrap().revived;
    }
    assert_eq!(revived, 20);
    assert_eq!(
        (sweep(world).await.silent, sweep(world).await.revived),
        (0, 0),
        "a second sweep changes nothing"
    );
}

async fn a_node_that_is_heard_while_it_is_swept_is_not_unknown_in_the_end(world: &World) {
    let node = world.node(world.user().await).await;
    let session = world.cloud.join_node(node).await.unwrap();
    for _ in 0..20 {
        world.clock.advance(SILENCE * 2);
        let (one, two) = (Arc::clone(&world.cloud), Arc::clone(&world.cloud));
        let swept = tokio::spawn(async move { one.sweep_nodes(SILENCE).await });
        let heard = tokio::spawn(async move { two.heartbeats(&[Heartbeat::new(node, session)]).await });
        swept.await.unwrap().unwrap();
        heard.await.unwrap().pop().unwrap().unwrap();
        sweep(world).await;
        assert_eq!(state(world, node).await, NodeState::Active);
    }
}

async fn agent_of(world: &World, owner: UserId, node: NodeId) -> (Acting, crate::entity::ApiKeyId) {
    let made = world.cloud.create_api_key(owner, NewApiKey::agent("agent", node)).await.unwrap();
    let caller = world.cloud.authenticate(&made.secret, Origin::unknown()).await.unwrap();
    (world.cloud.acting(caller), made.key.id)
}

async fn an_agent_is_let_in_by_the_key_of_its_node_and_does_nothing_else(world: &World) {
    let owner = world.user().await;
    let (node, other) = (world.node(owner).await, world.node(owner).await);
    let (agent, key) = agent_of(world, owner, node).await;
    let session = agent.join_node().await.unwrap();
    agent.heartbeat(session).await.unwrap();
    assert_eq!(world.cloud.node_status(other).await.unwrap().heard, None, "it joined as its own node");
    for node in [node, other] {
        assert!(agent.drain_node(node).await.is_err(), "an agent operates no node");
        assert!(agent.node_status(node).await.is_err());
    }
    let human = world.cloud.acting(crate::identity::Caller::trusted(owner));
    assert!(matches!(human.join_node().await, Err(Error::Denied { action: "node.join" })));
    assert!(matches!(human.heartbeat(session).await, Err(Error::Denied { .. })));
    world.cloud.deactivate(owner).await.unwrap();
    assert!(matches!(agent.heartbeat(session).await, Err(Error::Denied { .. })));
    world.cloud.activate(owner).await.unwrap();
    agent.heartbeat(session).await.unwrap();
    world.cloud.revoke_api_key(owner, key).await.unwrap();
    assert!(matches!(agent.heartbeat(session).await, Err(Error::Unauthenticated)));
    assert!(matches!(agent.join_node().await, Err(Error::Unauthenticated)));
}

async fn who_operates_a_node_may(world: &World) {
    let (owner, guest) = (world.user().await, world.user().await);
    let node = world.node(owner).await;
    let acting = |user| world.cloud.acting(crate::identity::Caller::trusted(user));
    assert!(matches!(acting(guest).cordon_node(node).await, Err(Error::NotFound { .. })));
    world.cloud.share(guest, crate::plane::Shared::Node(node), None).await.unwrap();
    assert!(matches!(acting(guest).cordon_node(node).await, Err(Error::Denied { .. })));
    assert_eq!(acting(guest).node_status(node).await.unwrap().state, NodeState::Active);
    assert_eq!(acting(owner).cordon_node(node).await.unwrap(), NodeState::Cordoned);
    assert_eq!(acting(owner).uncordon_node(node).await.unwrap(), NodeState::Active);
}
