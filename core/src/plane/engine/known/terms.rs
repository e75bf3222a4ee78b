//! What a scheduler has seen of the terms: queues, shares, and what accounts have used.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Known, does_not_fit, read};
use crate::entity::{ACCOUNT_USES, AccountUse, Entity as _, FAIR_SHARES, FairShare, RUN_QUEUES};
use crate::error::Result;
use crate::plane::leases::{node_of, tree_of};
use crate::queue::{QueueTree, Resources};
use crate::store::{Key, Row, Scan, Store, StoreExt as _};

impl Known {
    pub(super) async fn take_queues(&mut self, store: &dyn Store) -> Result<()> {
        let rows = store.scan_all(Scan::of(&RUN_QUEUES)).await?;
        let tree: QueueTree = tree_of(&rows)?;
        let wanted: BTreeMap<Uuid, Row> =
            rows.into_iter().filter_map(|row| Some((row.key().as_uuid()?, row))).collect();
        let gone: Vec<Uuid> =
            self.queue.tree().iter().map(|node| node.id).filter(|id| !wanted.contains_key(id)).collect();
        // Parents before their children: in the order in which the tree took them.
        for node in tree.iter() {
            let Some(row) = wanted.get(&node.id) else { continue };
            self.queue.set_queue(node_of(row)?).map_err(|error| does_not_fit("parent_id", &error))?;
        }
        for queue in gone.into_iter().rev() {
            // What still waits or runs there is told to have gone by the feed, and then the queue goes with the next change.
            drop(self.queue.remove_queue(queue));
        }
        Ok(())
    }

    pub(super) async fn take_uses(&mut self, store: &dyn Store, keys: BTreeSet<Key>) -> Result<()> {
        for row in read(store, &ACCOUNT_USES, keys.into_iter()).await?.into_values() {
            let used = AccountUse::from_row(&row)?;
            let amount = |column| row.int(column);
            let now = Resources {
                gpu_milli: amount("gpu_milli_seconds")?,
                cpu_milli: amount("cpu_milli_seconds")?,
                memory_mib: amount("memory_mib_seconds")?,
            };
            let (account, period) = (used.account_id.uuid(), used.period);
            let before = self.uses.insert((account, period), now).unwrap_or(Resources::ZERO);
            self.queue.add_use(account, period, now.minus(before));
        }
        Ok(())
    }

    pub(super) async fn take_shares(&mut self, store: &dyn Store, accounts: BTreeSet<Uuid>) -> Result<()> {
        let shares = read(store, &FAIR_SHARES, accounts.iter().map(|id| (*id).into())).await?;
        for account in accounts {
            let weight = shares
                .get(&account.into())
                .map(FairShare::from_row)
                .transpose()?
                .map_or(1000, |share| share.weight_milli);
            self.queue.set_weight(account, weight);
        }
        Ok(())
    }
}
