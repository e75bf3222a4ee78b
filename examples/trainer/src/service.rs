//! The control plane's side: [`schedule`] and [`look_after`].
//!
//! Both may run in any number of processes over one store.

use std::sync::Arc;
use std::time::Duration;

use apportion::queue::Settings;
use apportion::{ControlPlane, Result, plane::RunScheduler};

/// How many runs go on in one look.
const AT_ONCE: u32 = 1000;

/// How often is looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pace {
    /// At the latest how long after the last look GPUs are given: it is looked at once where something has changed.
    pub schedule: Duration,
    /// How long after the last look for runs and leases that are due or too old.
    pub look: Duration,
    /// How long the agent of a node may be silent before nothing new is given there.
    pub silence: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            schedule: Duration::from_secs(10),
            look: Duration::from_secs(1),
            silence: Duration::from_secs(30),
        }
    }
}

/// Gives GPUs to runs, for ever.
pub async fn schedule(cloud: Arc<ControlPlane>, settings: Settings, pace: Pace) {
    RunScheduler::new(cloud, settings).run(pace.schedule, std::future::pending()).await;
}

/// Lets runs go on that are due, and takes up what was not heard in time, for ever.
pub async fn look_after(cloud: Arc<ControlPlane>, pace: Pace) {
    loop {
        if let Err(error) = look(&cloud, pace).await {
            eprintln!("a look at the runs failed, and is done again: {error}");
        }
        tokio::time::sleep(pace.look).await;
    }
}

/// Looks once at all that can be due.
pub async fn look(cloud: &ControlPlane, pace: Pace) -> Result<()> {
    // Before the runs: one whose worker was lost is queued by this, and goes on by the next.
    cloud.sweep_leases().await?;
    cloud.sweep_runs().await?;
    cloud.advance_runs(AT_ONCE).await?;
    cloud.sweep_nodes(pace.silence).await?;
    Ok(())
}
