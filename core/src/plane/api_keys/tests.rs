use std::sync::Arc;

use super::*;
use crate::entity::{LOGS, SESSIONS, TABLES, USERS};
use crate::identity::{ApiKeyPolicy, IdentityOptions, Origin, SeededEntropy, Via};
use crate::plane::{NewNode, NewUser, Options};
use crate::store::memory::MemoryStore;
use crate::store::{Cursor, Store as _};
use crate::time::ManualClock;

struct World {
    plane: ControlPlane,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    user: UserId,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let store = Arc::new(MemoryStore::new(TABLES, clock.clone()).unwrap());
        let identity = IdentityOptions::default()
            .entropy(Arc::new(SeededEntropy::new(1)))
            .api_keys(ApiKeyPolicy::default().per_user(3));
        let plane = ControlPlane::with(store.clone(), Options::default().identity(identity));
        let user = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap().id;
        let world = Self { plane, store, clock, user };
        world.activate(user).await;
        world
    }

    async fn activate(&self, user: UserId) {
        let row = self.store.get(&USERS, user).await.unwrap().value.unwrap();
        if !row.bool("activated").unwrap() {
            let write = Write::update(&USERS, user, row.revision(), vec![("activated", true.into())]);
            self.store.commit(Batch::new(self.plane.ids.next_id(), "activate").with(write)).await.unwrap();
        }
    }

    async fn suspend(&self) {
        let access = self.plane.repositories.user_access().require(self.user).await.unwrap();
        let value = UserAccess { user_id: self.user, state: AccessState::Suspended };
        self.plane.repositories.user_access().update(Entry::new(value, access.revision)).await.unwrap();
    }

    async fn key(&self) -> MadeApiKey {
        self.plane.create_api_key(self.user, NewApiKey::new("ci", ["read:instance"])).await.unwrap()
    }

    async fn is_let_in(&self, key: &SecretText) -> bool {
        match self.plane.check_api_key(key, Origin::unknown()).await {
            Ok(_) => true,
            Err(Error::Unauthenticated) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_key_lets_its_user_in_within_its_scopes() {
    let world = World::new().await;
    let request = NewApiKey::new("ci", ["read:instance", "operate:*", "read:instance"]);
    let made = world.plane.create_api_key(world.user, request).await.unwrap();
    let caller = world.plane.check_api_key(&made.secret, Origin::unknown()).await.unwrap();
    let scopes = vec!["read:instance".to_owned(), "operate:*".to_owned()];
    assert_eq!(*caller.via(), Via::ApiKey { user: world.user, key: made.key.id, scopes });
    assert_eq!(made.key.hint, made.secret.expose()[..8]);
}

#[tokio::test]
async fn a_key_that_is_none_asks_the_store_for_nothing() {
    let world = World::new().await;
    let made = world.key().await;
    world.store.close().await.unwrap();
    let typo = SecretText::new(made.secret.expose().replace(&made.secret.expose()[10..12], "!!"));
    assert!(!world.is_let_in(&typo).await, "a closed store would have been another error");
    assert!(world.plane.check_api_key(&made.secret, Origin::unknown()).await.unwrap_err().code() == "closed");
}

#[tokio::test]
async fn what_has_ended_lets_nobody_in() {
    let world = World::new().await;
    let at = world.store.read(Vec::new()).await.unwrap().now.plus(Duration::from_secs(10));
    let request = NewApiKey::new("ci", ["*:*"]).expires_at(at);
    let made = world.plane.create_api_key(world.user, request).await.unwrap();
    world.clock.set(at.minus(Duration::from_micros(1)));
    assert!(world.is_let_in(&made.secret).await);
    world.clock.set(at);
    assert!(!world.is_let_in(&made.secret).await);
    assert_eq!(world.plane.purge_api_keys(10).await.unwrap(), 1);
    assert_eq!(world.plane.purge_api_keys(10).await.unwrap(), 0);
    assert_eq!(world.plane.list_api_keys(world.user).await.unwrap(), []);
    let past = NewApiKey::new("ci", ["*:*"]).expires_at(at);
    let refused = world.plane.create_api_key(world.user, past).await.unwrap_err();
    assert_eq!(refused.to_string(), "expires_at is invalid: it has to be in the future");
}

#[tokio::test]
async fn a_user_who_may_not_act_is_not_let_in_and_makes_no_key() {
    let world = World::new().await;
    let made = world.key().await;
    world.suspend().await;
    assert!(!world.is_let_in(&made.secret).await);
    let refused = world.plane.create_api_key(world.user, NewApiKey::new("x", ["*:*"])).await;
    assert!(matches!(refused, Err(Error::Denied { .. })));
    world.plane.revoke_api_key(world.user, made.key.id).await.unwrap();

    let other = world.plane.create_user(NewUser::new("bob@example.org", "Bob")).await.unwrap().id;
    let made = world.plane.create_api_key(other, NewApiKey::new("x", ["*:*"])).await.unwrap();
    assert!(!world.is_let_in(&made.secret).await, "the address is not confirmed");
    world.activate(other).await;
    assert!(world.is_let_in(&made.secret).await);
}

#[tokio::test]
async fn a_replaced_key_goes_on_for_the_overlap_and_no_longer_than_it_would_have() {
    let world = World::new().await;
    let start = world.store.read(Vec::new()).await.unwrap().now;
    let request = NewApiKey::new("ci", ["read:log"]).expires_at(start.plus(Duration::from_mins(10)));
    let old = world.plane.create_api_key(world.user, request).await.unwrap();
    world.clock.advance(Duration::from_mins(1));
    let rotate = world.plane.rotate_api_key(world.user, old.key.id, Duration::from_mins(2)).await.unwrap();
    assert_eq!(rotate.key.replaces_id, Some(old.key.id));
    assert_eq!(rotate.key.expires_at, Some(start.plus(Duration::from_mins(11))));
    assert_eq!((&rotate.key.name, &rotate.key.scopes), (&old.key.name, &old.key.scopes));
    assert!(world.is_let_in(&old.secret).await && world.is_let_in(&rotate.secret).await);
    let again = world.plane.rotate_api_key(world.user, old.key.id, Duration::ZERO).await.unwrap_err();
    assert!(matches!(again, Error::WrongState { state: "replaced", .. }));
    world.clock.advance(Duration::from_mins(2));
    assert!(!world.is_let_in(&old.secret).await && world.is_let_in(&rotate.secret).await);
    let third = world.plane.rotate_api_key(world.user, rotate.key.id, Duration::from_hours(9)).await.unwrap();
    let keys = world.plane.list_api_keys(world.user).await.unwrap();
    let second = keys.iter().find(|key| key.key.id == rotate.key.id).unwrap();
    assert_eq!(second.key.expires_at, rotate.key.expires_at, "no overlap makes a key live longer");
    assert!(world.is_let_in(&third.secret).await);
}

#[tokio::test]
async fn a_revoked_key_lets_nobody_in_and_a_foreign_one_is_not_there() {
    let world = World::new().await;
    let made = world.key().await;
    let other = world.plane.create_user(NewUser::new("bob@example.org", "Bob")).await.unwrap().id;
    let id = made.key.id;
    assert!(matches!(world.plane.revoke_api_key(other, id).await, Err(Error::NotFound { .. })));
    let foreign = world.plane.rotate_api_key(other, id, Duration::ZERO).await;
    assert!(matches!(foreign, Err(Error::NotFound { .. })));
    world.plane.revoke_api_key(world.user, id).await.unwrap();
    assert!(!world.is_let_in(&made.secret).await);
    assert!(matches!(world.plane.revoke_api_key(world.user, id).await, Err(Error::NotFound { .. })));
    let lines = world.store.scan_all(Scan::of(&LOGS)).await.unwrap();
    let titles: Vec<_> = lines.iter().map(|line| line.text("title").unwrap().to_owned()).collect();
    for title in ["api_key.create", "api_key.revoke", "api_key.check"] {
        assert_eq!(titles.iter().filter(|found| *found == title).count(), 1, "{title} in {titles:?}");
    }
}

#[tokio::test]
async fn an_agent_has_a_key_for_a_node_of_its_owner_alone() {
    let world = World::new().await;
    let node = world.plane.register_node(NewNode::new(world.user, "a")).await.unwrap().id;
    let made = world.plane.create_api_key(world.user, NewApiKey::agent("agent", node)).await.unwrap();
    assert!(made.secret.expose().starts_with("apn_"));
    let caller = world.plane.check_api_key(&made.secret, Origin::unknown()).await.unwrap();
    assert_eq!(*caller.via(), Via::NodeAgent { owner: world.user, key: made.key.id, node });
    let other = world.plane.create_user(NewUser::new("bob@example.org", "Bob")).await.unwrap().id;
    let foreign = world.plane.create_api_key(other, NewApiKey::agent("agent", node)).await;
    assert!(matches!(foreign, Err(Error::NotFound { kind: "compute_node", .. })));
    let mut scoped = NewApiKey::agent("agent", node);
    scoped.scopes.push("*:*".into());
    assert!(matches!(world.plane.create_api_key(world.user, scoped).await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn a_wrong_scope_is_named_by_its_place() {
    let world = World::new().await;
    let request = NewApiKey::new("ci", ["read:instance", "*:*", "read:everything"]);
    let Err(Error::Invalid { field, .. }) = world.plane.create_api_key(world.user, request).await else {
        panic!("it was made");
    };
    assert_eq!(field, "scopes[2]");
    for scopes in [vec![], vec!["*:*"; 65]] {
        let refused = world.plane.create_api_key(world.user, NewApiKey::new("ci", scopes)).await;
        assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == "scopes"));
    }
}

#[tokio::test]
async fn no_user_has_more_keys_than_the_policy_says() {
    let world = World::new().await;
    for _ in 0..3 {
        world.key().await;
    }
    let refused = world.plane.create_api_key(world.user, NewApiKey::new("x", ["*:*"])).await.unwrap_err();
    assert_eq!(refused.to_string(), "the api_keys is 3: 3 used, 1 more asked, 1 too many");
    let keys = world.plane.list_api_keys(world.user).await.unwrap();
    world.plane.revoke_api_key(world.user, keys[0].key.id).await.unwrap();
    world.key().await;
}

#[tokio::test]
async fn the_last_use_is_noted_once_a_minute() {
    let world = World::new().await;
    let made = world.key().await;
    let used = async || world.plane.list_api_keys(world.user).await.unwrap()[0].last_used_at;
    let version =
        async || world.store.get(&API_KEY_USES, made.key.id).await.unwrap().value.unwrap().version();
    assert_eq!(used().await, None);
    assert!(world.is_let_in(&made.secret).await);
    let first = used().await.unwrap();
    world.clock.advance(Duration::from_secs(59));
    for _ in 0..10 {
        assert!(world.is_let_in(&made.secret).await);
    }
    assert_eq!((used().await, version().await), (Some(first), 2));
    world.clock.advance(Duration::from_secs(1));
    assert!(world.is_let_in(&made.secret).await);
    assert_eq!((used().await, version().await), (Some(first.plus(Duration::from_mins(1))), 3));
}

#[tokio::test]
async fn the_key_itself_is_nowhere_but_in_the_answer() {
    let world = World::new().await;
    let made = world.key().await;
    let secret = made.secret.expose();
    let hash = sha256_hex(secret.as_bytes());
    world.is_let_in(&made.secret).await;
    let mut told = format!("{made:?}{:?}", world.plane.list_api_keys(world.user).await.unwrap());
    let shown = format!("{:?}", world.store.changes(Cursor::START, 100).await.unwrap());
    told.push_str(&shown);
    for table in [&API_KEYS, &LOGS, &SESSIONS] {
        let shown = format!("{:?}", world.store.scan_all(Scan::of(table)).await.unwrap());
        told.push_str(&shown);
    }
    told += &serde_json::to_string(&made.key.value).unwrap();
    assert!(!told.contains(&secret[8..]) && !told.contains(&hash), "{told}");
}
