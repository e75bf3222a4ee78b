//! Two tables that use everything that a declaration can say, and a quiet one.

use apportion::store::{Ceiling, Column, Fixed, Index, Invariant, Reference, Table, Unique};

/// Owners with a counter under a ceiling.
pub static OWNERS: Table = Table::new(
    "owners",
    &[
        Column::int("id"),
        Column::text("name", 8).nullable(),
        Column::int("used").counter().default(Fixed::Int(0)),
        Column::int("cap").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("owners_name", &["name"])])
.invariants(&[Invariant::at_least("owners_used_not_negative", "used", 0)])
.ceilings(&[Ceiling::column("owners_cap", "used", "cap")]);

/// Items of owners, and of other items.
pub static ITEMS: Table = Table::new(
    "items",
    &[
        Column::int("id"),
        Column::int("owner_id").nullable(),
        Column::int("parent_id").nullable(),
        Column::text("tag", 8).nullable(),
        Column::int("slot").nullable(),
        Column::int("count").counter().default(Fixed::Int(0)),
        Column::text("secret", 8).nullable().secret(),
    ],
    &["id"],
)
.uniques(&[Unique::new("items_owner_tag", &["owner_id", "tag"])])
.indexes(&[Index::new("items_by_slot", &["slot"])])
.references(&[
    Reference::new("items_owner", &["owner_id"], "owners"),
    Reference::new("items_parent", &["parent_id"], "items"),
])
.invariants(&[Invariant::at_most("items_count_small", "count", 9)]);

/// Signs of life, which stay out of the feed.
pub static PULSES: Table = Table::new(
    "pulses",
    &[Column::int("owner_id"), Column::int("seen").counter().default(Fixed::Int(0))],
    &["owner_id"],
)
.references(&[Reference::new("pulses_owner", &["owner_id"], "owners")])
.quiet();

/// All of them.
pub static TABLES: [&Table; 3] = [&OWNERS, &ITEMS, &PULSES];
