//! The tables that the cases write to: between them every kind, role, key, reference and rule.

use crate::store::{Ceiling, Column, Fixed, Index, Invariant, Reference, Table, Unique};

/// Every kind of column and every role.
pub(super) static THINGS: Table = Table::new(
    "things",
    &[
        Column::uuid("id"),
        Column::text("name", 64),
        Column::bool("flag").nullable(),
        Column::int("number").nullable(),
        Column::uuid("other").nullable(),
        Column::time("moment").nullable(),
        Column::text("note", 256).nullable(),
        Column::json("document", 4096).nullable(),
        Column::text("secret", 64).nullable().secret(),
        Column::text("origin", 16).immutable().default(Fixed::Text("here")),
        Column::int("grade").default(Fixed::Int(7)),
        Column::bool("open").default(Fixed::Bool(true)),
        Column::text("hint", 16).nullable().default(Fixed::Null),
        Column::int("uses").counter().default(Fixed::Int(0)),
        Column::int("score").nullable().counter(),
        Column::time("seen").nullable().counter(),
        Column::text("phase", 16).nullable().counter(),
        Column::uuid("holder").nullable().counter(),
    ],
    &["id"],
)
.indexes(&[
    Index::new("things_by_number", &["number"]),
    Index::new("things_by_note", &["note", "number"]),
    Index::new("things_by_kinds", &["flag", "moment", "other"]),
    Index::new("things_by_uses", &["uses"]),
]);

/// Unique keys: of one column, of several, with columns that may be null, and on a counter.
pub(super) static SEATS: Table = Table::new(
    "seats",
    &[
        Column::uuid("id"),
        Column::text("badge", 32).nullable(),
        Column::text("room", 32).nullable(),
        Column::int("place").nullable(),
        Column::int("turn").nullable().counter(),
    ],
    &["id"],
)
.uniques(&[
    Unique::new("seats_badge", &["badge"]),
    Unique::new("seats_place", &["room", "place"]),
    Unique::new("seats_turn", &["turn"]),
]);

/// A parent with a key of two columns.
pub(super) static RACKS: Table = Table::new(
    "racks",
    &[Column::text("hall", 16), Column::int("number"), Column::text("label", 32).nullable()],
    &["hall", "number"],
);

/// References: of two columns, to the same table, and one that may be null beside.
pub(super) static CRATES: Table = Table::new(
    "crates",
    &[
        Column::uuid("id"),
        Column::text("hall", 16).nullable(),
        Column::int("number").nullable(),
        Column::uuid("inside").nullable(),
        Column::uuid("thing").nullable(),
    ],
    &["id"],
)
.references(&[
    Reference::new("crates_rack", &["hall", "number"], "racks"),
    Reference::new("crates_inside", &["inside"], "crates"),
    Reference::new("crates_thing", &["thing"], "things"),
]);

/// Every kind of invariant, and ceilings on a column and on a constant.
pub(super) static BUDGETS: Table = Table::new(
    "budgets",
    &[
        Column::uuid("id"),
        Column::int("gpus").counter().default(Fixed::Int(0)),
        Column::int("gpu_limit").nullable(),
        Column::int("share_milli").nullable().counter().default(Fixed::Int(0)),
        Column::int("level").nullable(),
        Column::int("least").nullable(),
        Column::int("most").nullable(),
        Column::time("starts").nullable(),
        Column::time("ends").nullable(),
        Column::text("state", 16).nullable(),
        Column::uuid("holder").nullable(),
        Column::time("held_since").nullable(),
    ],
    &["id"],
)
.invariants(&[
    Invariant::at_least("budgets_gpus_not_negative", "gpus", 0),
    Invariant::at_most("budgets_level_most", "level", 10),
    Invariant::not_above("budgets_least_most", "least", "most"),
    Invariant::not_above("budgets_starts_ends", "starts", "ends"),
    Invariant::one_of("budgets_state_known", "state", &["open", "shut"]),
    Invariant::together_null("budgets_held_whole", &["holder", "held_since"]),
])
.ceilings(&[
    Ceiling::column("budgets_gpu_limit", "gpus", "gpu_limit"),
    Ceiling::value("budgets_share_whole", "share_milli", 1000),
]);

/// A table whose changes stay out of the feed.
pub(super) static BEATS: Table = Table::new(
    "beats",
    &[
        Column::uuid("id"),
        Column::int("count").counter().default(Fixed::Int(0)),
        Column::text("note", 32).nullable(),
    ],
    &["id"],
)
.quiet();

/// What is shared out in the races: a live slot has one owner, and a GPU a thousand thousandths.
pub(super) static SLOTS: Table = Table::new(
    "slots",
    &[
        Column::uuid("id"),
        Column::text("node", 32),
        Column::int("gpu").nullable(),
        Column::int("port").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("slots_gpu", &["node", "gpu"]), Unique::new("slots_port", &["node", "port"])]);

/// Every kind of rule on one table, two of each, for the order in which they are judged.
pub(super) static BERTHS: Table = Table::new(
    "berths",
    &[
        Column::uuid("id"),
        Column::text("badge", 32).nullable(),
        Column::int("tag").nullable(),
        Column::uuid("thing").nullable(),
        Column::uuid("beside").nullable(),
        Column::int("level").nullable(),
        Column::int("depth").nullable(),
        Column::int("load").counter().default(Fixed::Int(0)),
        Column::int("heat").counter().default(Fixed::Int(0)),
    ],
    &["id"],
)
.uniques(&[Unique::new("berths_badge", &["badge"]), Unique::new("berths_tag", &["tag"])])
.references(&[
    Reference::new("berths_thing", &["thing"], "things"),
    Reference::new("berths_beside", &["beside"], "berths"),
])
.invariants(&[
    Invariant::at_most("berths_level_most", "level", 10),
    Invariant::at_most("berths_depth_most", "depth", 10),
])
.ceilings(&[Ceiling::value("berths_load_most", "load", 10), Ceiling::value("berths_heat_most", "heat", 10)]);

/// All of them, parents before children.
pub(super) static ALL: [&Table; 8] = [&THINGS, &SEATS, &RACKS, &CRATES, &BUDGETS, &BEATS, &SLOTS, &BERTHS];
