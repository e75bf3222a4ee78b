//! SSH keys and API keys: what many who ask at once get.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::accounts::at_once;
use super::login::source;
use crate::entity::{AccessState, PageRequest, SecretText, SshKeyFilter, UserId};
use crate::error::Error;
use crate::identity::Via;
use crate::plane::NewApiKey;

pub(super) async fn check_keys(world: &World) {
    an_ssh_key_is_a_users_once_and_that_of_two_users_if_both_have_it(world).await;
    however_many_are_added_at_once_the_limit_of_ssh_keys_is_exact(world).await;
    a_revoked_key_is_worth_nothing_whoever_replaces_it_at_that_moment(world).await;
    a_key_is_replaced_once_however_many_replace_it(world).await;
    a_suspended_user_has_no_key_that_works(world).await;
}

/// A line as `ssh-keygen` writes it, with a key of that number. Nobody has what it is for.
fn line(number: u64) -> String {
    let mut bytes = Vec::from(*b"\0\0\0\x0bssh-ed25519\0\0\0\x20");
    bytes.extend([7; 24]);
    bytes.extend(number.to_be_bytes());
    format!("ssh-ed25519 {} somebody@laptop", data_encoding::BASE64.encode(&bytes))
}

async fn an_ssh_key_is_a_users_once_and_that_of_two_users_if_both_have_it(world: &World) {
    let (ada, eve) = (world.user().await.id, world.user().await.id);
    let text = line(world.next());
    for user in [ada, eve] {
        let answers = at_once(|caller| {
            let (cloud, text) = (Arc::clone(&world.cloud), text.clone());
            async move { cloud.add_ssh_key(user, format!("laptop {caller}"), &text).await }
        })
        .await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let twice = |error: &Error| matches!(error, Error::AlreadyExists { kind: "ssh_key", .. });
        assert!(answers.iter().all(|answer| answer.as_ref().err().is_none_or(twice)), "{answers:?}");
    }
    let key = world.cloud.list_ssh_keys(ada).await.unwrap().remove(0);
    assert_eq!(format!("{} somebody@laptop", key.key), text);
    assert!(matches!(world.cloud.delete_ssh_key(eve, key.id).await, Err(Error::NotFound { .. })));
    let named = world.cloud.rename_ssh_key(ada, key.id, "desktop").await.unwrap();
    assert_eq!((named.name.as_str(), &named.key), ("desktop", &key.key));
    world.cloud.delete_ssh_key(ada, key.id).await.unwrap();
    assert!(matches!(world.cloud.delete_ssh_key(ada, key.id).await, Err(Error::NotFound { .. })));
    assert_eq!(world.cloud.list_ssh_keys(eve).await.unwrap().len(), 1);
    let bad = world.cloud.add_ssh_key(ada, "laptop", "command=\"sh\" ssh-ed25519 AAAA").await;
    assert!(matches!(bad, Err(Error::Invalid { .. })));
}

async fn ssh_keys(world: &World, user: UserId) -> usize {
    let filter = SshKeyFilter { user_id: Some(user) };
    world.cloud.repositories().ssh_keys().list(filter, PageRequest::default()).await.unwrap().entries.len()
}

async fn however_many_are_added_at_once_the_limit_of_ssh_keys_is_exact(world: &World) {
    let user = world.user().await.id;
    for _ in 0..45 {
        world.cloud.add_ssh_key(user, "one", &line(world.next())).await.unwrap();
    }
    let answers = at_once(|_| {
        let (cloud, text) = (Arc::clone(&world.cloud), line(world.next()));
        async move { cloud.add_ssh_key(user, "another", &text).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 5);
    let full =
        |error: &Error| matches!(error, Error::QuotaExceeded { limit_name: "ssh_keys", limit: 50, .. });
    assert!(answers.iter().all(|answer| answer.as_ref().err().is_none_or(full)), "{answers:?}");
    assert_eq!(ssh_keys(world, user).await, 50);
}

async fn is_let_in(world: &World, key: &SecretText) -> bool {
    match world.cloud.check_api_key(key, source()).await {
        Ok(caller) => matches!(caller.via(), Via::ApiKey { .. }),
        Err(Error::Unauthenticated) => false,
        Err(other) => panic!("{other:?}"),
    }
}

/// A user who may act.
async fn active(world: &World) -> UserId {
    let mut user = world.user().await;
    user.value.activated = true;
    world.cloud.repositories().users().update(user).await.unwrap().id
}

async fn a_revoked_key_is_worth_nothing_whoever_replaces_it_at_that_moment(world: &World) {
    let user = active(world).await;
    for _ in 0..20 {
        let made = world.cloud.create_api_key(user, NewApiKey::new("ci", ["read:*"])).await.unwrap();
        let (one, two, id) = (Arc::clone(&world.cloud), Arc::clone(&world.cloud), made.key.id);
        let revoked = tokio::spawn(async move { one.revoke_api_key(user, id).await });
        let replaced =
            tokio::spawn(async move { two.rotate_api_key(user, id, Duration::from_hours(1)).await });
        let (revoked, replaced) = (revoked.await.unwrap(), replaced.await.unwrap());
        revoked.unwrap();
        assert!(!is_let_in(world, &made.secret).await);
        if let Ok(new) = replaced {
            assert!(is_let_in(world, &new.secret).await);
            world.cloud.revoke_api_key(user, new.key.id).await.unwrap();
            assert!(!is_let_in(world, &new.secret).await);
        }
    }
    assert_eq!(world.cloud.list_api_keys(user).await.unwrap(), []);
}

async fn a_key_is_replaced_once_however_many_replace_it(world: &World) {
    let user = active(world).await;
    let made = world.cloud.create_api_key(user, NewApiKey::new("ci", ["read:*"])).await.unwrap();
    let answers = at_once(|_| {
        let (cloud, id) = (Arc::clone(&world.cloud), made.key.id);
        async move { cloud.rotate_api_key(user, id, Duration::from_mins(5)).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(is_let_in(world, &made.secret).await);
    world.clock.advance(Duration::from_secs(301));
    assert!(!is_let_in(world, &made.secret).await);
    let new = answers.into_iter().find_map(Result::ok).unwrap();
    assert!(is_let_in(world, &new.secret).await);
}

async fn a_suspended_user_has_no_key_that_works(world: &World) {
    let user = active(world).await;
    let made = world.cloud.create_api_key(user, NewApiKey::new("ci", ["*:*"])).await.unwrap();
    assert!(is_let_in(world, &made.secret).await);
    world.cloud.deactivate(user).await.unwrap();
    assert_eq!(
        world.cloud.repositories().user_access().require(user).await.unwrap().state,
        AccessState::Suspended
    );
    assert!(!is_let_in(world, &made.secret).await);
    let another = world.cloud.create_api_key(user, NewApiKey::new("ci", ["*:*"])).await;
    assert!(matches!(another, Err(Error::Denied { .. })));
    world.cloud.activate(user).await.unwrap();
}
