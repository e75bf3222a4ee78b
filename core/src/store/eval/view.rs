//! What a batch under judgement sees: its own writes over those of the accepted batches over what is committed.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Group, RowEffect, Source};
use crate::store::error::{Cause, StoreError};
use crate::store::row::{Key, Row};
use crate::store::schema::{PreparedWrite, Schema, TableId};
use crate::store::value::Value;

type RowId = (TableId, Key);
/// A unique order of a table, and the values of its columns.
type UniqueKey = (TableId, usize, Key);
/// A reference of a table, and the parent's key.
type ParentKey = (TableId, usize, Key);

#[derive(Debug)]
struct Staged {
    before: Option<Arc<Row>>,
    after: Option<Arc<Row>>,
}

/// The accepted batches of a group, with every row that was looked at.
#[derive(Debug, Default)]
pub(super) struct Shared {
    rows: FxHashMap<RowId, Staged>,
    owners: FxHashMap<UniqueKey, Option<Key>>,
    children: FxHashMap<ParentKey, FxHashSet<Key>>,
}

/// The batch under judgement.
#[derive(Debug, Default)]
pub(super) struct Member {
    order: Vec<RowId>,
    rows: FxHashMap<RowId, Staged>,
    owners: FxHashMap<UniqueKey, Option<Key>>,
    children: Vec<(ParentKey, Key)>,
}

impl Shared {
    pub(super) fn absorb(&mut self, member: Member) {
        for (id, staged) in member.rows {
            match self.rows.get_mut(&id) {
                Some(known) => known.after = staged.after,
                None => drop(self.rows.insert(id, staged)),
            }
        }
        self.owners.extend(member.owners);
        for (parent, child) in member.children {
            self.children.entry(parent).or_default().insert(child);
        }
    }

    pub(super) fn into_effects(self) -> Vec<RowEffect> {
        let changed = self.rows.into_iter().filter(|(_, staged)| match (&staged.before, &staged.after) {
            (None, None) => false,
            (Some(before), Some(after)) => !Arc::ptr_eq(before, after),
            _ => true,
        });
        let mut effects: Vec<_> = changed
            .map(|((table, key), staged)| RowEffect {
                table,
                key,
                before: staged.before,
                after: staged.after,
            })
            .collect();
        effects.sort_unstable_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        effects
    }
}

impl Member {
    /// What the batch did to each row, in the order in which it first touched them.
    pub(super) fn touched(&self) -> impl Iterator<Item = (TableId, &Key, Option<&Row>, Option<&Row>)> {
        self.order.iter().filter_map(|id| {
            let staged = self.rows.get(id)?;
            Some((id.0, &id.1, staged.before.as_deref(), staged.after.as_deref()))
        })
    }

    pub(super) fn stage(
        &mut self,
        schema: &Schema,
        write: &PreparedWrite,
        before: Option<Arc<Row>>,
        after: Option<Arc<Row>>,
    ) {
        let info = schema.table(write.table);
        for (order, _) in info.orders.iter().enumerate().filter(|(_, order)| order.unique) {
            let (old, new) = (
                unique_key(schema, write, order, before.as_deref()),
                unique_key(schema, write, order, after.as_deref()),
            );
            if old == new {
                continue;
            }
            if let Some(old) = old {
                self.owners.insert(old, None);
            }
            if let Some(new) = new {
                self.owners.insert(new, Some(write.key.clone()));
            }
        }
        if let Some(after) = &after {
            for (at, reference) in info.references.iter().enumerate() {
                let parent = reference_key(after, &reference.columns);
                if let Some(parent) = parent.filter(|_| changed(before.as_deref(), after, &reference.columns))
                {
                    self.children.push(((write.table, at, parent), write.key.clone()));
                }
            }
        }
        let id = (write.table, write.key.clone());
        if let Some(staged) = self.rows.get_mut(&id) {
            staged.after = after;
        } else {
            self.order.push(id.clone());
            self.rows.insert(id, Staged { before, after });
        }
    }
}

fn unique_key(schema: &Schema, write: &PreparedWrite, order: usize, row: Option<&Row>) -> Option<UniqueKey> {
    let columns = &schema.table(write.table).orders.get(order)?.columns;
    Some((write.table, order, reference_key(row?, columns)?))
}

/// The values of some columns, unless one is null.
pub(super) fn reference_key(row: &Row, columns: &[usize]) -> Option<Key> {
    let values: Option<Vec<Value>> =
        columns.iter().map(|at| row.values.get(*at).filter(|value| !value.is_null()).cloned()).collect();
    Some(Key::new(values?))
}

