//! Tables as SQL: the full text of a table that uses everything, and the names that are refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ddl_fixture;

use apportion::store::{Column, Index, Invariant, Reference, Schema, Table, Unique};
use apportion_sql::{Names, check_names, create_table, kernel_tables};
use ddl_fixture::{both, recorded};

/// All statements as one text.
fn text(statements: &[String]) -> String {
    statements.join(";\n\n") + ";\n"
}

#[test]
fn a_declared_table_has_the_committed_text() {
    let schema = recorded();
    for (names, golden) in both()
        .into_iter()
        .zip([include_str!("golden/everything.postgres.sql"), include_str!("golden/everything.sqlite.sql")])
    {
        let tables = ["parents", "everything"].map(|name| schema.find(name).unwrap());
        let made: Vec<String> = tables.iter().flat_map(|info| create_table(&names, &schema, info)).collect();
        assert_eq!(text(&made), golden);
    }
}

#[test]
fn the_stores_own_tables_have_the_committed_text() {
    for (names, golden) in both()
        .into_iter()
        .zip([include_str!("golden/kernel.postgres.sql"), include_str!("golden/kernel.sqlite.sql")])
    {
        assert_eq!(text(&kernel_tables(&names)), golden);
    }
}

static LONG: Table = Table::new("longs", &[Column::uuid("id"), Column::int("a")], &["id"])
    .indexes(&[Index::new("a_name_that_is_a_byte_longer_than_the_sixty_three_that_are_kept_", &["a"])]);
static FITS: Table = Table::new("fits", &[Column::uuid("id"), Column::int("a")], &["id"])
    .indexes(&[Index::new("a_name_that_is_just_as_long_as_the_sixty_three_bytes_it_may_hav", &["a"])]);
static LONG_TABLE: Table = Table::new(
    "a_table_whose_primary_key_would_get_an_index_with_a_cut_name",
    &[Column::uuid("id")],
    &["id"],
);
static REVISION: Table = Table::new("revised", &[Column::uuid("id"), Column::int("revision")], &["id"]);
static VERSION: Table = Table::new("versioned", &[Column::uuid("id"), Column::int("version")], &["id"]);
static QUOTED: Table = Table::new("quoted", &[Column::uuid("id"), Column::int("a\"b")], &["id"]);
static KERNEL: Table = Table::new("kernel_panics", &[Column::uuid("id")], &["id"]);
static ONE: Table = Table::new("ones", &[Column::uuid("id"), Column::int("a")], &["id"])
    .indexes(&[Index::new("by_a", &["a"])]);
static OTHER: Table = Table::new("others", &[Column::uuid("id"), Column::int("a")], &["id"])
    .uniques(&[Unique::new("by_a", &["a"])]);
static AS_TABLE: Table = Table::new("as_tables", &[Column::uuid("id"), Column::int("a")], &["id"])
    .indexes(&[Index::new("ones", &["a"])]);
static AS_KEY: Table = Table::new("as_keys", &[Column::uuid("id"), Column::int("a")], &["id"])
    .indexes(&[Index::new("as_keys_pkey", &["a"])]);
static TWICE: Table = Table::new("twice", &[Column::uuid("id"), Column::uuid("other").nullable()], &["id"])
    .references(&[Reference::new("twice_other", &["other"], "twice")])
    .invariants(&[Invariant::together_null("twice_other", &["id", "other"])]);

#[test]
fn names_that_a_database_would_cut_or_mistake_are_refused() {
    let cases: [(&[&'static Table], &str); 10] = [
        (&[&LONG], "is 64 bytes long, and a database keeps 63"),
        (&[&LONG_TABLE], "_pkey is 65 bytes long"),
        (&[&REVISION], "table revised: column revision is declared, and every row has one already"),
        (&[&VERSION], "column version is declared"),
        (&[&QUOTED], "is not made of lower-case letters, digits and underscores"),
        (&[&KERNEL], "begins with kernel_"),
        (&[&ONE, &OTHER], "table others: two tables or indexes would be called by_a"),
        (&[&ONE, &AS_TABLE], "two tables or indexes would be called ones"),
        (&[&AS_KEY], "two tables or indexes would be called as_keys_pkey"),
        (&[&TWICE], "two references or invariants are called twice_other"),
    ];
    for names in both() {
        for (tables, says) in cases {
            let schema = Schema::new(tables).unwrap();
            let problem = check_names(&names, &schema).unwrap_err();
            assert!(problem.contains(says), "{problem}");
        }
        assert_eq!(check_names(&names, &Schema::new(&[&FITS, &ONE]).unwrap()), Ok(()));
        assert_eq!(check_names(&names, &Schema::new(apportion::entity::TABLES).unwrap()), Ok(()));
    }
    let taken = Names::sqlite("sqlite_own_").unwrap();
    assert!(check_names(&taken, &recorded()).unwrap_err().contains("which SQLite keeps for itself"));
}
