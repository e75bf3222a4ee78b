//! Stand-in.
use crate::entity::{Entity as _, Entry, RUN_QUEUES, RunQueue};
use crate::error::Result;
use crate::plane::ControlPlane;
use crate::store::{StoreExt as _, Write};

impl ControlPlane {
    /// The queue of runs that name none.
    pub(in crate::plane) async fn default_queue(&self) -> Result<Entry<RunQueue>> {
        let id = RunQueue::DEFAULT;
        let read = self.store.get(&RUN_QUEUES, id).await?;
        if let Some(row) = read.value {
            return Ok(Entry::new(RunQueue::from_row(&row)?, row.revision()));
        }
        let queue = RunQueue {
            id,
            name: "default".into(),
            parent_id: None,
            weight_milli: 1000,
            gpu_milli: None,
            gpu_milli_borrowing: None,
            gpu_milli_lending: None,
            cpu_milli: None,
            cpu_milli_borrowing: None,
            cpu_milli_lending: None,
            memory_mib: None,
            memory_mib_borrowing: None,
            memory_mib_lending: None,
            created_at: read.now,
            updated_at: read.now,
        };
        let batch = self.batch("queue.default").with(Write::Ensure(queue.to_row()));
        self.store.commit(batch).await?;
        Ok(Entry::new(queue, 1))
    }
}
