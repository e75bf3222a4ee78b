//! A control plane with a user, and a machine with one GPU.

#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test uses some of it")]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity::{
    Entry, GpuFilter, PageRequest, RunId, SecretText, TABLES, TrainingRun, TrainingStatus, UserId,
};
use apportion::plane::{NewApiKey, NewNode, NewRun, NewTraining, NewUser, Options, RunPolicy, RunScheduler};
use apportion::queue::Settings;
use apportion::store::Json;
use apportion::time::Clock;
use apportion_redb::RedbStore;
use tempfile::TempDir;
use tokio::net::TcpListener;
use trainer::control::{Remote, serve};
use trainer::service::{Pace, look};

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) plane: Arc<ControlPlane>,
    scheduler: RunScheduler,
    owner: UserId,
    pub(crate) key: SecretText,
    pub(crate) address: String,
}

impl World {
    pub(crate) async fn new(clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path().join("cloud.redb"), TABLES, clock).unwrap();
        let policy = RunPolicy::default().backoff(Duration::from_millis(10), Duration::from_millis(10));
        let plane = Arc::new(ControlPlane::with(Arc::new(store), Options::default().runs(policy)));
        let mut ada = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap();
        ada.value.activated = true;
        let owner = plane.repositories().users().update(ada).await.unwrap().id;
        let mut node = NewNode::new(owner, "rack-1");
        (node.gpus, node.gpu_model) = (1, Some("Pretended 80GB".to_owned()));
        let node = plane.register_node(node).await.unwrap().id;
        let key = plane.create_api_key(owner, NewApiKey::agent("rack-1", node)).await.unwrap().secret;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(serve(Arc::clone(&plane), listener));
        let scheduler = RunScheduler::new(Arc::clone(&plane), Settings::default());
        Self { folder, plane, scheduler, owner, key, address }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote::new(&self.address, self.key.expose())
    }

    /// The agent of another machine.
    pub(crate) async fn other(&self) -> Remote {
        let node = self.plane.register_node(NewNode::new(self.owner, "rack-2")).await.unwrap().id;
        let key = self.plane.create_api_key(self.owner, NewApiKey::agent("rack-2", node)).await.unwrap();
        Remote::new(&self.address, key.secret.expose())
    }

    pub(crate) async fn submit(&self, config: serde_json::Value) -> RunId {
        let training = NewTraining::new(self.owner, "t", "sks").config(Json::new(&config).unwrap());
        let training = self.plane.create_training(training).await.unwrap();
        self.plane.submit_run(NewRun::of(training.id)).await.unwrap().id
    }

    /// Does once what the control plane does all the time, and answers how many runs got GPUs.
    pub(crate) async fn turn(&self) -> usize {
        look(&self.plane, Pace::default()).await.unwrap();
        self.scheduler.tick().await.unwrap().granted.len()
    }

    pub(crate) async fn run(&self, id: RunId) -> Entry<TrainingRun> {
        self.plane.repositories().training_runs().require(id).await.unwrap()
    }

    pub(crate) async fn told(&self, id: RunId) -> Vec<TrainingStatus> {
        let told =
            self.plane.repositories().training_statuses().list(id, PageRequest::default()).await.unwrap();
        told.entries.into_iter().map(|status| status.value).collect()
    }

    /// Every GPU is free, and every counter is what it should be.
    pub(crate) async fn is_back_to_zero(&self) -> bool {
        let gpus = self.plane.repositories().gpus();
        let gpus = gpus.list(GpuFilter::default(), PageRequest::default()).await.unwrap().entries;
        gpus.iter().all(|gpu| gpu.used_milli.is_zero()) && self.plane.audit().await.unwrap().is_clean()
    }
}
