//! A store on which many decide before the first of them has committed: [`Late`].

use std::sync::Arc;
use std::time::Duration;

use futures_timer::Delay;

use crate::store::{Batch, Receipt, Store, StoreError, store_over};

/// How long a batch is kept back. It has only to be longer than what others need to decide meanwhile; where it is not, a race
/// is less of one.
const LATE: Duration = Duration::from_millis(20);

/// A store whose commits come late, as on a slow disk. So what was read is older than what is committed, and the batch alone
/// keeps a limit.
#[derive(Debug)]
pub(super) struct Late(pub(super) Arc<dyn Store>);

store_over!(Late.0 {
    async fn commit_many(&self, batches: Vec<Batch>) -> Vec<Result<Receipt, StoreError>> {
        Delay::new(LATE).await;
        self.0.commit_many(batches).await
    }
});
