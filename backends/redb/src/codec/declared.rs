//! The declaration of a table as it was when the file was last opened: what a later declaration is compared with.

use apportion::store::{Kind, TableInfo, Value};

use super::{Malformed, Reader, VERSION, put_len, put_text, put_u64, put_value};

/// A table's declaration, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredTable {
    pub(crate) columns: Vec<DeclaredColumn>,
    pub(crate) key: Vec<u64>,
    pub(crate) orders: Vec<DeclaredOrder>,
    pub(crate) references: Vec<DeclaredReference>,
}

/// A column's declaration, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredColumn {
    pub(crate) name: String,
    pub(crate) kind: u8,
    pub(crate) nullable: bool,
    /// What rows hold that were written before the column existed; none where there are no such rows.
    pub(crate) pad: Option<Value>,
}

/// The declaration of a unique key, an index, or a reference's order, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredOrder {
    pub(crate) name: String,
    pub(crate) columns: Vec<u64>,
    pub(crate) unique: bool,
}

/// A reference's declaration, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredReference {
    pub(crate) name: String,
    pub(crate) columns: Vec<u64>,
    pub(crate) parent: String,
}

impl DeclaredTable {
    /// What is to be stored of a table's declaration, with no row written before any of its columns existed.
    pub(crate) fn of(info: &TableInfo, parent: impl Fn(usize) -> String) -> Self {
        let columns = info.table.columns.iter().map(|column| DeclaredColumn {
            name: column.name.to_owned(),
            kind: kind_tag(column.kind),
            nullable: column.nullable,
            pad: None,
        });
        let orders = info.orders.iter().map(|order| DeclaredOrder {
            name: order.name.to_owned(),
            columns: numbers(&order.columns),
            unique: order.unique,
        });
        let references = info.references.iter().map(|reference| DeclaredReference {
            name: reference.name.to_owned(),
            columns: numbers(&reference.columns),
            parent: parent(reference.parent.index()),
        });
        Self {
            columns: columns.collect(),
            key: numbers(&info.key),
            orders: orders.collect(),
            references: references.collect(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_len(&mut out, self.columns.len());
        for column in &self.columns {
            put_text(&mut out, &column.name);
            out.push(column.kind);
            out.push(u8::from(column.nullable));
            out.push(u8::from(column.pad.is_some()));
            if let Some(pad) = &column.pad {
                put_value(&mut out, pad);
            }
        }
        put_numbers(&mut out, &self.key);
        put_len(&mut out, self.orders.len());
        for order in &self.orders {
            put_text(&mut out, &order.name);
            put_numbers(&mut out, &order.columns);
            out.push(u8::from(order.unique));
        }
        put_len(&mut out, self.references.len());
        for reference in &self.references {
            put_text(&mut out, &reference.name);
            put_numbers(&mut out, &reference.columns);
            put_text(&mut out, &reference.parent);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::versioned(bytes)?;
        let mut columns = Vec::new();
        for _ in 0..reader.count()? {
            columns.push(DeclaredColumn {
                name: reader.text()?.to_owned(),
                kind: reader.byte()?,
                nullable: reader.flag()?,
                pad: if reader.flag()? { Some(reader.value()?) } else { None },
            });
        }
        let key = numbers_of(&mut reader)?;
        let mut orders = Vec::new();
        for _ in 0..reader.count()? {
            orders.push(DeclaredOrder {
                name: reader.text()?.to_owned(),
                columns: numbers_of(&mut reader)?,
                unique: reader.flag()?,
            });
        }
        let mut references = Vec::new();
        for _ in 0..reader.count()? {
            references.push(DeclaredReference {
                name: reader.text()?.to_owned(),
                columns: numbers_of(&mut reader)?,
                parent: reader.text()?.to_owned(),
            });
        }
        reader.end()?;
        Ok(Self { columns, key, orders, references })
    }
}

/// The stored name of a type. The longest text is not part of it: it may be raised.
fn kind_tag(kind: Kind) -> u8 {
    match kind {
        Kind::Bool => 1,
        Kind::Int => 2,
        Kind::Uuid => 3,
        Kind::Time => 4,
        Kind::Text { .. } => 5,
        Kind::Json { .. } => 6,
        // A type that this build does not know fits no stored one.
        _ => 0,
    }
}

fn numbers(positions: &[usize]) -> Vec<u64> {
    positions.iter().map(|at| u64::try_from(*at).unwrap_or(u64::MAX)).collect()
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    put_len(out, numbers.len());
    for number in numbers {
        put_u64(out, *number);
    }
}

fn numbers_of(reader: &mut Reader<'_>) -> Result<Vec<u64>, Malformed> {
    let count = reader.count()?;
    (0..count).map(|_| reader.u64()).collect()
}
