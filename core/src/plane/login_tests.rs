//! What other operations do with logins, and what needs a policy of its own.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{ControlPlane, LogIn, NewUser, Options};
use crate::entity::{
    Entity as _, Entry, LOGIN_RETRIES, LOGIN_THROTTLES, LogFilter, PASSWORDS, PageRequest, Password,
    SESSIONS, SecretText, SessionState, TABLES, USER_ACCESS, User,
};
use crate::error::Error;
use crate::id::TimeOrderedIds;
use crate::identity::{Caller, IdentityOptions, Origin, PasswordPolicy, SessionPolicy};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Change, Cursor, Receipt, StoreError, StoreExt as _, Write, store_over};
use crate::time::{ManualClock, Timestamp};

/// A store in which something else happens just before a commit.
#[derive(Debug)]
struct Meddled {
    store: MemoryStore,
    before: Mutex<Option<Batch>>,
    commits: AtomicUsize,
}

store_over!(Meddled.store {
    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        let first = self.before.lock().unwrap().take();
        if let Some(first) = first {
            self.store.commit(first).await.unwrap();
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.store.commit_many(batches).await
    }
});

struct World {
    cloud: ControlPlane,
    store: Arc<Meddled>,
    clock: Arc<ManualClock>,
    user: Entry<User>,
}

fn from(last: u8) -> Origin {
    Origin::ip(Ipv4Addr::new(192, 0, 2, last).into())
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(Meddled {
            store: MemoryStore::new(TABLES, clock.clone()).unwrap(),
            before: Mutex::default(),
            commits: AtomicUsize::new(0),
        });
        let identity = IdentityOptions::default()
            .passwords(PasswordPolicy::default().cost(64, 1, 1))
            .sessions(SessionPolicy::default().max_per_user(3));
        let ids = Arc::new(TimeOrderedIds::new(clock.clone()));
        let mut cloud = ControlPlane::with(store.clone(), Options::default().identity(identity).ids(ids));
        cloud.caller = Arc::new(Caller::system().from(from(7)));
        let mut user = cloud.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap();
        user.value.activated = true;
        let user = cloud.repositories().users().update(user).await.unwrap();
        let hash = cloud.identity.hashing.hash(SecretText::new("correct horse")).await.unwrap();
        let row = Password { user_id: user.id, hash, updated_at: user.created_at };
        cloud.store.commit(cloud.batch("test").with(Write::Insert(row.to_row()))).await.unwrap();
        Self { cloud, store, clock, user }
    }

    async fn log_in(&self, password: &str, from: Origin) -> crate::Result<super::LoggedIn> {
        self.cloud.log_in(LogIn::new("ada@example.org", SecretText::new(password), from)).await
    }

    /// Lets this happen just before the next commit.
    fn before_the_next_commit(&self, writes: Vec<Write>) {
        let mut batch = self.cloud.batch("test");
        batch.writes = writes;
        *self.store.before.lock().unwrap() = Some(batch);
    }

    async fn suspend(&self) -> Write {
        let access = self.store.get(&USER_ACCESS, self.user.id).await.unwrap().value.unwrap();
        Write::update(&USER_ACCESS, self.user.id, access.revision(), vec![("state", "suspended".into())])
    }

    async fn retries(&self) -> i64 {
        let row = self.store.get(&LOGIN_RETRIES, self.user.id).await.unwrap().value.unwrap();
        row.int("retry_count").unwrap()
    }

    async fn commit(&self, writes: Vec<Write>) {
        let mut batch = self.cloud.batch("test");
        batch.writes = writes;
        self.cloud.store.commit(batch).await.unwrap();
    }
}

#[tokio::test]
async fn a_user_who_proves_who_they_are_in_another_way_is_not_slowed_down_by_outsiders() {
    let world = World::new().await;
    for last in 100..220 {
        world.log_in("wrong horse", from(last)).await.unwrap_err();
    }
    let refused = world.log_in("correct horse", from(7)).await.unwrap_err();
    assert!(matches!(refused, Error::TooSoon { .. }), "{refused:?}");
    // The caller is at 192.0.2.7, and has just given a mailed code.
    world.cloud.ensure_source(world.user.id, &from(7).source()).await.unwrap();
    let now = world.cloud.store.read(Vec::new()).await.unwrap().now;
    world.commit(world.cloud.source_known(world.user.id, now)).await;
    world.log_in("correct horse", from(7)).await.unwrap();
}

#[tokio::test]
async fn a_second_factor_finds_the_login_that_awaits_it_and_makes_the_source_known() {
    let world = World::new().await;
    let (cloud, user) = (&world.cloud, world.user.id);
    world.log_in("wrong horse", from(9)).await.unwrap_err();
    let now = cloud.store.read(Vec::new()).await.unwrap().now;
    let waiting = cloud.new_session_from(&from(9), user, SessionState::AwaitingSecondFactor, None, now);
    world.commit(waiting.writes).await;
    let live = cloud.awaiting(&waiting.token).await.unwrap();
    assert_eq!((live.session.id, live.row.revision()), (waiting.session.id, 1));

    let full = cloud.new_session_from(&Origin::unknown(), user, SessionState::Full, Some(live.now), live.now);
    let mut writes = vec![Write::guard(&USER_ACCESS, user, live.access.revision())];
    writes.extend(live.end());
    writes.extend(full.writes);
    let source = live.session.ip.map_or_else(Origin::unknown, Origin::ip).source();
    writes.extend(cloud.login_succeeded(user, &source, live.now));
    world.commit(writes).await;
    assert!(matches!(cloud.awaiting(&waiting.token).await, Err(Error::Unauthenticated)));
    assert!(matches!(cloud.awaiting(&full.token).await, Err(Error::Unauthenticated)), "it awaits nothing");
    let caller = cloud.check_session(&full.token, from(9)).await.unwrap();
    assert_eq!(caller.session(), Some(full.session.id));
    let rows = cloud.login_rows(Some(&world.user.email), &source).await.unwrap();
    assert!(rows.is_known(&cloud.identity.logins));
}

