//! What it costs to hear many nodes, and to look for those that are silent: [`Heartbeats`].

use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity::Limits;
use apportion::plane::{Heartbeat, NewNode, NewUser};
use apportion::store::Store;

use crate::launches::now;
use crate::stores::Failed;

/// How many heartbeats are taken in one call.
const AT_ONCE: usize = 1_000;
/// How many nodes are registered, and agents join, at once.
const JOINS: usize = 64;

/// A store of nodes, each of which an agent has joined.
#[derive(Debug)]
pub struct Heartbeats {
    plane: Arc<ControlPlane>,
    beats: Vec<Heartbeat>,
}

impl Heartbeats {
    /// Fills an empty store with so many nodes.
    pub async fn new(store: Arc<dyn Store>, nodes: u32) -> Result<Self, Failed> {
        let plane = Arc::new(ControlPlane::new(store));
        let limits = Limits { node_limit: nodes, ..Limits::default() };
        let owner = plane.create_user(NewUser::new("bench@example.org", "Bench").limits(limits)).await?.id;
        let mut beats = Vec::new();
        let requests: Vec<_> = (0..nodes).map(|at| NewNode::new(owner, format!("node-{at}"))).collect();
        for some in requests.chunks(AT_ONCE) {
            let mut made = Vec::with_capacity(some.len());
            for node in plane.register_nodes(some.to_vec()).await {
                made.push(node?.id);
            }
            for some in made.chunks(JOINS) {
                let joins: Vec<_> = some
                    .iter()
                    .map(|node| {
                        let (plane, node) = (Arc::clone(&plane), *node);
                        tokio::spawn(async move { plane.join_node(node).await })
                    })
                    .collect();
                for (node, join) in some.iter().zip(joins) {
                    beats.push(Heartbeat::new(*node, join.await??));
                }
            }
        }
        Ok(Self { plane, beats })
    }

    /// How many heartbeats a second are taken, a thousand in a call, by one caller.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub async fn per_second(&self, long: Duration) -> Result<f64, Failed> {
        let (began, mut count) = (now(), 0_usize);
        'all: loop {
            for some in self.beats.chunks(AT_ONCE) {
                for answer in self.plane.heartbeats(some).await {
                    answer?;
                    count += 1;
                }
                if began.elapsed() >= long {
                    break 'all;
                }
            }
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }

    /// How long a sweep takes that finds nothing to do.
    pub async fn sweep(&self) -> Result<Duration, Failed> {
        let began = now();
        let swept = self.plane.sweep_nodes(Duration::from_hours(1)).await?;
        if swept.nodes != u64::try_from(self.beats.len())? || swept.silent + swept.revived > 0 {
            return Err(format!("the sweep found something: {swept:?}").into());
        }
        Ok(began.elapsed())
    }
}
