//! The audit trail: what the checks before did is in it, refusals are few lines with exact counts, and the chain covers all.

use std::sync::Arc;

use super::World;
use super::accounts::at_once;
use crate::entity::{LogFilter, LogOutcome, PageRequest, REFUSAL_COUNTS, UserId};
use crate::error::Error;
use crate::identity::Caller;
use crate::plane::Profile;
use crate::store::StoreExt as _;

pub(super) async fn check_audit(world: &World) {
    refusals_of_one_user_are_one_line_with_an_exact_count(world).await;
    whoever_seals_the_trail_is_clean_and_covered_whole(world).await;
}

async fn refusals_of_one_user_are_one_line_with_an_exact_count(world: &World) {
    let mut user = world.user().await;
    user.value.activated = true;
    let user = world.cloud.repositories().users().update(user).await.unwrap().id;
    let other = world.user().await.id;
    let before = lines(world, user).await;
    let answers = at_once(|_| {
        let acting = world.cloud.acting(Caller::trusted(user));
        async move { acting.update_profile(other, Profile::new().name("Mine")).await }
    })
    .await;
    let missing = |answer: &Result<_, Error>| matches!(answer, Err(Error::NotFound { .. }));
    assert!(answers.iter().all(missing), "what one may not see is not there: {answers:?}");
    world.cloud.flush_refusals().await.unwrap();
    let (count, refusals) = lines(world, user).await;
    assert_eq!((count - before.0, refusals - before.1), (1, 16));
}

/// How many lines there are of refusals to this user, and how many refusals they stand for.
async fn lines(world: &World, user: UserId) -> (usize, i64) {
    let repositories = world.cloud.repositories();
    let (mut count, mut refusals) = (0, 0);
    let mut page = PageRequest::default();
    loop {
        let listed = repositories.logs().list(LogFilter::default(), page.clone()).await.unwrap();
        for line in &listed.entries {
            if line.outcome == LogOutcome::Refused && line.actor_id == Some(user) {
                count += 1;
                let counted = world.cloud.store().get(&REFUSAL_COUNTS, line.id).await.unwrap().value;
                refusals += counted.map_or(0, |counted| counted.int("refusals").unwrap());
            }
        }
        let Some(next) = listed.next else { return (count, refusals) };
        page.after = Some(next);
    }
}

async fn whoever_seals_the_trail_is_clean_and_covered_whole(world: &World) {
    let answers = at_once(|_| {
        let cloud = Arc::clone(&world.cloud);
        async move {
            let mut sealed = 0;
            loop {
                let some = match cloud.seal_audit(100).await {
                    // Others were faster, often enough.
                    Err(error) if error.is_retryable() => continue,
                    some => some?,
                };
                sealed += some.lines;
                if some.lag == 0 {
                    return Ok::<_, Error>(sealed);
                }
            }
        }
    })
    .await;
    let sealed: u64 = answers.into_iter().map(Result::unwrap).sum();
    let verified = world.cloud.verify_audit(None).await.unwrap();
    assert!(verified.is_clean(), "{verified:?}");
    let (mut all, mut page) = (0, PageRequest::default());
    loop {
        let logs = world.cloud.repositories().logs();
        let listed = logs.list(LogFilter::default(), page.clone()).await.unwrap();
        all += u64::try_from(listed.entries.len()).unwrap();
        page.after = listed.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!((sealed, verified.lines), (all, all), "each line is sealed, and once");
}
