//! The agent: it joins, is heard, reports what its machine has, and does what it is told.

mod found;
mod work;

use std::sync::Arc;
use std::time::Duration;

use apportion::plane::NodeSession;
use apportion::ports::PortRanges;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::control::{Control, Refused, Result};
use crate::driver::Driver;
use crate::machine::InventorySource;

/// How an agent works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often it says that it lives. The control plane's patience has to be several times that.
    pub heartbeat: Duration,
    /// How often it reports what its machine has.
    pub report: Duration,
    /// How often it asks what is to be done.
    pub poll: Duration,
    /// For how long it takes a command; it holds on to it while it works.
    pub lease: Duration,
    /// How long an instance may take to end by itself.
    pub grace: Duration,
    /// How many commands it works on at once.
    pub at_once: usize,
    /// The ports that instances may have; as they were registered where it does not say.
    pub ports: Option<PortRanges>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            report: Duration::from_mins(1),
            poll: Duration::from_secs(1),
            lease: Duration::from_mins(1),
            grace: Duration::from_secs(10),
            at_once: 4,
            ports: None,
        }
    }
}

/// The agent of a machine.
#[derive(Clone, Debug)]
pub struct Agent {
    control: Arc<dyn Control>,
    driver: Arc<dyn Driver>,
    machine: Arc<dyn InventorySource>,
    settings: Arc<Settings>,
}

impl Agent {
    /// An agent over a way to the control plane, a way to make instances, and a way to know the machine.
    pub fn new(
        control: Arc<dyn Control>,
        driver: Arc<dyn Driver>,
        machine: Arc<dyn InventorySource>,
        settings: Settings,
    ) -> Self {
        Self { control, driver, machine, settings: Arc::new(settings) }
    }

    /// Works until the control plane refuses it for good, such as for a key that was revoked.
    ///
    /// Where it was replaced, it joins anew: an agent that was paused for so long that others have given its machine up finds out
    /// so, and begins again with a report of what there is.
    pub async fn run(&self) -> Refused {
        loop {
            match self.life().await {
                Err(Refused::Replaced) => eprintln!("this node was given up or taken over: joining anew"),
                Err(Refused::Unreachable { reason }) => eprintln!("trying again: {reason}"),
                Err(denied) => return denied,
                Ok(never) => match never {},
            }
            sleep(self.settings.heartbeat).await;
        }
    }

    /// One life: from joining until something is refused.
    async fn life(&self) -> Result<std::convert::Infallible> {
        let session = self.control.join().await?;
        self.report(session).await?;
        let every = |period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut beat, mut poll) = (every(self.settings.heartbeat), every(self.settings.poll));
        let mut look = every(self.settings.report);
        look.reset();
        // What is under way ends with this life: in the next one it is asked for again.
        let (mut work, mut looks) = (JoinSet::new(), JoinSet::new());
        loop {
            tokio::select! {
                _ = beat.tick() => self.control.heartbeat(session).await?,
                _ = look.tick(), if looks.is_empty() => {
                    let agent = self.clone();
                    looks.spawn(async move { agent.report(session).await });
                }
                _ = poll.tick(), if work.len() < self.settings.at_once => {
                    let limit = u32::try_from(self.settings.at_once - work.len()).unwrap_or(1);
                    for held in self.control.take(session, limit, self.settings.lease).await? {
                        let agent = self.clone();
                        work.spawn(async move { agent.work(held).await });
                    }
                }
                Some(done) = work.join_next() => done.map_err(broken)??,
                Some(done) = looks.join_next() => done.map_err(broken)??,
            }
        }
    }

    /// Reports what the machine has now.
    async fn report(&self, session: NodeSession) -> Result<()> {
        // First the time, then the look: what is made meanwhile is not taken for gone.
        let at = self.control.begin_report(session).await?;
        let inventory = self.look(at).await;
        let reconciled = self.control.report(session, &inventory).await?;
        for lost in &reconciled.lost {
            eprintln!("instance {lost} is gone, and nobody asked for that");
        }
        Ok(())
    }
}

/// A task of the agent that came to an end of its own: the agent begins anew.
fn broken(error: tokio::task::JoinError) -> Refused {
    Refused::Unreachable { reason: format!("a task of the agent failed: {error}") }
}
