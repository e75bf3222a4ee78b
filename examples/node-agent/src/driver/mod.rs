//! How instances are made: [`Driver`].

#[cfg(all(unix, feature = "docker"))]
pub mod docker;
mod error;
#[cfg(unix)]
pub mod process;
mod spec;

use std::fmt;
use std::time::Duration;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use error::{Error, Result};
pub use spec::{PortWanted, Spec};

/// What makes and removes instances on a machine.
///
/// # Contract
///
/// An agent may be killed between any two steps of an operation, and then asks again. Whatever was left by then, `list` tells the
/// truth about it, and `create` and `delete` finish it. Operations on one instance are done one after the other; on several,
/// at once.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync {
    /// A short name for it, such as `docker`.
    fn name(&self) -> &'static str;

    /// Everything that it sees, whoever made it.
    async fn list(&self) -> Result<Vec<Found>>;

    /// Makes an instance and starts it. One that is already there is answered as it is, whatever the rest of the spec says.
    async fn create(&self, spec: &Spec) -> Result<Found>;

    /// Starts one that is stopped; one that runs is left alone.
    async fn start(&self, key: &str) -> Result<Found>;

    /// Asks an instance to end, and ends it when it has not done so after `grace`. One that is stopped is left alone.
    async fn stop(&self, key: &str, grace: Duration) -> Result<Found>;

    /// Stops an instance and removes all of it. One that is not there was removed before.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Fetches an image. One that is there is answered as it is, or brought up to date.
    async fn load_image(&self, url: &str) -> Result<ImageFound>;

    /// Saves an image of an instance, which goes on as it was. One that was saved under this id before is answered as it is,
    /// whatever has become of the instance.
    async fn save_image(&self, key: &str, image: Uuid) -> Result<ImageFound>;

    /// Removes an image. One that is not there was removed before.
    async fn delete_image(&self, key: &str) -> Result<()>;

    /// Every image that there is.
    async fn images(&self) -> Result<Vec<ImageFound>>;
}

/// An instance that a driver sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// By what the driver finds it again; at most 128 bytes.
    pub key: String,
    /// Which of the control plane's instances it is; none where somebody else made it.
    pub instance: Option<Uuid>,
    /// Its name.
    pub name: String,
    /// Whether it runs.
    pub state: FoundState,
    /// The processor time that it was given; none where it has no limit.
    pub cpu_milli: CpuMilli,
    /// The memory that it was given; none where it has no limit.
    pub memory_mib: MemoryMib,
    /// The storage that it was given.
    pub storage_mib: StorageMib,
}

/// Whether an instance runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundState {
    /// It does.
    Running,
    /// It is there, and does not.
    Stopped,
    /// It is in between, or broken; the text is for people.
    Other(String),
}

/// An image that a driver has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFound {
    /// By what the driver finds it again; at most 128 bytes.
    pub key: String,
    /// From where it was fetched, where that is known.
    pub url: Option<String>,
    /// Its size.
    pub size_mib: StorageMib,
}
