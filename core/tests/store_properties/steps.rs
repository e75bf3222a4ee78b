//! What a random life is made of: two tables of numbers, and the writes to them.

use apportion::store::{Ceiling, Change, Column, Fixed, Invariant, Is, Reference, Table, Unique, Value};

pub(crate) static PARENTS: Table = Table::new(
    "parents",
    &[
        Column::int("id"),
        Column::int("tag").nullable(),
        Column::int("cap").nullable(),
        Column::int("level").nullable(),
        Column::int("used").counter().default(Fixed::Int(0)),
    ],
    &["id"],
)
.uniques(&[Unique::new("parents_tag", &["tag"])])
.invariants(&[
    Invariant::at_least("parents_used_least", "used", 0),
    Invariant::at_most("parents_level_most", "level", 2),
])
.ceilings(&[Ceiling::column("parents_used_cap", "used", "cap")]);

pub(crate) static CHILDREN: Table = Table::new(
    "children",
    &[
        Column::int("id"),
        Column::int("parent").nullable(),
        Column::int("peer").nullable(),
        Column::int("slot").nullable(),
        Column::int("turn").nullable().counter(),
    ],
    &["id"],
)
.uniques(&[Unique::new("children_slot", &["parent", "slot"]), Unique::new("children_turn", &["turn"])])
.references(&[
    Reference::new("children_parent", &["parent"], "parents"),
    Reference::new("children_peer", &["peer"], "children"),
])
.invariants(&[Invariant::not_above("children_slot_turn", "slot", "turn")]);

pub(crate) type Numbers = [Option<i64>; 4];

/// The kinds of row, in the order of their tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Parent,
    Child,
}

impl Kind {
    pub(crate) fn table(self) -> &'static Table {
        match self {
            Self::Parent => &PARENTS,
            Self::Child => &CHILDREN,
        }
    }

    pub(crate) fn column(self, at: usize) -> &'static str {
        self.table().columns[at + 1].name
    }
}

/// One write. Revisions are given as what they differ from the right one.
#[derive(Clone, Debug)]
#[expect(clippy::option_option, reason = "a column is left alone, or set to null, or to a number")]
pub(crate) enum Step {
    Insert(Numbers),
    Ensure(Numbers),
    Update(i64, [Option<Option<i64>>; 3]),
    Delete(i64),
    Guard(i64),
    Adjust(i64, bool),
    Patch(Option<(usize, Is)>, Change),
}

pub(crate) type Steps = Vec<(Kind, i64, Step)>;

/// A key may be written once, and then adjusted; a counter that may not be null is not set to it.
pub(crate) fn malformed(steps: &Steps) -> bool {
    let mut seen: Vec<(Kind, i64)> = Vec::new();
    let mut adjusted: Vec<(Kind, i64)> = Vec::new();
    for (kind, id, step) in steps {
        let at = (*kind, *id);
        if matches!(step, Step::Adjust(..)) {
            adjusted.push(at);
        } else if seen.contains(&at) || adjusted.contains(&at) {
            return true;
        } else {
            seen.push(at);
        }
    }
    steps.iter().any(|(kind, _, step)| match step {
        Step::Insert(numbers) | Step::Ensure(numbers) => *kind == Kind::Parent && numbers[3].is_none(),
        Step::Patch(_, Change::Set(value)) => *kind == Kind::Parent && *value == Value::Null,
        _ => false,
    })
}
