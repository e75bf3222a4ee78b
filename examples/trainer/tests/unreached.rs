//! A worker that does not reach the control plane.

mod world;

use std::sync::Arc;
use std::time::Duration;

use apportion::entity::RunState;
use apportion::time::SystemClock;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use trainer::control::Remote;
use trainer::worker::{Settings, Worker};
use world::World;

/// Passes on what is said until it is dropped.
async fn relay(listener: TcpListener, to: String) {
    let mut lines = JoinSet::new();
    loop {
        let (mut from, _) = listener.accept().await.unwrap();
        let mut to = TcpStream::connect(&to).await.unwrap();
        lines.spawn(async move { drop(tokio::io::copy_bidirectional(&mut from, &mut to).await) });
    }
}

#[tokio::test]
async fn it_ends_its_programs_by_its_own_clock() {
    let world = World::new(Arc::new(SystemClock::new())).await;
    let run = world.submit(json!({})).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let control = Remote::new(listener.local_addr().unwrap().to_string(), world.key.expose());
    let relay = tokio::spawn(relay(listener, world.address.clone()));
    let (state, storage) = (world.folder.path().join("state"), world.folder.path().join("storage"));
    let program = vec!["sleep".to_owned(), "1000".to_owned()];
    let mut settings = Settings::new("worker", state.clone(), storage, program);
    (settings.lease, settings.poll) = (Duration::from_secs(4), Duration::from_millis(20));
    let worker = Worker::open(control, settings).unwrap();
    let worker = tokio::spawn(async move { worker.run(std::future::pending()).await });
    while world.run(run).await.state != RunState::Training {
        // Not once: a grant that was planned before the worker joined does not hold behind it.
        world.turn().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    relay.abort();
    // Nobody looks for leases that are over, and nobody could tell the worker.
    while std::fs::read_dir(state.join("running")).unwrap().count() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(world.run(run).await.state, RunState::Training);
    assert!(!world.is_back_to_zero().await, "what it could not tell is not known");
    worker.abort();
}
