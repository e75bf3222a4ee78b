//! Logins by many callers at once, at the default cost of a hash: [`Logins`].

use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::identity::LoginPolicy;
use apportion::store::Store;
use tokio::sync::Barrier;

use crate::launches::now;
use crate::members::{Member, Members, PASSWORD, at_once, default_plane, log_in, source};
use crate::resident::Watch;
use crate::stores::Failed;

/// A store of members who log in.
#[derive(Clone, Debug)]
pub struct Logins {
    plane: Arc<ControlPlane>,
    members: Vec<Member>,
}

/// What some logins cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// How many there were.
    pub logins: usize,
    /// How long all of them took.
    pub took: Duration,
    /// The median of how long one took, with its waiting.
    pub median: Duration,
    /// The longest.
    pub longest: Duration,
    /// The most KiB that were resident meanwhile, where that is known.
    pub most_kib: Option<u64>,
}

impl Cost {
    /// Logins in a second.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn per_second(&self) -> f64 {
        self.logins as f64 / self.took.as_secs_f64()
    }
}

impl Logins {
    /// Makes so many members on an empty store.
    pub async fn new(store: Arc<dyn Store>, count: usize) -> Result<Self, Failed> {
        let making = Members::new(Arc::clone(&store));
        let members = making.sign_up("member", count, true).await?;
        making.with_default_hash(&members).await?;
        Ok(Self { plane: default_plane(store, LoginPolicy::default()), members })
    }

    /// Has so many callers log in at once, `each` of them so often, every one as another member from a source of its
    /// own.
    ///
    /// # Errors
    /// Also where one is refused, be it because too many wait.
    pub async fn run(&self, callers: usize, each: usize) -> Result<Cost, Failed> {
        // All ask at the same moment, and the time counts from there.
        let together = Arc::new(Barrier::new(callers));
        let watch = Watch::start();
        let began = now();
        let waits = at_once(self.members.iter().take(callers).map(|member| {
            let (plane, together, member) = (Arc::clone(&self.plane), Arc::clone(&together), member.clone());
            async move {
                let from = source();
                together.wait().await;
                let mut waits = Vec::with_capacity(each);
                for _ in 0..each {
                    let asked = now();
                    log_in(&plane, &member.email, PASSWORD, &from).await?;
                    waits.push(asked.elapsed());
                }
                Ok(waits)
            }
        }));
        let mut waits: Vec<Duration> = waits.await?.into_iter().flatten().collect();
        let (took, most_kib) = (began.elapsed(), watch.most_kib());
        waits.sort_unstable();
        let none = "nobody has logged in";
        let median = waits.get(waits.len() / 2).copied().ok_or(none)?;
        let longest = waits.last().copied().ok_or(none)?;
        Ok(Cost { logins: waits.len(), took, median, longest, most_kib })
    }
}
