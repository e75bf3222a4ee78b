//! Catalogues against declarations. `golden/catalogue.*.tsv` is what PostgreSQL 15 and SQLite 3.40 answered to
//! `catalogue`, after `migrations_sql` of `ddl_fixture::recorded` had been run on an empty database.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod ddl_fixture;

use apportion::store::{Column, Fixed, Index, Invariant, Reference, Schema, Table, Unique, Value};
use apportion_sql::{
    Dialect, Fetched, LiveForeignKey, LiveTable, Names, compare, growth, live_tables, surplus,
};
use ddl_fixture::{EVERYTHING, PARENTS, PLANTS, both, recorded};

/// The tables of the recorded answer.
fn live(names: &Names) -> Vec<LiveTable> {
    let text = match names.dialect() {
        Dialect::Postgres => include_str!("golden/catalogue.postgres.tsv"),
        Dialect::Sqlite => include_str!("golden/catalogue.sqlite.tsv"),
    };
    let rows: Vec<Fetched> = text.lines().map(fetched).collect();
    live_tables(names, &rows).unwrap()
}

fn fetched(line: &str) -> Fetched {
    let cells: Vec<String> = line.split('\t').map(|cell| cell.replace("\\n", "\n")).collect();
    let [branch, table, group, place, column, detail, other, flag, other_flag] = cells.as_slice() else {
        panic!("nine cells a line");
    };
    let text = |cell: &String| Value::from(cell.as_str());
    let is_set = |cell: &String| Value::Bool(matches!(cell.as_str(), "t" | "1"));
    let place: i64 = place.parse().unwrap();
    let values = vec![
        text(table),
        text(group),
        Value::Int(place),
        text(column),
        text(detail),
        text(other),
        is_set(flag),
        is_set(other_flag),
    ];
    Fetched { branch: branch.parse().unwrap(), values, bytes: Vec::new() }
}

fn table<'l>(live: &'l mut [LiveTable], name: &str) -> &'l mut LiveTable {
    live.iter_mut().find(|table| table.name == name).unwrap()
}

#[test]
fn a_database_that_was_made_from_the_declarations_does_not_differ_from_them() {
    for names in both() {
        assert_eq!(compare(&names, &recorded(), &live(&names)), []);
        assert_eq!(surplus(&names, &recorded(), &live(&names)), []);
        assert_eq!(growth(&names, &recorded(), &live(&names)), Ok(Vec::new()));
    }
}

#[test]
fn a_row_of_another_shape_is_an_error() {
    let [names, _] = both();
    let short = Fetched { branch: 0, values: vec![Value::Null], bytes: Vec::new() };
    assert_eq!(live_tables(&names, &[short]).unwrap_err().code(), "corrupt");
}

fn to_parents(table: &mut LiveTable) -> &mut LiveForeignKey {
    table.foreign_keys.iter_mut().find(|key| key.parent == "parents").unwrap()
}

/// A change by somebody's hand, and what is said of it.
type Change = (&'static str, fn(&mut LiveTable), &'static str);

#[test]
fn every_difference_is_told() {
    let cases: [Change; 15] = [
        (
            "everything",
            |table| to_parents(table).parent_columns.reverse(),
            "foreign key everything_parent of everything has other columns, or lets rows be deleted that are named",
        ),
        ("plants", |table| table.primary_key = vec!["name".into()], "the primary key of plants is name"),
        ("plants", |table| drop(table.columns.remove(1)), "column name of plants is missing"),
        ("plants", |table| drop(table.columns.pop()), "column version of plants is missing"),
        (
            "plants",
            |table| table.columns[1].nullable = true,
            "column name of plants may hold nulls and is declared not to",
        ),
        (
            "everything",
            |table| table.columns[2].nullable = false,
            "column flag of everything may not hold nulls and is declared to",
        ),
        ("plants", |table| table.indexes.clear(), "index plants_name of plants is missing"),
        (
            "plants",
            |table| table.indexes[0].unique = false,
            "index plants_name of plants has other columns, or differs in being unique",
        ),
        (
            "plants",
            |table| table.indexes[0].columns.push("id".into()),
            "index plants_name of plants has other columns, or differs in being unique",
        ),
        (
            "everything",
            |table| table.foreign_keys.retain(|key| key.parent != "parents"),
            "foreign key everything_parent of everything is missing",
        ),
        (
            "everything",
            |table| to_parents(table).restricts = false,
            "foreign key everything_parent of everything has other columns, or lets rows be deleted that are named",
        ),
        (
            "everything",
            |table| to_parents(table).parent = "plants".into(),
            "foreign key everything_parent of everything has other columns, or lets rows be deleted that are named",
        ),
        (
            "everything",
            |table| table.checks.retain(|name| name != "everything_count_most"),
            "check everything_count_most of everything is missing",
        ),
        ("kernel_head", |table| table.checks.clear(), "check kernel_head_one of kernel_head is missing"),
        (
            "kernel_feed",
            |table| table.columns[0].type_name = "real".into(),
            "column batch of kernel_feed is real and declared as",
        ),
    ];
    for names in both() {
        for (name, change, says) in cases {
            let mut live = live(&names);
            change(table(&mut live, name));
            let told: Vec<String> =
                compare(&names, &recorded(), &live).iter().map(ToString::to_string).collect();
            assert!(told.len() == 1 && told[0].starts_with(says), "{told:?}");
        }
        let mut live = live(&names);
        live.retain(|table| table.name != "kernel_meta");
        assert_eq!(compare(&names, &recorded(), &live)[0].to_string(), "table kernel_meta is missing");
    }
}

