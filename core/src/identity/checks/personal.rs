//! Nobody becomes somebody else, and no key makes a wider one.

use std::time::Duration;

use super::World;
use super::accounts::{FIRST, signed_up};
use super::login::source;
use crate::access::Operation;
use crate::entity::{Access, Action, EntityKind, SecretText, UserId};
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::plane::{NewApiKey, NewRole, ProviderAccount, Thing};

pub(super) async fn check_personal(world: &World) {
    who_may_change_any_user_becomes_none_of_them(world).await;
    a_key_makes_no_key_that_may_more(world).await;
    accounts_are_looked_after_on_behalf_of_who_may(world).await;
}

/// A user with a role that allows everything with any user, and with what belongs to one.
async fn support(world: &World) -> Caller {
    let user = signed_up(world).await.id;
    let role = NewRole::new(format!("support-{}", world.next()));
    let role = world.cloud.create_role(role).await.unwrap().id;
    let kinds = [
        EntityKind::User,
        EntityKind::Verification,
        EntityKind::Connection,
        EntityKind::ApiKey,
        EntityKind::Session,
        EntityKind::SshKey,
    ];
    for kind in kinds {
        for action in [Action::Create, Action::Read, Action::Update, Action::Delete, Action::Operate] {
            world.cloud.allow(role, action, kind, Access::Any).await.unwrap();
        }
    }
    world.cloud.give_role(user, role).await.unwrap();
    Caller::trusted(user)
}

fn is_denied<T: std::fmt::Debug>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::Denied { .. }))
}

async fn who_may_change_any_user_becomes_none_of_them(world: &World) {
    let acting = world.cloud.acting(support(world).await);
    let victim = signed_up(world).await.id;
    world.cloud.promote(victim).await.unwrap();
    for operation in Operation::ALL.iter().filter(|operation| operation.is_personal()) {
        assert!(!acting.may(*operation, Thing::Account(victim)).await.unwrap(), "{operation}");
        let own = acting.caller().user().unwrap();
        assert!(acting.may(*operation, Thing::Account(own)).await.unwrap(), "{operation}");
    }
    let account = ProviderAccount::new("github", format!("mine-{}", world.next()));
    assert!(is_denied(&acting.link(victim, account).await));
    assert!(is_denied(&acting.create_api_key(victim, NewApiKey::new("mine", ["*:*"])).await));
    let made = world.cloud.create_api_key(victim, NewApiKey::new("theirs", ["*:*"])).await.unwrap();
    assert!(is_denied(&acting.rotate_api_key(victim, made.key.id, Duration::ZERO).await));
    assert!(is_denied(&acting.request_email_change(victim, "mine@example.org").await));
    assert!(is_denied(&acting.begin_totp(victim).await));
    assert!(is_denied(&acting.remove_password(victim).await));
    let (old, new) = (SecretText::new(FIRST), SecretText::new("another correct horse"));
    assert!(is_denied(&acting.change_password(victim, old, new).await));
    // What lets nobody be the user is looked after.
    acting.revoke_api_key(victim, made.key.id).await.unwrap();
    assert_eq!(acting.list_api_keys(victim).await.unwrap(), []);
    world.cloud.demote(victim).await.unwrap();
}

async fn by_key(world: &World, user: UserId, scopes: &[&str]) -> Caller {
    let made = world.cloud.create_api_key(user, NewApiKey::new("ci", scopes.iter().copied())).await.unwrap();
    world.cloud.check_api_key(&made.secret, source()).await.unwrap()
}

async fn a_key_makes_no_key_that_may_more(world: &World) {
    let user = signed_up(world).await.id;
    let node = world.node(user).await;
    let wide = world.cloud.create_api_key(user, NewApiKey::new("wide", ["*:*"])).await.unwrap().key.id;
    let narrow = world.cloud.acting(by_key(world, user, &["*:api_key", "read:instance"]).await);
    for scopes in [["*:*"], ["create:instance"], ["read:*"]] {
        assert!(is_denied(&narrow.create_api_key(user, NewApiKey::new("more", scopes)).await), "{scopes:?}");
    }
    assert!(is_denied(&narrow.create_api_key(user, NewApiKey::agent("agent", node)).await));
    assert!(is_denied(&narrow.rotate_api_key(user, wide, Duration::ZERO).await));
    let less = narrow.create_api_key(user, NewApiKey::new("less", ["read:instance"])).await.unwrap();
    narrow.rotate_api_key(user, less.key.id, Duration::ZERO).await.unwrap();
    let bad = narrow.create_api_key(user, NewApiKey::new("bad", ["read"])).await;
    assert!(matches!(bad, Err(Error::Invalid { .. })));
    let all = world.cloud.acting(by_key(world, user, &["*:*"]).await);
    all.create_api_key(user, NewApiKey::agent("agent", node)).await.unwrap();
    all.rotate_api_key(user, wide, Duration::ZERO).await.unwrap();
}

async fn accounts_are_looked_after_on_behalf_of_who_may(world: &World) {
    let acting = world.cloud.acting(support(world).await);
    let user = signed_up(world).await;
    assert_eq!(acting.user(user.id).await.unwrap().email, user.email);
    acting.deactivate(user.id).await.unwrap();
    let theirs = world.cloud.acting(Caller::trusted(user.id));
    assert!(theirs.user(user.id).await.is_err(), "who is suspended sees nothing");
    acting.activate(user.id).await.unwrap();
    assert_eq!(theirs.quota(user.id).await.unwrap().instances, 0);
    assert!(matches!(theirs.user(acting.caller().user().unwrap()).await, Err(Error::NotFound { .. })));
    acting.promote(user.id).await.unwrap();
    acting.demote(user.id).await.unwrap();
    assert!(matches!(acting.delete_user(user.id).await, Ok(())));
    assert!(matches!(acting.user(user.id).await, Err(Error::NotFound { .. })));
    // A user who deletes themselves is gone as well.
    let own = signed_up(world).await.id;
    world.cloud.acting(Caller::trusted(own)).delete_user(own).await.unwrap();
    assert_eq!(world.cloud.repositories().users().get(own).await.unwrap(), None);
}
