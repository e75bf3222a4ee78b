//! The process driver: an instance is a process and what it starts.
//!
//! It is for machines without containers, for development and for demonstrations. An instance gets a folder of its own, the
//! environment of its spec, and the numbers of its GPUs in `CUDA_VISIBLE_DEVICES`; of the agent's environment it gets `PATH`
//! alone. **Nothing holds it to its processor time, memory and storage, and it may read whatever the agent's user may**: run
//! what you trust, or use containers.
//!
//! # How it survives being killed
//!
//! What is intended is written before it is done, and what came of it after. Where an agent was killed in between, the process
//! itself says whose it is: it has the instance's id and the agent's folder in its environment. A process is known by its number,
//! its start time and the boot of the machine, so that another one which got the number later is never taken for it.
//! A program that was started and ended again before its agent, which was killed in that moment, could write it down, is started
//! a second time: the one thing that cannot be told.
//!
//! It needs `/proc`, and so Linux.

mod busy;
mod images;
mod keeper;
mod launch;
mod operate;
mod record;
mod saved;
mod seen;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Driver, Error, Found, ImageFound, Result, Spec};
use keeper::Keeper;

/// How long `delete` waits for an instance to end by itself.
const DELETE_GRACE: Duration = Duration::from_secs(5);

/// Runs instances as processes. See the [module](self).
#[derive(Clone, Debug)]
pub struct ProcessDriver {
    keeper: Arc<Keeper>,
}

impl ProcessDriver {
    /// Opens the folder in which instances are kept, and makes it where there is none. Instances that an agent left running
    /// are found again.
    ///
    /// Only one agent works in a folder at a time.
    pub async fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
        let mut tries = 50;
        loop {
            tries -= 1;
            match Keeper::open(&folder) {
                // A process that an agent was starting when it was killed holds the lock until it runs its own program.
                Err(Error::FolderInUse { .. }) if tries > 0 => {
                    tokio::time::sleep(Duration::from_millis(20)).await
                }
                keeper => return Ok(Self { keeper: Arc::new(keeper?) }),
            }
        }
    }

    /// Runs one operation where blocking is allowed. It is finished even when nobody waits for it any more.
    async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Keeper) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let keeper = Arc::clone(&self.keeper);
        tokio::task::spawn_blocking(move || operation(&keeper)).await.map_err(Error::failed)?
    }
}

#[async_trait]
impl Driver for ProcessDriver {
    fn name(&self) -> &'static str {
        "process"
    }

    async fn list(&self) -> Result<Vec<Found>> {
        self.run(Keeper::list).await
    }

    async fn create(&self, spec: &Spec) -> Result<Found> {
        let spec = spec.clone();
        self.run(move |keeper| keeper.create(spec)).await
    }

    async fn start(&self, key: &str) -> Result<Found> {
        let key = key.to_owned();
        self.run(move |keeper| keeper.start(&key)).await
    }

    async fn stop(&self, key: &str, grace: Duration) -> Result<Found> {
        let key = key.to_owned();
        self.run(move |keeper| keeper.stop(&key, grace)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.run(move |keeper| keeper.delete(&key, DELETE_GRACE)).await
    }

    async fn load_image(&self, url: &str) -> Result<ImageFound> {
        let url = url.to_owned();
        self.run(move |keeper| keeper.images.load(&url)).await
    }

    async fn save_image(&self, key: &str, image: Uuid) -> Result<ImageFound> {
        let key = key.to_owned();
        self.run(move |keeper| keeper.save_image(&key, image)).await
    }

    async fn delete_image(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.run(move |keeper| keeper.images.delete(&key)).await
    }

    async fn images(&self) -> Result<Vec<ImageFound>> {
        self.run(|keeper| keeper.images.all()).await
    }
}
