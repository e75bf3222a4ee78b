//! The repositories as an application uses them: over the reference store, and as mocks.
#![cfg(all(feature = "conformance", feature = "mock"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use apportion::Error;
use apportion::entity::{
    DisplayName, Email, Entry, Limits, MockUserRepository, Repositories, TABLES, User, UserId,
    UserRepository, checks,
};
use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::Store;
use apportion::store::memory::MemoryStore;
use apportion::time::{Clock, ManualClock, Timestamp};

/// 2026-06-01, noon.
const NOON: Timestamp = Timestamp::from_micros(1_780_315_200_000_000);

fn memory() -> (Arc<dyn Store>, Arc<dyn IdSource>) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOON));
    let store = MemoryStore::new(TABLES, Arc::clone(&clock)).unwrap();
    (Arc::new(store), Arc::new(TimeOrderedIds::seeded(clock, 7)))
}

#[tokio::test]
async fn the_repositories_keep_their_word_on_the_reference_store() {
    let (store, ids) = memory();
    checks::check_repositories(Arc::clone(&store), Arc::clone(&ids)).await;
    // What they left there does not disturb them.
    checks::check_repositories(store, ids).await;
}

/// Something of an application that takes any repository of users.
async fn greeting(users: &dyn UserRepository, id: UserId) -> Result<String, Error> {
    Ok(format!("hello {}", users.require(id).await?.name))
}

#[tokio::test]
async fn an_application_runs_on_a_mock_as_on_a_store() {
    let (store, ids) = memory();
    let email = Email::new("ada@example.org").unwrap();
    let user = User::new(ids.next_id().into(), email, DisplayName::new("Ada").unwrap(), NOON);

    let mut mock = MockUserRepository::new();
    let known = user.clone();
    mock.expect_require().times(2).returning(move |id| {
        if id == known.id { Ok(Entry::new(known.clone(), 1)) } else { Err(Error::not_found("user", id)) }
    });
    let repositories = Repositories::new(store, Arc::clone(&ids));
    repositories.users().create(user.clone(), Limits::default()).await.unwrap();

    let stranger = ids.next_id().into();
    for users in [&mock as &dyn UserRepository, repositories.users()] {
        assert_eq!(greeting(users, user.id).await.unwrap(), "hello Ada");
        assert_eq!(greeting(users, stranger).await.unwrap_err().to_string(), "there is no such user");
    }
}
