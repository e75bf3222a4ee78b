//! A table that uses everything that can be declared.
#![expect(unreachable_pub, reason = "a module of test programs")]
#![allow(dead_code, reason = "not every program uses all of it")]

use apportion::store::{Ceiling, Column, Fixed, Index, Invariant, Reference, Schema, Table, Unique};
use apportion_sql::Names;

pub static PARENTS: Table = Table::new(
    "parents",
    &[Column::text("hall", 16), Column::int("number"), Column::bool("open").default(Fixed::Bool(true))],
    &["hall", "number"],
);

pub static EVERYTHING: Table = Table::new(
    "everything",
    &[
        Column::text("realm", 16),
        Column::uuid("id"),
        Column::bool("flag").nullable(),
        Column::int("count").counter().default(Fixed::Int(-1)),
        Column::int("count_limit").nullable(),
        Column::time("starts"),
        Column::time("ends").nullable(),
        Column::text("state", 16).default(Fixed::Text("it's open")),
        Column::text("hint", 16).nullable().default(Fixed::Null),
        Column::json("document", 4096).nullable(),
        Column::text("hall", 16).nullable(),
        Column::int("number").nullable(),
        Column::text("above_realm", 16).nullable(),
        Column::uuid("above").nullable(),
        Column::bool("shut").default(Fixed::Bool(false)),
    ],
    &["realm", "id"],
)
.uniques(&[Unique::new("everything_state", &["state"]), Unique::new("everything_place", &["hall", "count"])])
.indexes(&[
    Index::new("everything_starts", &["starts"]),
    Index::new("everything_id", &["id", "flag"]),
    Index::new("everything_id_realm", &["id", "realm"]),
    Index::new("everything_realm", &["realm"]),
])
.references(&[
    Reference::new("everything_parent", &["hall", "number"], "parents"),
    Reference::new("everything_above", &["above_realm", "above"], "everything"),
])
.invariants(&[
    Invariant::at_least("everything_count_least", "count", -1),
    Invariant::at_most("everything_count_most", "count", 10),
    Invariant::at_least("everything_starts_least", "starts", 0),
    Invariant::at_most("everything_starts_most", "starts", 253_402_300_799_999_999),
    Invariant::not_above("everything_count_limited", "count", "count_limit"),
    Invariant::not_above("everything_starts_ends", "starts", "ends"),
    Invariant::one_of("everything_state_known", "state", &["it's open", "shut"]),
    Invariant::one_of("everything_hint_none", "hint", &[]),
    Invariant::together_null("everything_above_whole", &["above_realm", "above"]),
    Invariant::together_null("everything_limited_whole", &["hall", "number", "count_limit"]),
    // What no row can break, and what compares a number with a time, is left to the store.
    Invariant::at_least("everything_text_least", "state", 0),
    Invariant::together_null("everything_alone", &["hint"]),
    Invariant::not_above("everything_mixed", "count", "starts"),
])
.ceilings(&[Ceiling::column("everything_count_ceiling", "count", "count_limit")]);

pub fn both() -> [Names; 2] {
    [Names::postgres("apportion").unwrap(), Names::sqlite("apportion_").unwrap()]
}

pub static PLANTS: Table =
    Table::new("plants", &[Column::uuid("id"), Column::text("name", 16), Column::int("age")], &["id"])
        .uniques(&[Unique::new("plants_name", &["name"])]);

/// What the recorded catalogues hold.
pub fn recorded() -> Schema {
    Schema::new(&[&PARENTS, &EVERYTHING, &PLANTS]).unwrap()
}