#[test]
fn texts_in_another_order_are_another_type() {
    let [names, _] = both();
    let mut live = live(&names);
    let columns = &mut table(&mut live, "plants").columns;
    columns[1].type_name = "text COLLATE \"default\"".into();
    let told = compare(&names, &recorded(), &live);
    assert_eq!(
        told[0].to_string(),
        "column name of plants is text COLLATE \"default\" and declared as text COLLATE \"C\""
    );
    table(&mut live, "plants").columns[1].type_name = "text COLLATE \"POSIX\"".into();
    assert_eq!(compare(&names, &recorded(), &live), []);
}

#[test]
fn what_a_later_build_added_hinders_nobody_but_a_column_that_needs_a_value() {
    let older = Schema::new(&[&PARENTS, &EVERYTHING]).unwrap();
    for names in both() {
        let mut live = live(&names);
        assert_eq!(compare(&names, &older, &live), []);
        let mut new = table(&mut live, "parents").columns[2].clone();
        new.name = "later".into();
        let everything = table(&mut live, "everything");
        everything.columns.push(new.clone());
        everything.indexes[0].name = "later_index".into();
        everything.foreign_keys[0].columns = vec!["later".into()];
        everything.foreign_keys[0].name =
            everything.foreign_keys[0].name.is_some().then(|| "later_key".into());
        everything.checks.push("later_check".into());
        assert_eq!(compare(&names, &older, &live).len(), 2);
        let told: Vec<String> = surplus(&names, &older, &live).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "column later of everything is not declared",
                "index later_index of everything is not declared",
                "the foreign key on later of everything is not declared",
                "check later_check of everything is not declared",
                "table plants is not declared",
            ]
        );
        new.has_default = false;
        let plants = table(&mut live, "plants");
        plants.columns.push(new);
        let told: Vec<String> = compare(&names, &recorded(), &live).iter().map(ToString::to_string).collect();
        assert!(
            told.contains(&"column later of plants is not declared, and needs a value".to_owned()),
            "{told:?}"
        );
    }
}

static POTS: Table = Table::new("pots", &[Column::uuid("id")], &["id"]);

/// `PLANTS` as a later build declares them.
static GROWN: Table = Table::new(
    "plants",
    &[
        Column::uuid("id"),
        Column::text("name", 16),
        Column::int("age"),
        Column::int("height").counter().default(Fixed::Int(0)),
        Column::uuid("pot").nullable(),
        Column::text("note", 16).nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("plants_name", &["name"]), Unique::new("plants_note", &["note"])])
.indexes(&[Index::new("plants_height", &["height"])])
.references(&[
    Reference::new("plants_pot", &["pot"], "pots"),
    Reference::new("plants_beside", &["pot"], "plants"),
])
.invariants(&[
    Invariant::at_least("plants_height_least", "height", 0),
    Invariant::together_null("plants_noted_whole", &["note", "pot"]),
    Invariant::not_above("plants_height_age", "height", "age"),
]);

#[test]
fn what_was_declared_since_is_added() {
    let grown = Schema::new(&[&PARENTS, &EVERYTHING, &POTS, &GROWN]).unwrap();
    for (names, golden) in both()
        .into_iter()
        .zip([include_str!("golden/growth.postgres.sql"), include_str!("golden/growth.sqlite.sql")])
    {
        let statements = growth(&names, &grown, &live(&names)).unwrap();
        assert_eq!(statements.join(";\n\n") + ";\n", golden);
    }
}