#[tokio::test]
async fn a_login_too_many_ends_the_oldest_session() {
    let world = World::new().await;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(world.log_in("correct horse", from(1)).await.unwrap().token);
        world.clock.advance(Duration::from_secs(1));
    }
    let mut good = Vec::new();
    for token in &tokens {
        good.push(world.cloud.check_session(token, from(1)).await.is_ok());
    }
    assert_eq!(good, [false, false, true, true, true]);
}

#[tokio::test]
async fn a_login_leaves_a_line_from_where_it_came_and_no_secret_anywhere() {
    let world = World::new().await;
    let login = world.log_in("correct horse", from(3).host("gateway").agent("browser")).await.unwrap();
    let logs =
        world.cloud.repositories().logs().list(LogFilter::default(), PageRequest::default()).await.unwrap();
    let line = logs.entries.iter().find(|line| line.title == "user.log_in").unwrap();
    assert_eq!(
        (line.ip, line.actor_id, line.host.as_deref()),
        (from(3).ip, Some(world.user.id), Some("gateway"))
    );
    let feed = world.cloud.store.changes(Cursor::START, 100).await.unwrap();
    let row = world.cloud.store.get(&SESSIONS, login.session.id).await.unwrap().value.unwrap();
    let hash = world.cloud.store.get(&PASSWORDS, world.user.id).await.unwrap().value.unwrap();
    let shown = format!(
        "{feed:?} {login:?} {logs:?} {:?}",
        LogIn::new("a", SecretText::new("correct horse"), from(3))
    );
    for secret in
        [login.token.expose(), row.text("token_hash").unwrap(), hash.text("hash").unwrap(), "correct horse"]
    {
        assert!(!shown.contains(secret), "a secret is shown");
    }
    let json = serde_json::to_string(&login.session).unwrap();
    assert!(!json.contains(row.text("token_hash").unwrap()));
}

#[tokio::test]
async fn a_login_that_was_decided_before_its_user_was_suspended_is_decided_again() {
    let world = World::new().await;
    world.log_in("correct horse", from(1)).await.unwrap();
    world.before_the_next_commit(vec![world.suspend().await]);
    let refused = world.log_in("correct horse", from(1)).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    assert_eq!(world.cloud.list_sessions(world.user.id).await.unwrap().len(), 1, "the one from before");
}

#[tokio::test]
async fn a_rotation_that_was_decided_before_its_user_was_suspended_is_decided_again() {
    let world = World::new().await;
    let login = world.log_in("correct horse", from(1)).await.unwrap();
    world.before_the_next_commit(vec![world.suspend().await]);
    let refused = world.cloud.rotate_session(&login.token).await;
    assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
}

#[tokio::test]
async fn of_two_guesses_after_one_wait_the_later_one_is_not_looked_at() {
    let world = World::new().await;
    for _ in 0..5 {
        world.log_in("wrong horse", from(1)).await.unwrap_err();
    }
    for password in ["wrong horse", "correct horse"] {
        world.clock.advance(Duration::from_mins(1));
        let set = vec![("failures", Change::Add(1))];
        let key = (world.user.id, from(1).source());
        world.before_the_next_commit(vec![Write::patch(&LOGIN_THROTTLES, key, Vec::new(), set)]);
        let refused = world.log_in(password, from(1)).await;
        assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
        assert_eq!(world.retries().await, 5);
    }
}

#[tokio::test]
async fn a_check_writes_nothing_until_a_use_is_recorded() {
    let world = World::new().await;
    let login = world.log_in("correct horse", from(1)).await.unwrap();
    let before = world.store.commits.load(Ordering::Relaxed);
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(5));
        world.cloud.check_session(&login.token, from(1)).await.unwrap();
    }
    assert_eq!(world.store.commits.load(Ordering::Relaxed), before);
    world.clock.advance(Duration::from_secs(10));
    world.cloud.check_session(&login.token, from(1)).await.unwrap();
    assert_eq!(world.store.commits.load(Ordering::Relaxed), before + 1);
}

#[tokio::test]
async fn every_attempt_that_is_refused_for_what_it_gave_costs_one_commit() {
    let world = World::new().await;
    // The rows of the source are there after the first one.
    world.log_in("wrong horse", from(1)).await.unwrap_err();
    for (email, password) in
        [("ada@example.org", "wrong horse"), ("nobody@example.org", "wrong horse"), ("", "correct horse")]
    {
        let before = world.store.commits.load(Ordering::Relaxed);
        let login = LogIn::new(email, SecretText::new(password), from(1));
        assert!(matches!(world.cloud.log_in(login).await, Err(Error::Unauthenticated)));
        assert_eq!(world.store.commits.load(Ordering::Relaxed), before + 1, "{email}");
    }
}

#[tokio::test]
async fn a_login_and_the_ending_of_all_sessions_are_never_unaware_of_one_another() {
    let world = World::new().await;
    let epoch =
        async || world.store.get(&USER_ACCESS, world.user.id).await.unwrap().value.unwrap().revision();
    let before = epoch().await;
    world.log_in("correct horse", from(1)).await.unwrap();
    assert_eq!(
        epoch().await,
        before + 1,
        "who looked for sessions before this one was there is decided again"
    );
    world.cloud.end_all_sessions(world.user.id).await.unwrap();
    assert_eq!(epoch().await, before + 2);
}
