//! The declarations of a store, resolved and checked: [`Schema`].

mod fingerprint;
mod plan;
mod prepare;

use rustc_hash::FxHashMap;

use super::keycode;
use super::row::{Key, Row};
use super::table::{Check, Limit, Role, Table};
use super::value::{Kind, Value};

pub use plan::{Bounds, ScanPlan};
pub use prepare::{Op, Prepared, PreparedWrite};

/// The position of a table in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub(crate) usize);

impl TableId {
    /// The position, from 0.
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A declaration that contradicts itself or another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {problem}")]
#[non_exhaustive]
pub struct BadDeclaration {
    /// The table.
    pub table: &'static str,
    /// What is wrong with its declaration.
    pub problem: String,
}

/// All tables of a store, in an order in which parents come before their children.
#[derive(Debug)]
pub struct Schema {
    tables: Vec<TableInfo>,
    by_name: FxHashMap<&'static str, TableId>,
}

/// A table with its names resolved to positions.
#[derive(Debug)]
#[non_exhaustive]
pub struct TableInfo {
    /// The declaration.
    pub table: &'static Table,
    /// Its place in the schema.
    pub id: TableId,
    /// The positions of the key columns.
    pub key: Vec<usize>,
    /// Every order in which the table can be scanned beside the primary key: unique keys, then indexes, then one
    /// for each reference that no earlier order begins with.
    pub orders: Vec<OrderInfo>,
    /// The references, resolved.
    pub references: Vec<ReferenceInfo>,
    /// Who may refer to rows of this table.
    pub children: Vec<ChildInfo>,
    columns: FxHashMap<&'static str, usize>,
}

/// An order in which a table can be scanned: by some columns, then by primary key.
#[derive(Debug)]
#[non_exhaustive]
pub struct OrderInfo {
    /// The name of the unique key, index or reference.
    pub name: &'static str,
    /// The positions of its columns.
    pub columns: Vec<usize>,
    /// Whether no two rows share a key without a null.
    pub unique: bool,
}

/// A reference with its names resolved.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReferenceInfo {
    /// The name.
    pub name: &'static str,
    /// The positions of its columns.
    pub columns: Vec<usize>,
    /// The table referred to.
    pub parent: TableId,
    /// The position in `orders` of an order that begins with the columns.
    pub order: usize,
}

/// A table whose rows may refer to another's.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ChildInfo {
    /// The referring table.
    pub table: TableId,
    /// The position of the reference in its `references`.
    pub reference: usize,
}

impl Schema {
    /// Resolves and checks declarations. The kernel's own tables are added.
    pub fn new(tables: &[&'static Table]) -> Result<Self, BadDeclaration> {
        let mut schema = Self { tables: Vec::new(), by_name: FxHashMap::default() };
        for table in super::kernel::TABLES.iter().chain(tables) {
            schema.add(table).map_err(|problem| BadDeclaration { table: table.name, problem })?;
        }
        Ok(schema)
    }

    /// The tables, parents before children.
    pub fn tables(&self) -> &[TableInfo] {
        &self.tables
    }

    /// A table by its id.
    ///
    /// # Panics
    /// Where the id is of another schema.
    #[expect(clippy::indexing_slicing, reason = "a `TableId` comes from this schema")]
    pub fn table(&self, id: TableId) -> &TableInfo {
        &self.tables[id.0]
    }

    /// A table by its name.
    pub fn find(&self, name: &str) -> Option<&TableInfo> {
        self.by_name.get(name).map(|id| self.table(*id))
    }

    fn add(&mut self, table: &'static Table) -> Result<(), String> {
        let id = TableId(self.tables.len());
        if self.by_name.insert(table.name, id).is_some() {
            return Err("declared twice".into());
        }
        let mut columns = FxHashMap::default();
        for (at, column) in table.columns.iter().enumerate() {
            if columns.insert(column.name, at).is_some() {
                return Err(format!("column {} is declared twice", column.name));
            }
            if column.default.is_some_and(|fixed| Value::from(fixed).check(column.kind).is_err()) {
                return Err(format!("the default of column {} is not of its type", column.name));
            }
        }
        let mut info = TableInfo {
            table,
            id,
            key: positions(&columns, table.key)?,
            orders: Vec::new(),
            references: Vec::new(),
            children: Vec::new(),
            columns,
        };
        info.check_key()?;
        for (name, names, unique) in (table.uniques.iter().map(|unique| (unique.name, unique.columns, true)))
            .chain(table.indexes.iter().map(|index| (index.name, index.columns, false)))
        {
            info.add_order(name, names, unique)?;
        }
        info.check_rules()?;
        self.tables.push(info);
        self.add_references(id, table)
    }

    fn add_references(&mut self, id: TableId, table: &'static Table) -> Result<(), String> {
        for (at, reference) in table.references.iter().enumerate() {
            let Some(parent) = self.by_name.get(reference.parent).copied() else {
                return Err(format!(
                    "{} refers to {}, which is not declared before it",
                    reference.name, reference.parent
                ));
            };
            let columns = positions(&self.table(id).columns, reference.columns)?;
            let kinds = |info: &TableInfo, at: &[usize]| -> Vec<_> {
                at.iter()
                    .filter_map(|at| info.table.columns.get(*at))
                    .map(|column| std::mem::discriminant(&column.kind))
                    .collect()
            };
            let to = self.table(parent);
            if kinds(self.table(id), &columns) != kinds(to, &to.key) {
                return Err(format!("{} does not match the key of {}", reference.name, reference.parent));
            }
            if let Some(info) = self.tables.get_mut(id.0) {
                let known = info.orders.iter().position(|order| order.columns.starts_with(&columns));
                let order = match known {
                    Some(order) => order,
                    None => info.add_order(reference.name, reference.columns, false)?,
                };
                info.references.push(ReferenceInfo { name: reference.name, columns, parent, order });
            }
            if let Some(info) = self.tables.get_mut(parent.0) {
                info.children.push(ChildInfo { table: id, reference: at });
            }
        }
        Ok(())
    }
}

fn positions(columns: &FxHashMap<&'static str, usize>, names: &[&'static str]) -> Result<Vec<usize>, String> {
    names
        .iter()
        .map(|name| columns.get(name).copied().ok_or_else(|| format!("there is no column {name}")))
        .collect()
}

