//! What every request costs before anything else: a check of a session or of an API key, as [`Checks`].

use std::sync::Arc;
use std::time::Duration;

use apportion::ControlPlane;
use apportion::entity::SecretText;
use apportion::identity::Origin;
use apportion::plane::NewApiKey;
use apportion::store::Store;

use crate::launches::now;
use crate::members::{Members, PASSWORD, at_once, log_in, source};
use crate::stores::Failed;

/// How many members there are, each with a session and an API key.
pub const MEMBERS: usize = 1_000;
/// After so many checks a caller looks at the time, and lets others have the thread.
const CHECKS: usize = 16;

/// A store of members, each of whom has a session and an API key, checked here and there.
#[derive(Clone, Debug)]
pub struct Checks {
    plane: Arc<ControlPlane>,
    sessions: Arc<[SecretText]>,
    keys: Arc<[SecretText]>,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The token of a session.
    Session,
    /// An API key.
    ApiKey,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Session, Self::ApiKey];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "sessions",
            Self::ApiKey => "API keys",
        }
    }
}

impl Checks {
    /// Fills an empty store, and checks everything once: the first use of a key is written, and for a minute no other.
    pub async fn new(store: Arc<dyn Store>) -> Result<Self, Failed> {
        let members = Members::new(store);
        let plane = Arc::clone(members.plane());
        let made = members.sign_up("member", MEMBERS, true).await?.into_iter().map(|member| {
            let plane = Arc::clone(&plane);
            async move {
                let session = log_in(&plane, &member.email, PASSWORD, &source()).await?.token;
                let key = plane.create_api_key(member.id, NewApiKey::new("bench", ["read:instance"])).await?;
                plane.check_session(&session, Origin::unknown()).await?;
                plane.check_api_key(&key.secret, Origin::unknown()).await?;
                Ok((session, key.secret))
            }
        });
        let (sessions, keys): (Vec<_>, Vec<_>) = at_once(made).await?.into_iter().unzip();
        Ok(Self { plane, sessions: sessions.into(), keys: keys.into() })
    }

    /// Checks once; another number is another member's.
    ///
    /// # Errors
    /// Also where a session or key is refused.
    pub async fn check(&self, kind: Kind, nth: usize) -> Result<(), Failed> {
        let secrets = match kind {
            Kind::Session => &self.sessions,
            Kind::ApiKey => &self.keys,
        };
        let secret = secrets.get(nth % secrets.len().max(1)).ok_or("there are no members")?;
        match kind {
            Kind::Session => self.plane.check_session(secret, Origin::unknown()).await?,
            Kind::ApiKey => self.plane.check_api_key(secret, Origin::unknown()).await?,
        };
        Ok(())
    }

    /// How many checks a second so many callers get, each of which waits for its answer before it asks again.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub async fn per_second(&self, kind: Kind, callers: usize, long: Duration) -> Result<f64, Failed> {
        let began = now();
        let counts = at_once((0..callers).map(|caller| {
            let checks = self.clone();
            async move {
                // A step that has no factor in common with their number visits all members.
                let mut nth = caller * MEMBERS / callers;
                let mut count = 0_u64;
                while began.elapsed() < long {
                    for _ in 0..CHECKS {
                        checks.check(kind, nth).await?;
                        nth = nth.wrapping_add(1_237);
                        count += 1;
                    }
                    tokio::task::yield_now().await;
                }
                Ok(count)
            }
        }));
        let count: u64 = counts.await?.into_iter().sum();
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }
}
