//! What makes up the use of an account: [`Usage`].

use std::ops::Bound;

use super::ControlPlane;
use crate::entity::{
    AccountId, COMPUTE_NODES, ComputeNode, Entity, Entry, INSTANCES, Instance, ListPage, PageRequest, QUOTAS,
    Quota, TRAINING_RUNS, TRAININGS, Training, TrainingRun, entry,
};
use crate::error::{Error, Result};
use crate::store::{Answer, Is, Query, Scan, StoreError, Test};

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
    /// Trainings of the account, in the order of ids.
    pub trainings: ListPage<Training>,
    /// Runs of the account that have not ended, in the order of ids.
    pub runs: ListPage<TrainingRun>,
}

/// Which pages of an account's [`Usage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsagePages {
    /// Of its instances.
    pub instances: PageRequest,
    /// Of its nodes.
    pub nodes: PageRequest,
    /// Of its trainings.
    pub trainings: PageRequest,
    /// Of its runs.
    pub runs: PageRequest,
}

impl UsagePages {
    /// The first pages, of at most so many entries each.
    pub fn limit(limit: u32) -> Self {
        let page = PageRequest::default().limit(limit);
        Self { instances: page.clone(), nodes: page.clone(), trainings: page.clone(), runs: page }
    }

    /// This page of the instances.
    pub fn instances(mut self, page: PageRequest) -> Self {
        self.instances = page;
        self
    }

    /// This page of the nodes.
    pub fn nodes(mut self, page: PageRequest) -> Self {
        self.nodes = page;
        self
    }

    /// This page of the trainings.
    pub fn trainings(mut self, page: PageRequest) -> Self {
        self.trainings = page;
        self
    }

    /// This page of the runs.
    pub fn runs(mut self, page: PageRequest) -> Self {
        self.runs = page;
        self
    }
}

impl ControlPlane {
    /// What an account may use and uses, with a page each of its live instances, nodes, trainings and live runs: what is in all
    /// pages adds up to the use. Each list goes on with its own `next`.
    ///
    /// It is read in one round trip. What is launched or deleted at that moment may be in the use and not yet in the lists, or
    /// the other way round; [`ControlPlane::audit`] compares them on one consistent view.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a page that is none.
    #[tracing::instrument(skip_all)]
    pub async fn usage(&self, account: AccountId, pages: UsagePages) -> Result<Usage> {
        // An instance has its name for as long as it is live. So its history, which may be long, is not looked at.
        let named = (Bound::Included("".into()), Bound::Unbounded);
        let live = Scan::of(&INSTANCES).by("instances_owner_live_name").with(account);
        let live = live.range(named.0, named.1);
        let owned = |table, by| Scan::of(table).by(by).with(account);
        let some = |scan: Scan, page: PageRequest| Query::Scan(scan.after(page.after).limit(page.limit));
        // A run that has ended has no training any more.
        let runs = owned(&TRAINING_RUNS, "training_runs_owner").test(Test::new("training_id", Is::NotNull));
        let queries = vec![
            Query::Get { table: &QUOTAS, key: account.into() },
            some(live, pages.instances),
            some(owned(&COMPUTE_NODES, "compute_nodes_owner"), pages.nodes),
            some(owned(&TRAININGS, "trainings_owner"), pages.trainings),
            some(runs, pages.runs),
        ];
        let reads = self.store.read(queries).await.map_err(|error| Error::of_store(Quota::KIND, error))?;
        let mut answers = reads.answers.into_iter();
        let quota = answers.next().and_then(Answer::into_row);
        let quota = quota.ok_or_else(|| Error::not_found(Quota::KIND, account))?;
        Ok(Usage {
            quota: entry(&quota)?,
            instances: listed(answers.next())?,
            nodes: listed(answers.next())?,
            trainings: listed(answers.next())?,
            runs: listed(answers.next())?,
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
