//! What a table is made of in a database: [`Shape`].

use apportion::store::{Check, Fixed, Kind, Schema, TableInfo};
use apportion::time::Timestamp;

use crate::names::Dialect;

/// A table as a database is told to make it: declared, or one of the store's own.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The name, without schema and prefix.
    pub(crate) name: &'static str,
    /// The columns; those of a declared table end with `revision` and `version`.
    pub(crate) columns: Vec<ShapeColumn>,
    pub(crate) key: Vec<&'static str>,
    pub(crate) indexes: Vec<ShapeIndex>,
    pub(crate) references: Vec<ShapeReference>,
    /// The CHECKs with their names.
    pub(crate) rules: Vec<(&'static str, Rule)>,
    /// Whether it may be there before the migration that makes it.
    pub(crate) shared: bool,
}

#[derive(Debug)]
pub(crate) struct ShapeColumn {
    pub(crate) name: &'static str,
    pub(crate) kind: Type,
    pub(crate) nullable: bool,
    /// The literal.
    pub(crate) default: Option<String>,
}

#[derive(Debug)]
pub(crate) struct ShapeIndex {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) unique: bool,
}

#[derive(Debug)]
pub(crate) struct ShapeReference {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) parent: &'static str,
    pub(crate) parent_columns: Vec<&'static str>,
    pub(crate) to_itself: bool,
}

/// The type of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    Of(Kind),
    Bytes,
}

/// What a CHECK says. A null passes each of them, in SQL as in the declaration.
#[derive(Debug)]
pub(crate) enum Rule {
    AtLeast(&'static str, i64),
    AtMost(&'static str, i64),
    TimeAtLeast(&'static str, i64),
    TimeAtMost(&'static str, i64),
    NotAbove(&'static str, &'static str),
    OneOf(&'static str, &'static [&'static str]),
    TogetherNull(&'static [&'static str]),
    Is(&'static str, i64),
}

impl Shape {
    /// A declared table.
    pub(crate) fn of(dialect: Dialect, schema: &Schema, info: &TableInfo) -> Self {
        let mut columns: Vec<_> = info
            .table
            .columns
            .iter()
            .map(|column| ShapeColumn {
                name: column.name,
                kind: Type::Of(column.kind),
                nullable: column.nullable,
                default: column.default.and_then(|fixed| literal(dialect, fixed)),
            })
            .collect();
        for name in ["revision", "version"] {
            columns.push(ShapeColumn { name, kind: Type::Of(Kind::Int), nullable: false, default: None });
        }
        let rules = info.table.invariants.iter();
        Self {
            name: info.table.name,
            columns,
            key: named(info, &info.key),
            indexes: indexes(info),
            references: references(schema, info),
            rules: rules.filter_map(|rule| Some((rule.name, Rule::of(info, rule.check)?))).collect(),
            shared: false,
        }
    }

    pub(crate) fn column(&self, name: &str) -> Option<&ShapeColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(crate) fn is_nullable(&self, name: &str) -> bool {
        self.column(name).is_some_and(|column| column.nullable)
    }
}

fn named(info: &TableInfo, positions: &[usize]) -> Vec<&'static str> {
    positions.iter().filter_map(|at| info.table.columns.get(*at)).map(|column| column.name).collect()
}

fn indexes(info: &TableInfo) -> Vec<ShapeIndex> {
    let index = |order: &apportion::store::OrderInfo| {
        let mut columns = named(info, &order.columns);
        // A scan is in the order of the columns, then of the primary key, and goes on behind any row of it. Rows of
        // a unique key differ before that, where no null is in it.
        if !order.unique {
            let behind: Vec<_> = info.table.key.iter().filter(|name| !columns.contains(name)).collect();
            columns.extend(behind);
        }
        ShapeIndex { name: order.name, columns, unique: order.unique }
    };
    let key = named(info, &info.key);
    // An order that is the primary key's, as that of a row's reference to what it belongs to, has its index already.
    info.orders.iter().map(index).filter(|index| index.unique || index.columns != key).collect()
}

fn references(schema: &Schema, info: &TableInfo) -> Vec<ShapeReference> {
    let reference = |reference: &apportion::store::ReferenceInfo| {
        let parent = schema.table(reference.parent);
        ShapeReference {
            name: reference.name,
            columns: named(info, &reference.columns),
            parent: parent.table.name,
            parent_columns: named(parent, &parent.key),
            to_itself: parent.id == info.id,
        }
    };
    info.references.iter().map(reference).collect()
}

fn literal(dialect: Dialect, fixed: Fixed) -> Option<String> {
    match (fixed, dialect) {
        (Fixed::Bool(value), Dialect::Postgres) => Some(value.to_string()),
        (Fixed::Bool(value), Dialect::Sqlite) => Some(i32::from(value).to_string()),
        (Fixed::Int(value), _) => Some(value.to_string()),
        (Fixed::Text(value), _) => Some(text_literal(value)),
        // Null is what a column holds that was left out, whether or not that is declared.
        _ => None,
    }
}

fn text_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Type {
    /// What it is called in CREATE TABLE.
    pub(crate) const fn sql(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Of(Kind::Time), Dialect::Postgres) => "timestamptz",
            _ => self.live(dialect),
        }
    }

    /// What the catalogue calls it.
    pub(crate) const fn live(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Of(Kind::Uuid), Dialect::Postgres) => "uuid",
            (Self::Of(Kind::Bool), Dialect::Postgres) => "boolean",
            (Self::Of(Kind::Int), Dialect::Postgres) => "bigint",
            (Self::Of(Kind::Time), Dialect::Postgres) => "timestamp with time zone",
            (Self::Of(Kind::Json { .. }), Dialect::Postgres) => "jsonb",
            (Self::Of(_), Dialect::Postgres) => "text COLLATE \"C\"",
            (Self::Bytes, Dialect::Postgres) => "bytea",
            (Self::Of(Kind::Bool | Kind::Int | Kind::Time), Dialect::Sqlite) => "INTEGER",
            (Self::Of(Kind::Uuid) | Self::Bytes, Dialect::Sqlite) => "BLOB",
            (Self::Of(_), Dialect::Sqlite) => "TEXT",
        }
    }

    /// What a CHECK adds where the database has no such type.
    pub(crate) fn check(self, dialect: Dialect, column: &str) -> Option<String> {
        match (self, dialect) {
            (Self::Of(Kind::Uuid), Dialect::Sqlite) => Some(format!("CHECK (length(\"{column}\") = 16)")),
            (Self::Of(Kind::Bool), Dialect::Sqlite) => Some(format!("CHECK (\"{column}\" IN (0, 1))")),
            (Self::Of(Kind::Json { .. }), Dialect::Sqlite) => {
                Some(format!("CHECK (json_valid(\"{column}\"))"))
            }
            _ => None,
        }
    }
}

impl Rule {
    /// What a database is told of an invariant. `None` where no row can break it (a text is never too large a
    /// number), and where it compares a number with a time, which only the store itself does.
    fn of(info: &TableInfo, check: Check) -> Option<Self> {
        let kind = |name: &str| Some(info.table.columns.get(info.column(name)?)?.kind);
        match check {
            Check::AtLeast(column, min) => match kind(column)? {
                Kind::Int => Some(Self::AtLeast(column, min)),
                Kind::Time => Some(Self::TimeAtLeast(column, min)),
                _ => None,
            },
            Check::AtMost(column, max) => match kind(column)? {
                Kind::Int => Some(Self::AtMost(column, max)),
                Kind::Time => Some(Self::TimeAtMost(column, max)),
                _ => None,
            },
            Check::NotAbove(column, other) => match (kind(column)?, kind(other)?) {
                (Kind::Int, Kind::Int) | (Kind::Time, Kind::Time) => Some(Self::NotAbove(column, other)),
                _ => None,
            },
            Check::OneOf(column, texts) => {
                matches!(kind(column)?, Kind::Text { .. }).then_some(Self::OneOf(column, texts))
            }
            Check::TogetherNull(columns) => (columns.len() > 1).then_some(Self::TogetherNull(columns)),
            _ => None,
        }
    }

