//! Users who can log in: [`Members`] makes them, by the operations that a host has for it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use apportion::ControlPlane;
use apportion::entity::{PASSWORDS, SecretText, UserId};
use apportion::id::{IdSource as _, TimeOrderedIds};
use apportion::identity::{HostKey, IdentityOptions, KeyRing, LoginPolicy, Origin, PasswordPolicy};
use apportion::plane::{Confirmation, LogIn, LoggedIn, Message, Options, SignUp};
use apportion::store::{Batch, Store, Write};
use apportion::time::SystemClock;

use crate::stores::Failed;

/// The password of every member.
pub const PASSWORD: &str = "correct horse battery";
/// Nobody's password.
pub const WRONG: &str = "another horse battery";

/// A user with a password.
#[derive(Clone, Debug)]
pub struct Member {
    /// The user.
    pub id: UserId,
    /// The login address.
    pub email: String,
}

/// Makes members on a store.
///
/// While they are made a hash costs next to nothing: what it costs is measured elsewhere.
#[derive(Clone, Debug)]
pub struct Members {
    plane: Arc<ControlPlane>,
}

impl Members {
    /// Makes members on this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        let cheap = PasswordPolicy::default().cost(64, 1, 1);
        Self { plane: Arc::new(ControlPlane::with(store, options(cheap, LoginPolicy::default()))) }
    }

    /// The control plane that they are made by.
    pub fn plane(&self) -> &Arc<ControlPlane> {
        &self.plane
    }

    /// Signs up so many, with addresses of this kind, which are confirmed or not.
    pub async fn sign_up(&self, kind: &str, count: usize, confirmed: bool) -> Result<Vec<Member>, Failed> {
        at_once((0..count).map(|nth| {
            let (plane, email) = (Arc::clone(&self.plane), address(kind, nth));
            async move { sign_up(&plane, email, confirmed).await }
        }))
        .await
    }

    /// Gives all of them one hash of the password, that of the default parameters, so that their next login has
    /// nothing to hash anew.
    pub async fn with_default_hash(&self, members: &[Member]) -> Result<(), Failed> {
        let store = self.plane.store();
        let plane = default_plane(Arc::clone(store), LoginPolicy::default());
        let model = sign_up(&plane, "model@example.org".to_owned(), false).await?;
        let passwords = plane.repositories().passwords();
        let hash = passwords.require(model.id).await?.value.hash;
        let ids = TimeOrderedIds::new(Arc::new(SystemClock::new()));
        let mut batches = Vec::with_capacity(members.len());
        for member in members {
            let revision = passwords.require(member.id).await?.revision;
            let set = vec![("hash", hash.expose().into())];
            let write = Write::update(&PASSWORDS, member.id, revision, set);
            batches.push(Batch::new(ids.next_id(), "bench.password").with(write));
        }
        for answer in store.commit_many(batches).await {
            answer?;
        }
        Ok(())
    }
}

/// A control plane with the default cost of a hash: 19 MiB, two passes, one lane.
pub fn default_plane(store: Arc<dyn Store>, logins: LoginPolicy) -> Arc<ControlPlane> {
    Arc::new(ControlPlane::with(store, options(PasswordPolicy::default(), logins)))
}

fn options(passwords: PasswordPolicy, logins: LoginPolicy) -> Options {
    let keys = KeyRing::new(HostKey::new(1, [7; 32]));
    Options::default().identity(IdentityOptions::default().keys(keys).passwords(passwords).logins(logins))
}

/// The address of this kind and number.
pub fn address(kind: &str, nth: usize) -> String {
    format!("{kind}-{nth}@example.org")
}

/// A source that nothing has come from before.
pub fn source() -> Origin {
    static NEXT: AtomicU32 = AtomicU32::new(0x0a00_0000);
    Origin::ip(IpAddr::V4(Ipv4Addr::from_bits(NEXT.fetch_add(1, Ordering::Relaxed))))
}

/// Logs in.
pub async fn log_in(
    plane: &ControlPlane,
    email: &str,
    password: &str,
    from: &Origin,
) -> apportion::Result<LoggedIn> {
    plane.log_in(LogIn::new(email, SecretText::new(password), from.clone())).await
}

async fn sign_up(plane: &ControlPlane, email: String, confirmed: bool) -> Result<Member, Failed> {
    let password = || SecretText::new(PASSWORD);
    let messages = plane.sign_up(SignUp::new(email.as_str(), "A member", password())).await?;
    let Some(Message::ConfirmEmail { link_token, .. }) = messages.into_iter().next() else {
        return Err("nothing was mailed to confirm an address".into());
    };
    if confirmed {
        let user = plane.confirm_email(&Confirmation::Link(link_token), password()).await?;
        return Ok(Member { id: user.id, email });
    }
    let user = plane.repositories().users().find_by_email(&email).await?.ok_or("nobody has signed up")?;
    Ok(Member { id: user.id, email })
}

/// Does all of it at the same time, and answers in the given order.
pub async fn at_once<T, F>(all: impl Iterator<Item = F>) -> Result<Vec<T>, Failed>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failed>> + Send + 'static,
{
    let tasks: Vec<_> = all.map(tokio::spawn).collect();
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        let answer: Result<T, Failed> = task.await?;
        answers.push(answer?);
    }
    Ok(answers)
}