/// What the text of a refused growth says.
fn refused(names: &Names, tables: &[&'static Table]) -> Vec<String> {
    let schema = Schema::new(tables).unwrap();
    growth(names, &schema, &live(names)).unwrap_err().iter().map(ToString::to_string).collect()
}

static NEEDS_VALUE: Table = Table::new(
    "plants",
    &[Column::uuid("id"), Column::text("name", 16), Column::int("age"), Column::int("height")],
    &["id"],
);
static BETWEEN: Table = Table::new(
    "plants",
    &[Column::uuid("id"), Column::int("height").nullable(), Column::text("name", 16), Column::int("age")],
    &["id"],
);
static RETYPED: Table =
    Table::new("plants", &[Column::uuid("id"), Column::bool("name"), Column::int("age")], &["id"])
        .indexes(&[Index::new("plants_name", &["name"])]);
static REKEYED: Table = Table::new(
    "plants",
    &[Column::uuid("id"), Column::text("name", 16), Column::int("age")],
    &["id", "name"],
);
static RULED: Table = Table::new(
    "plants",
    &[Column::uuid("id"), Column::text("name", 16).nullable(), Column::int("age")],
    &["id"],
)
.references(&[Reference::new("plants_plant", &["id"], "plants")])
.invariants(&[Invariant::at_least("plants_age_least", "age", 0)]);

#[test]
fn what_would_change_the_meaning_of_rows_is_refused() {
    for names in both() {
        assert_eq!(refused(&names, &[&NEEDS_VALUE]), ["column height of plants is missing"]);
        assert_eq!(refused(&names, &[&BETWEEN]), ["column height of plants is missing"]);
        assert_eq!(refused(&names, &[&REKEYED]), ["the primary key of plants is id"]);
        let told = refused(&names, &[&RETYPED]);
        assert!(
            told[0].starts_with("column name of plants is") && told[1].starts_with("index plants_name"),
            "{told:?}"
        );
    }
}

static SHELVES: Table = Table::new("shelves", &[Column::text("name", 16)], &["name"]);
static SHELVED: Table = Table::new(
    "plants",
    &[
        Column::uuid("id"),
        Column::text("name", 16),
        Column::int("age"),
        Column::text("shelf", 16).default(Fixed::Text("low")),
    ],
    &["id"],
)
.references(&[Reference::new("plants_shelf", &["shelf"], "shelves")]);

#[test]
fn sqlite_takes_no_reference_that_rows_would_have_at_once() {
    let [postgres, sqlite] = both();
    assert_eq!(refused(&sqlite, &[&SHELVES, &SHELVED]), ["foreign key plants_shelf of plants is missing"]);
    let schema = Schema::new(&[&SHELVES, &SHELVED]).unwrap();
    assert!(growth(&postgres, &schema, &live(&postgres)).is_ok());
}

#[test]
fn sqlite_takes_rules_and_references_with_new_columns_only() {
    let [postgres, sqlite] = both();
    assert_eq!(
        refused(&sqlite, &[&RULED]),
        [
            "column name of plants may not hold nulls and is declared to",
            "foreign key plants_plant of plants is missing",
            "check plants_age_least of plants is missing",
        ]
    );
    let statements = growth(&postgres, &Schema::new(&[&RULED]).unwrap(), &live(&postgres)).unwrap();
    let table = "ALTER TABLE \"apportion\".\"plants\"";
    assert_eq!(
        statements,
        [
            format!("{table} ALTER COLUMN \"name\" DROP NOT NULL"),
            format!(
                "{table} ADD CONSTRAINT \"plants_plant\" FOREIGN KEY (\"id\") \
                 REFERENCES \"apportion\".\"plants\" (\"id\") ON DELETE NO ACTION"
            ),
            format!("{table} ADD CONSTRAINT \"plants_age_least\" CHECK (\"age\" >= 0)"),
        ]
    );
}

#[test]
fn a_table_that_a_migration_made_and_that_is_gone_is_not_made_again() {
    for names in both() {
        let mut live = live(&names);
        live.retain(|table| !matches!(&*table.name, "feed_consumers" | "plants" | "kernel_feed"));
        let told = growth(&names, &Schema::new(&[&PLANTS]).unwrap(), &live).unwrap_err();
        let told: Vec<String> = told.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["table kernel_feed is missing", "table feed_consumers is missing"]);
    }
}