impl TableInfo {
    /// The position of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.get(name).copied()
    }

    /// The position in `orders` of the unique key, index or reference of this name.
    pub fn order(&self, name: &str) -> Option<usize> {
        if let Some(at) = self.orders.iter().position(|order| order.name == name) {
            return Some(at);
        }
        self.references.iter().find(|reference| reference.name == name).map(|reference| reference.order)
    }

    /// The encoding of a row's primary key.
    pub fn key_bytes(&self, key: &Key) -> Vec<u8> {
        keycode::encode_all(key.values())
    }

    /// The primary key in these bytes.
    pub fn decode_key(&self, mut bytes: &[u8]) -> Option<Key> {
        let mut values = Vec::with_capacity(self.key.len());
        for at in &self.key {
            values.push(keycode::decode(self.table.columns.get(*at)?.kind, &mut bytes)?);
        }
        bytes.is_empty().then(|| Key::new(values))
    }

    /// The entry of a row in one order: the order's columns, then the primary key.
    pub fn entry(&self, order: &OrderInfo, row: &Row) -> Vec<u8> {
        keycode::encode_all(order.columns.iter().chain(&self.key).filter_map(|at| row.values.get(*at)))
    }

    /// The primary key at the end of an order's entry.
    pub fn entry_key<'e>(&self, order: &OrderInfo, entry: &'e [u8]) -> Option<&'e [u8]> {
        let mut rest = entry;
        for at in &order.columns {
            keycode::decode(self.table.columns.get(*at)?.kind, &mut rest)?;
        }
        Some(rest)
    }

    pub(crate) fn row_key(&self, values: &[Value]) -> Key {
        Key::new(self.key.iter().map(|at| values.get(*at).cloned().unwrap_or_default()))
    }

    fn add_order(
        &mut self,
        name: &'static str,
        names: &[&'static str],
        unique: bool,
    ) -> Result<usize, String> {
        let columns = positions(&self.columns, names)?;
        if columns.is_empty() || self.orders.iter().any(|order| order.name == name) {
            return Err(format!("{name} has no columns, or is declared twice"));
        }
        self.check_indexable(&columns, name)?;
        self.orders.push(OrderInfo { name, columns, unique });
        Ok(self.orders.len() - 1)
    }

    fn check_indexable(&self, columns: &[usize], name: &str) -> Result<(), String> {
        for column in columns.iter().filter_map(|at| self.table.columns.get(*at)) {
            if matches!(column.kind, Kind::Json { .. }) {
                return Err(format!("{name} is ordered by {}, and json has no order", column.name));
            }
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), String> {
        if self.key.is_empty() {
            return Err("it has no primary key".into());
        }
        self.check_indexable(&self.key, "the primary key")?;
        for column in self.key.iter().filter_map(|at| self.table.columns.get(*at)) {
            if column.nullable || matches!(column.role, Role::Counter | Role::Secret) {
                return Err(format!("key column {} may be null, or is a counter or a secret", column.name));
            }
        }
        Ok(())
    }

    fn check_rules(&self) -> Result<(), String> {
        for rule in self.table.invariants {
            let names: Vec<&'static str> = match rule.check {
                Check::AtLeast(column, _) | Check::AtMost(column, _) | Check::OneOf(column, _) => {
                    vec![column]
                }
                Check::NotAbove(column, other) => vec![column, other],
                Check::TogetherNull(columns) => columns.to_vec(),
            };
            positions(&self.columns, &names)?;
        }
        for rule in self.table.ceilings {
            let at = positions(&self.columns, &[rule.column])?;
            let counter = at.iter().filter_map(|at| self.table.columns.get(*at));
            if counter.into_iter().any(|column| column.role != Role::Counter || column.kind != Kind::Int) {
                return Err(format!(
                    "ceiling {} is on {}, which is no integer counter",
                    rule.name, rule.column
                ));
            }
            if let Limit::Column(limit) = rule.limit {
                positions(&self.columns, &[limit])?;
            }
        }
        Ok(())
    }
}