    /// The columns that it is about.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        match self {
            Self::AtLeast(column, _)
            | Self::AtMost(column, _)
            | Self::TimeAtLeast(column, _)
            | Self::TimeAtMost(column, _)
            | Self::OneOf(column, _)
            | Self::Is(column, _) => vec![column],
            Self::NotAbove(column, other) => vec![column, other],
            Self::TogetherNull(columns) => columns.to_vec(),
        }
    }

    /// What stands inside the CHECK.
    pub(crate) fn sql(&self, dialect: Dialect) -> String {
        match self {
            Self::AtLeast(column, min) => format!("\"{column}\" >= {min}"),
            Self::AtMost(column, max) => format!("\"{column}\" <= {max}"),
            Self::TimeAtLeast(column, min) => format!("\"{column}\" >= {}", time_literal(dialect, *min)),
            Self::TimeAtMost(column, max) => format!("\"{column}\" <= {}", time_literal(dialect, *max)),
            Self::NotAbove(column, other) => format!("\"{column}\" <= \"{other}\""),
            // An empty list is no SQL. Nothing but null is one of no texts.
            Self::OneOf(column, []) => format!("\"{column}\" IS NULL"),
            Self::OneOf(column, texts) => {
                let texts: Vec<String> = texts.iter().map(|text| text_literal(text)).collect();
                format!("\"{column}\" IN ({})", texts.join(", "))
            }
            Self::TogetherNull(columns) => {
                let nulls: Vec<String> =
                    columns.iter().map(|column| format!("(\"{column}\" IS NULL)")).collect();
                let pairs = nulls.windows(2).map(|pair| pair.join(" = "));
                pairs.collect::<Vec<_>>().join(" AND ")
            }
            Self::Is(column, value) => format!("\"{column}\" = {value}"),
        }
    }
}

fn time_literal(dialect: Dialect, micros: i64) -> String {
    match dialect {
        Dialect::Postgres => format!("TIMESTAMPTZ '{}'", Timestamp::from_micros(micros)),
        Dialect::Sqlite => micros.to_string(),
    }
}
