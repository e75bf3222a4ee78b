//! Queues of runs on behalf of a caller. They are nobody's, and administrators' to make.

use super::{Acting, Thing};
use crate::access::Operation;
use crate::entity::{AccountId, Entry, FairShare, ListPage, PageRequest, QueueId, RunQueue};
use crate::error::Result;
use crate::plane::{NewQueue, QueueTerms};

impl Acting {
    /// See [`ControlPlane::create_queue`](crate::ControlPlane::create_queue).
    pub async fn create_queue(&self, request: NewQueue) -> Result<Entry<RunQueue>> {
        let request = &request;
        self.run(Operation::CreateQueue, Thing::Cloud, |plane| async move {
            plane.create_queue(request.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::change_queue`](crate::ControlPlane::change_queue).
    pub async fn change_queue(
        &self,
        queue: QueueId,
        revision: i64,
        terms: QueueTerms,
    ) -> Result<Entry<RunQueue>> {
        let terms = &terms;
        self.run(Operation::UpdateQueue, Thing::Cloud, |plane| async move {
            plane.change_queue(queue, revision, terms.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::delete_queue`](crate::ControlPlane::delete_queue).
    pub async fn delete_queue(&self, queue: QueueId) -> Result<()> {
        self.run(Operation::DeleteQueue, Thing::Cloud, |plane| async move { plane.delete_queue(queue).await })
            .await
    }

    /// A queue.
    pub async fn queue(&self, queue: QueueId) -> Result<Entry<RunQueue>> {
        self.run(Operation::ReadQueue, Thing::Cloud, |plane| async move {
            plane.repositories().run_queues().require(queue).await
        })
        .await
    }

    /// The queues, in the order of ids.
    pub async fn list_queues(&self, page: PageRequest) -> Result<ListPage<RunQueue>> {
        let page = &page;
        self.run(Operation::ReadQueue, Thing::Cloud, |plane| async move {
            plane.repositories().run_queues().list(page.clone()).await
        })
        .await
    }

    /// See [`ControlPlane::set_fair_share`](crate::ControlPlane::set_fair_share).
    pub async fn set_fair_share(&self, account: AccountId, weight_milli: u32) -> Result<FairShare> {
        self.run(Operation::SetQuota, Thing::Account(account), |plane| async move {
            plane.set_fair_share(account, weight_milli).await
        })
        .await
    }
}