fn changed(before: Option<&Row>, after: &Row, columns: &[usize]) -> bool {
    before.is_none_or(|before| columns.iter().any(|at| before.values.get(*at) != after.values.get(*at)))
}

impl<S: Source + ?Sized> Group<'_, S> {
    /// The row as the batch sees it.
    pub(super) fn current(
        &mut self,
        member: &Member,
        table: TableId,
        key: &Key,
    ) -> Result<Option<Arc<Row>>, StoreError> {
        let id = (table, key.clone());
        if let Some(staged) = member.rows.get(&id) {
            return Ok(staged.after.clone());
        }
        if let Some(staged) = self.shared.rows.get(&id) {
            return Ok(staged.after.clone());
        }
        let row = self.source.row(table, key)?;
        self.shared.rows.insert(id, Staged { before: row.clone(), after: row.clone() });
        Ok(row)
    }

    /// Whether the batch sees a row with this key.
    fn is_there(&self, member: &Member, table: TableId, key: &Key) -> Result<bool, StoreError> {
        let id = (table, key.clone());
        match member.rows.get(&id).or_else(|| self.shared.rows.get(&id)) {
            Some(staged) => Ok(staged.after.is_some()),
            None => self.source.exists(table, key),
        }
    }

    pub(super) fn duplicate(
        &mut self,
        member: &Member,
        write: &PreparedWrite,
        before: Option<&Row>,
        after: &Row,
    ) -> Result<Option<Cause>, StoreError> {
        let schema = self.schema;
        for (at, order) in
            schema.table(write.table).orders.iter().enumerate().filter(|(_, order)| order.unique)
        {
            if !changed(before, after, &order.columns) {
                continue;
            }
            let Some(values) = reference_key(after, &order.columns) else {
                continue;
            };
            let owner = self.owner(member, &(write.table, at, values))?;
            if let Some(owner) = owner.filter(|owner| *owner != write.key) {
                return Ok(Some(Cause::Duplicate { unique: order.name, owner }));
            }
        }
        Ok(None)
    }

    fn owner(&self, member: &Member, unique: &UniqueKey) -> Result<Option<Key>, StoreError> {
        if let Some(owner) = member.owners.get(unique).or_else(|| self.shared.owners.get(unique)) {
            return Ok(owner.clone());
        }
        self.source.owner(unique.0, unique.1, unique.2.values())
    }

    pub(super) fn no_parent(
        &mut self,
        member: &Member,
        write: &PreparedWrite,
        before: Option<&Row>,
        after: &Row,
    ) -> Result<Option<Cause>, StoreError> {
        let schema = self.schema;
        for reference in &schema.table(write.table).references {
            if !changed(before, after, &reference.columns) {
                continue;
            }
            let Some(parent) = reference_key(after, &reference.columns) else {
                continue;
            };
            let itself = reference.parent == write.table && parent == write.key;
            if !itself && !self.is_there(member, reference.parent, &parent)? {
                return Ok(Some(Cause::NoParent { reference: reference.name }));
            }
        }
        Ok(None)
    }

    pub(super) fn still_referenced(
        &mut self,
        member: &Member,
        write: &PreparedWrite,
    ) -> Result<Option<Cause>, StoreError> {
        let schema = self.schema;
        for child in &schema.table(write.table).children {
            let info = schema.table(child.table);
            let Some(reference) = info.references.get(child.reference) else {
                continue;
            };
            let parent = (child.table, child.reference, write.key.clone());
            let staged = |key: &Key| {
                let id = (child.table, key.clone());
                member.rows.get(&id).or_else(|| self.shared.rows.get(&id))
            };
            // Whether a child still names the row, as the batch sees it.
            let names = |key: &Key, unstaged: bool| {
                if child.table == write.table && *key == write.key {
                    return false;
                }
                staged(key).map_or(unstaged, |staged| {
                    let row = staged.after.as_deref();
                    row.and_then(|row| reference_key(row, &reference.columns))
                        .is_some_and(|found| found == write.key)
                })
            };
            let mine = member.children.iter().filter(|(of, _)| *of == parent).map(|(_, key)| key);
            let others = self.shared.children.get(&parent).into_iter().flatten();
            let mut found = mine.chain(others).any(|key| names(key, false));
            if !found {
                self.source.children(child.table, reference.order, write.key.values(), &mut |key| {
                    found = names(&key, true);
                    Ok(!found)
                })?;
            }
            if found {
                return Ok(Some(Cause::StillReferenced { reference: reference.name, by: info.table.name }));
            }
        }
        Ok(None)
    }
}
