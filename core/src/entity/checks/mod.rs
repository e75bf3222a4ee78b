//! What every repository does on every store, as checks that run on any of them.
//!
//! The rules are core's, so a store that passes [`mod@crate::conformance`] passes these; they show it from the side of
//! an application, for every entity with every field.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a check fails by panicking")]

mod changes;
mod creation;
mod filters;
mod identity;
mod lists;
mod users;

use std::fmt::Debug;
use std::sync::Arc;

use super::samples::{Samples, each_sample};
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::IdSource;
use crate::store::{Batch, Key, Store, StoreExt, Write};

/// Checks every repository on a store that was opened with [`TABLES`](super::TABLES). The store need not be empty,
/// and keeps what the checks wrote.
///
/// # Panics
/// Where something is not as the repositories' documentation says.
pub async fn check_repositories(store: Arc<dyn Store>, ids: Arc<dyn IdSource>) {
    let world = World { repositories: Repositories::new(store, ids) };
    creation::every_field_and_every_null_is_kept(&world).await;
    Box::pin(creation::a_create_is_repeatable_and_never_overwrites(&world)).await;
    creation::a_child_needs_its_parent(&world).await;
    creation::what_is_too_long_or_malformed_is_invalid(&world).await;
    Box::pin(changes::an_update_changes_what_it_may(&world)).await;
    changes::a_narrow_update_changes_nothing_else(&world).await;
    changes::a_stale_revision_is_a_conflict(&world).await;
    changes::a_stale_revision_deletes_nothing(&world).await;
    changes::what_is_still_used_is_not_deleted(&world).await;
    Box::pin(changes::a_key_of_a_node_is_taken_once(&world)).await;
    changes::ports_of_instances_are_not_given_back_by_hand(&world).await;
    users::a_user_comes_and_goes_with_its_companions(&world).await;
    users::an_address_belongs_to_one_user(&world).await;
    users::limits_are_set_without_touching_use(&world).await;
    users::what_is_held_is_neither_negative_nor_above_its_limit(&world).await;
    users::a_change_says_who_made_it(&world).await;
    lists::pages_join_in_the_order_of_ids(&world).await;
    lists::the_log_is_read_newest_first(&world).await;
    Box::pin(identity::what_a_user_holds_is_found_by_the_user(&world)).await;
    identity::what_ends_goes_with_its_companion(&world).await;
    identity::roles_have_permissions_and_each_is_there_once(&world).await;
    Box::pin(identity::a_grant_of_a_node_or_image_is_given_once(&world)).await;
    filters::users_are_filtered(&world).await;
    Box::pin(filters::nodes_are_found_with_ledger_and_lifecycle(&world)).await;
    Box::pin(filters::images_are_filtered(&world)).await;
    Box::pin(filters::grants_are_found_from_both_sides(&world)).await;
    filters::gpus_are_listed_by_slot(&world).await;
    Box::pin(filters::what_leases_hold_is_found_from_both_sides(&world)).await;
    filters::ports_are_listed_by_node_and_by_instance(&world).await;
    filters::instances_are_filtered(&world).await;
    filters::a_name_finds_the_live_instance(&world).await;
}

/// The repositories, and short forms of what checks do.
#[derive(Debug)]
struct World {
    repositories: Repositories,
}

impl World {
    fn full(&self) -> Samples {
        Samples::full(|| self.repositories.ids.next_id())
    }

    fn bare(&self) -> Samples {
        Samples::bare(|| self.repositories.ids.next_id())
    }

    /// Full samples, all kept.
    async fn kept(&self) -> Samples {
        let samples = self.full();
        self.keep(&samples).await;
        samples
    }

    async fn keep(&self, samples: &Samples) {
        let mut batch = Batch::new(self.repositories.ids.next_id(), "samples");
        each_sample!(samples, entity => {
            batch.push(Write::Insert(entity.to_row()));
        });
        self.repositories.store.commit(batch).await.unwrap();
    }

    /// Keeps entities that no repository creates.
    async fn insert<E: Entity>(&self, entities: &[&E]) {
        let mut batch = Batch::new(self.repositories.ids.next_id(), "samples");
        for entity in entities {
            batch.push(Write::Insert(entity.to_row()));
        }
        self.repositories.store.commit(batch).await.unwrap();
    }

    /// What is stored under the key of an entity.
    async fn stored<E: Entity>(&self, entity: &E) -> Option<Entry<E>> {
        self.repositories.get_entry(key_of(entity)).await.unwrap()
    }

    /// Asserts what is stored under the key of an entity.
    async fn holds<E: Entity + Debug>(&self, expected: &E, revision: i64) {
        let found = self.stored(expected).await;
        let found = found.as_ref().map(|found| (&found.value, found.revision));
        assert_eq!(found, Some((expected, revision)));
    }
}

fn key_of<E: Entity>(entity: &E) -> Key {
    let row = entity.to_row();
    let value =
        |name: &&str| row.values.iter().find(|(column, _)| column == name).map(|(_, value)| value.clone());
    Key::new(E::TABLE.key.iter().filter_map(value))
}

fn assert_conflict<T: Debug>(result: Result<T>) {
    match result {
        Err(Error::Conflict { .. }) => {}
        other => panic!("expected a conflict, got {other:?}"),
    }
}

fn assert_taken<T: Debug>(result: &Result<T>, expected: &str) {
    match result {
        Err(Error::AlreadyExists { key, .. }) => assert_eq!(*key, expected),
        other => panic!("expected that {expected} is taken, got {other:?}"),
    }
}

fn assert_used<T: Debug>(result: Result<T>, expected: &str) {
    match result {
        Err(Error::StillUsed { by, .. }) => assert_eq!(by, expected),
        other => panic!("expected that it is used by {expected}, got {other:?}"),
    }
}

fn assert_invalid<T: Debug>(result: Result<T>, part: &str) {
    match result {
        Err(Error::Invalid { field, .. }) => assert!(field.contains(part), "{field} names no {part}"),
        other => panic!("expected that {part} is invalid, got {other:?}"),
    }
}

/// Every entry of a list, read in pages of two.
async fn all<T, L>(list: impl Fn(PageRequest) -> L) -> Vec<T>
where
    L: Future<Output = Result<ListPage<T>>>,
{
    let mut request = PageRequest::default().limit(2);
    let mut values = Vec::new();
    loop {
        let page = list(request).await.unwrap();
        assert!(page.entries.len() <= 2, "a page of {}", page.entries.len());
        values.extend(page.entries.into_iter().map(|entry| entry.value));
        let Some(next) = page.next else {
            return values;
        };
        request = PageRequest::after(next).limit(2);
    }
}

/// Every entry of a repository's list under a filter.
macro_rules! listed {
    ($repository:expr, $filter:expr) => {{
        let (repository, filter) = (&$repository, &$filter);
        $crate::entity::checks::all(|page| repository.list(filter.clone(), page)).await
    }};
}
use listed;
