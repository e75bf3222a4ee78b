//! What makes up the use of an account: [`Usage`].

use std::ops::Bound;

use super::ControlPlane;
use crate::entity::{
    AccountId, COMPUTE_NODES, ComputeNode, Entity, Entry, INSTANCES, Instance, ListPage, PageRequest, QUOTAS,
    Quota, entry,
};
use crate::error::{Error, Result};
use crate::store::{Answer, Query, Scan, StoreError};

/// What an account may use, what it uses, and the rows that make it up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Limits and use.
    pub quota: Entry<Quota>,
    /// Live instances, which hold what is used, stopped or not; in the order of their names.
    pub instances: ListPage<Instance>,
    /// Nodes of the account, in the order of ids.
    pub nodes: ListPage<ComputeNode>,
}

impl ControlPlane {
    /// What an account may use and uses, with a page of its live instances and one of its nodes: what is in all pages adds up
    /// to the use. Each list goes on with its own `next`.
    ///
    /// It is read in one round trip. What is launched or deleted at that moment may be in the use and not yet in the lists, or
    /// the other way round; [`ControlPlane::audit`] compares them on one consistent view.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a page that is none.
    #[tracing::instrument(skip_all)]
    pub async fn usage(
        &self,
        account: AccountId,
        instances: PageRequest,
        nodes: PageRequest,
    ) -> Result<Usage> {
        // An instance has its name for as long as it is live. So its history, which may be long, is not looked at.
        let named = (Bound::Included("".into()), Bound::Unbounded);
        let live = Scan::of(&INSTANCES).by("instances_owner_live_name").with(account);
        let live = live.range(named.0, named.1).after(instances.after).limit(instances.limit);
        let owned = Scan::of(&COMPUTE_NODES).by("compute_nodes_owner").with(account);
        let owned = owned.after(nodes.after).limit(nodes.limit);
        let queries =
            vec![Query::Get { table: &QUOTAS, key: account.into() }, Query::Scan(live), Query::Scan(owned)];
        let reads = self.store.read(queries).await.map_err(|error| Error::of_store(Quota::KIND, error))?;
        let mut answers = reads.answers.into_iter();
        let quota = answers.next().and_then(Answer::into_row);
        let quota = quota.ok_or_else(|| Error::not_found(Quota::KIND, account))?;
        Ok(Usage {
            quota: entry(&quota)?,
            instances: listed(answers.next())?,
            nodes: listed(answers.next())?,
        })
    }
}

fn listed<E: Entity>(answer: Option<Answer>) -> std::result::Result<ListPage<E>, StoreError> {
    let Some(Answer::Page(page)) = answer else {
        return Ok(ListPage { entries: Vec::new(), next: None });
    };
    let entries: std::result::Result<_, _> = page.rows.iter().map(entry).collect();
    Ok(ListPage { entries: entries?, next: page.next })
}
