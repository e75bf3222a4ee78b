//! Giving an instance more, or less, of processor time, memory and disk space: all of it or nothing.

use super::ControlPlane;
use super::decided::Decided;
use super::launch_rows::within;
use super::users::Happened;
use crate::entity::{
    AccessState, DesiredState, Entity as _, Entry, INSTANCES, Instance, InstanceId, InstanceState,
    NODE_LEDGERS, NODE_LIFECYCLES, NodeId, NodeLedger, NodeLifecycle, QUOTAS, Quota, USER_ACCESS, UserAccess,
};
use crate::error::{Error, Result};
use crate::machine::InstanceSize;
use crate::sched::NoFit;
use crate::store::{Change, Row, StoreExt as _, Write};

/// What an instance gets more, by the names of the columns on which it is charged; less where it is negative.
type Differences = [(&'static str, i64); 3];

/// The rows that a resize is decided on, beside the instance.
struct Rows {
    access: Row,
    quota: Row,
    lifecycle: Row,
    ledger: Row,
}

impl ControlPlane {
    /// Gives an instance this much of processor time, memory and disk space, and charges the difference to its owner and its node in
    /// the same batch: all three, or none of them. To be given what it has changes nothing.
    ///
    /// One that an agent has made has to be stopped: it gets its new size when it is started.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` for one that is not there to be resized; where it grows, `QuotaExceeded`, `NoCapacity` for what its
    /// node has not free, and `Denied` for an owner who is suspended.
    #[tracing::instrument(skip(self))]
    pub async fn resize(&self, id: InstanceId, size: InstanceSize) -> Result<Entry<Instance>> {
        self.decided("instance.resize", Instance::KIND, || async move {
            let read = self.store.get(&INSTANCES, id).await?;
            let row = read.value.ok_or_else(|| Error::not_found(Instance::KIND, id))?;
            let mut instance = Instance::from_row(&row)?;
            let node = may_be_resized(&instance)?;
            let differences = size.differences(&instance);
            if differences.iter().all(|(_, more)| *more == 0) {
                return Ok(Decided::Done(Entry::new(instance, row.revision())));
            }
            let rows = self.resize_rows(&instance, node).await?;
            let grows = differences.iter().any(|(_, more)| *more > 0);
            let mut batch = self.batch_for("instance.resize", instance.owner_id.uuid());
            if grows {
                rows.check(&differences)?;
                batch.push(Write::guard(&USER_ACCESS, instance.owner_id, rows.access.revision()));
                batch.push(Write::guard(&NODE_LIFECYCLES, node, rows.lifecycle.revision()));
            }
            let adds: Vec<_> = differences
                .iter()
                .filter(|(_, more)| *more != 0)
                .map(|(column, more)| (*column, Change::Add(*more)))
                .collect();
            batch.push(Write::patch(&QUOTAS, instance.owner_id, Vec::new(), adds.clone()));
            batch.push(Write::patch(&NODE_LEDGERS, node, Vec::new(), adds));
            size.give(&mut instance);
            instance.updated_at = read.now;
            batch.push(Write::update(&INSTANCES, id, row.revision(), instance.plain()));
            let told = format!("{}, {}, {}", size.cpu_milli, size.memory_mib, size.storage_mib);
            let happened = Happened {
                operation: "instance.resize",
                actor: Some(instance.owner_id.uuid()),
                kind: Instance::KIND,
                subject: id.uuid(),
                description: &told,
            };
            batch.push(self.log(happened, read.now));
            Ok(Decided::Commit(Entry::new(instance, row.revision() + 1), batch))
        })
        .await
    }

    async fn resize_rows(&self, instance: &Instance, node: NodeId) -> Result<Rows> {
        let owner = instance.owner_id;
        let keys = vec![
            (&USER_ACCESS, owner.into()),
            (&QUOTAS, owner.into()),
            (&NODE_LIFECYCLES, node.into()),
            (&NODE_LEDGERS, node.into()),
        ];
        let mut rows = self.store.get_many(keys).await?.value.into_iter();
        let mut next = |kind| rows.next().flatten().ok_or_else(|| Error::not_found(kind, instance.id));
        Ok(Rows {
            access: next("user")?,
            quota: next("quota")?,
            lifecycle: next("compute_node")?,
            ledger: next("node_ledger")?,
        })
    }
}

impl InstanceSize {
    /// How much more this is than what an instance has.
    fn differences(self, instance: &Instance) -> Differences {
        [
            ("cpu_milli", self.cpu_milli.get() - instance.cpu_milli.get()),
            ("memory_mib", self.memory_mib.get() - instance.memory_mib.get()),
            ("storage_mib", self.storage_mib.get() - instance.storage_mib.get()),
        ]
    }

    const fn give(self, instance: &mut Instance) {
        instance.cpu_milli = self.cpu_milli;
        instance.memory_mib = self.memory_mib;
        instance.storage_mib = self.storage_mib;
    }
}

impl Rows {
    /// Whether there is room for what grows. The store judges it again at the commit.
    fn check(&self, differences: &Differences) -> Result<()> {
        if UserAccess::from_row(&self.access)?.state != AccessState::Active {
            return Err(Error::Denied { action: "resize an instance while suspended" });
        }
        let quota = Quota::from_row(&self.quota)?;
        let ledger = NodeLedger::from_row(&self.ledger)?;
        let limits = [
            ("cpu_milli_limit", quota.cpu_milli_limit.map(i64::from), quota.cpu_milli.get()),
            ("memory_mib_limit", quota.memory_mib_limit.map(i64::from), quota.memory_mib.get()),
            ("storage_mib_limit", quota.storage_mib_limit.map(i64::from), quota.storage_mib.get()),
        ];
        for ((_, asked), (limit_name, limit, used)) in differences.iter().zip(limits) {
            within((limit_name, limit, used, *asked))?;
        }
        let free = [
            ledger.cpu_milli_total.get() - ledger.cpu_milli.get(),
            ledger.memory_mib_total.get() - ledger.memory_mib.get(),
            ledger.storage_mib_total.get() - ledger.storage_mib.get(),
        ];
        let mut no_fit = NoFit { nodes: 1, ..NoFit::default() };
        let takes_work = NodeLifecycle::from_row(&self.lifecycle)?.state.takes_work();
        no_fit.unschedulable = u64::from(!takes_work);
        let filters = [&mut no_fit.cpu, &mut no_fit.memory, &mut no_fit.storage];
        for (((_, more), free), filter) in differences.iter().zip(free).zip(filters) {
            *filter = u64::from(takes_work && *more > 0 && *more > free);
        }
        if no_fit.removed() > 0 { Err(Error::NoCapacity(Box::new(no_fit))) } else { Ok(()) }
    }
}

/// The node of an instance that may be resized.
fn may_be_resized(instance: &Instance) -> Result<NodeId> {
    let stopped = instance.state == InstanceState::Stopped
        && instance.desired == DesiredState::Stopped
        && instance.command_id.is_none();
    let may = match instance.state {
        InstanceState::Running | InstanceState::Stopped => !instance.by_agent || stopped,
        _ => false,
    };
    instance.node_id.filter(|_| may).ok_or_else(|| Error::WrongState {
        kind: Instance::KIND,
        state: instance.state.as_str(),
        event: "resizing it",
        allowed: if instance.state == InstanceState::Running { vec!["stop"] } else { Vec::new() },
    })
}
