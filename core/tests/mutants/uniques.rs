//! Faults of unique keys: a decorator that has keys of its own, before or beside those of the store inside.

use std::time::Duration;

use apportion::store::{
    Batch, Cause, Key, Op, Prepared, Receipt, Row, Scan, StoreError, StoreExt, Table, Unique, Value,
};

use crate::fault::Fault;
use crate::store::Faulty;

impl Faulty {
    pub(crate) async fn commit_with_own_uniques(
        &self,
        fault: Fault,
        batch: Batch,
    ) -> Result<Receipt, StoreError> {
        let prepared = self.inner.schema().prepare(batch.clone())?;
        let mut keys = Vec::new();
        for (at, (table, unique, values)) in self.unique_keys(&prepared).await {
            let write = &prepared.writes[at];
            let null = values.iter().any(Value::is_null);
            let owner = match fault {
                Fault::UniqueKeysStayTaken if !null => self.taken(unique, &values),
                Fault::NullsCollide if null && !values.iter().all(Value::is_null) => {
                    self.first_with(table, unique, &values).await
                }
                Fault::UniqueByLookingFirst if !null => self.first_with(table, unique, &values).await,
                _ => None,
            };
            if let Some(owner) = owner.filter(|owner| *owner != write.key) {
                let unique = unique.name;
                return Err(self
                    .refuse(at, table.name, &write.key, Cause::Duplicate { unique, owner })
                    .await);
            }
            if !null {
                keys.push(((unique.name, values), write.key.clone()));
            }
        }
        if fault == Fault::UniqueByLookingFirst {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let receipt = self.inner.commit(batch).await?;
        self.remembered().taken.extend(keys);
        Ok(receipt)
    }

    fn taken(&self, unique: Unique, values: &[Value]) -> Option<Key> {
        self.remembered().taken.get(&(unique.name, values.to_vec())).cloned()
    }

    async fn first_with(&self, table: &'static Table, unique: Unique, values: &[Value]) -> Option<Key> {
        let mut scan = Scan::of(table).by(unique.name).limit(1);
        scan.prefix = values.to_vec();
        let page = self.inner.scan(scan).await.unwrap().value;
        page.rows.first().map(Row::key)
    }

    /// The unique keys that a batch inserts rows with, or changes rows to.
    async fn unique_keys(&self, prepared: &Prepared) -> Vec<(usize, (&'static Table, Unique, Vec<Value>))> {
        let mut keys = Vec::new();
        for (at, write) in prepared.writes.iter().enumerate() {
            let name = self.inner.schema().table(write.table).table.name;
            let Some(table) = self.tables.iter().copied().find(|table| table.name == name) else {
                continue;
            };
            let mut values: Vec<Value> = match &write.op {
                Op::Insert(row) => row.values().to_vec(),
                Op::Update(..) => match self.row(table, &write.key).await {
                    Some(row) => row.values().to_vec(),
                    None => continue,
                },
                _ => continue,
            };
            if let Op::Update(_, set) = &write.op {
                for (column, value) in set {
                    values[*column] = value.clone();
                }
            }
            let info = self.inner.schema().table(write.table);
            for unique in table.uniques {
                let of = unique.columns.iter().map(|column| values[info.column(column).unwrap()].clone());
                keys.push((at, (table, *unique, of.collect())));
            }
        }
        keys
    }
}
