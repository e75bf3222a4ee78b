//! The migrations: facts, and equal to the declarations.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use apportion::entity;
use apportion::store::{Column, OpenProblem, Schema, Table};
use apportion_sql::{
    Dialect, Migration, Names, WRITER, create_table, kernel_tables, migrations, migrations_sql, pending,
    to_be_made, wanted,
};

fn both() -> [Names; 2] {
    [Names::postgres("apportion").unwrap(), Names::sqlite("apportion_").unwrap()]
}

/// Statements without a difference in white space.
fn normal(statements: &[String]) -> Vec<String> {
    statements.iter().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn a_released_migration_is_never_edited() {
    let golden = include_str!("golden/checksums.txt");
    let mut text = String::new();
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        for migration in migrations(dialect) {
            writeln!(text, "{} {dialect:?} {}", migration.checksum(), migration.name).unwrap();
        }
    }
    // A new migration adds its lines; no line that is there ever changes.
    assert_eq!(text, golden);
}

/// The columns and constraints that statements give a table, one line each.
fn parts(statements: &[String]) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    for line in statements.iter().flat_map(|text| text.lines()) {
        let line = line.trim().trim_end_matches(',');
        let part = match line.split_once(" ADD ") {
            Some((_, added)) => added.trim_start_matches("COLUMN "),
            None => line,
        };
        // SQLite takes a constraint with its column only.
        let cut = part.find(" CONSTRAINT ").unwrap_or(part.len());
        let (column, constraint) = part.split_at(cut);
        // A reference says of which column it is where it stands alone.
        let of = column.split(' ').next().unwrap_or_default();
        let constraint = constraint.trim().trim_end_matches(';');
        let constraint = match constraint.split_once(" REFERENCES ") {
            Some((name, rest)) if !column.is_empty() && !name.contains(" FOREIGN KEY ") => {
                format!("{name} FOREIGN KEY ({of}) REFERENCES {rest}")
            }
            _ => constraint.to_owned(),
        };
        let both = [column.trim().to_owned(), constraint];
        parts.extend(both.into_iter().filter(|part| !part.is_empty()));
    }
    parts
}

/// Statements without those that make an index that a later one drops.
fn what_is_left(statements: Vec<String>) -> Vec<String> {
    let mut left: Vec<String> = Vec::new();
    for statement in statements {
        match statement.strip_prefix("DROP INDEX ") {
            Some(dropped) => {
                let name = dropped.trim_end_matches(" CASCADE").rsplit('.').next().unwrap();
                let before = left.len();
                left.retain(|made| !made.contains(&format!(" INDEX {name} ON ")));
                assert_eq!(left.len() + 1, before, "{statement}");
            }
            None => left.push(statement),
        }
    }
    left
}

#[test]
fn the_migrations_make_what_is_declared() {
    let schema = Schema::new(entity::TABLES).unwrap();
    for names in both() {
        let list = migrations(names.dialect());
        for (at, migration) in list.iter().enumerate() {
            let [table] = migration.tables else {
                assert_eq!(
                    normal(&migration.text(&names)),
                    normal(&kernel_tables(&names)),
                    "{}",
                    migration.name
                );
                continue;
            };
            let touches = |other: &&Migration| other.tables.contains(table);
            let declared = create_table(&names, &schema, schema.find(table).unwrap());
            // What counts the rows that are there makes nothing.
            let makes = |statement: &String| !statement.starts_with("UPDATE ");
            let all = list.iter().filter(touches).flat_map(|other| other.text(&names)).filter(makes);
            let all = what_is_left(all.collect());
            if list.iter().filter(touches).count() == 1 {
                assert_eq!(normal(&all), normal(&declared), "{}", migration.name);
            } else {
                // The sum of the files is what is declared; in which order the columns stand does not matter.
                assert_eq!(parts(&all), parts(&declared), "{}", list[at].name);
            }
        }
        let made: BTreeSet<&str> = list.iter().flat_map(|migration| migration.tables).copied().collect();
        for info in schema.tables() {
            assert!(made.contains(info.table.name), "no migration makes {}", info.table.name);
        }
    }
}

#[test]
fn migrations_are_numbered_and_make_every_table() {
    let declared: BTreeSet<&str> = entity::TABLES.iter().map(|table| table.name).collect();
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        let list = migrations(dialect);
        for (at, migration) in list.iter().enumerate() {
            assert!(migration.name.starts_with(&format!("{:04}_", at + 1)), "{}", migration.name);
            assert_eq!(migration.kernel, at < 2, "{}", migration.name);
        }
        // Parents are declared before their children, also where a child refers to them since later.
        let made: BTreeSet<&str> = list[2..].iter().flat_map(|migration| migration.tables).copied().collect();
        assert_eq!(made, declared);
    }
}

#[test]
fn no_migration_needs_what_only_one_database_has() {
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        for migration in migrations(dialect) {
            let text = migration.sql.to_lowercase();
            for word in ["create trigger", "enum", "do $$", "advisory", "create type", "notify", "\r"] {
                assert!(!text.contains(word), "{word} in {}", migration.name);
            }
        }
    }
}

static USERS_OF_THE_HOST: Table = Table::new("users", &[Column::uuid("id")], &["id"]);

#[test]
fn the_entities_tables_come_with_the_entities_only() {
    for dialect in [Dialect::Postgres, Dialect::Sqlite] {
        let count = |tables: &[&'static Table]| wanted(dialect, &Schema::new(tables).unwrap()).len();
        assert_eq!(count(&[]), 2);
        assert_eq!(count(&[&USERS_OF_THE_HOST]), 2);
        assert_eq!(count(&[&entity::USERS]), migrations(dialect).len());
    }
}

fn history(list: &[&Migration]) -> Vec<(String, String)> {
    list.iter().map(|migration| (migration.name.to_owned(), migration.checksum())).collect()
}

#[test]
fn what_was_applied_is_not_pending() {
    let list: Vec<&Migration> = migrations(Dialect::Postgres).iter().collect();
    let names = |left: Vec<&Migration>| left.iter().map(|migration| migration.name).collect::<Vec<_>>();
    assert_eq!(pending(&list, &[], None).unwrap().len(), list.len());
    let left = pending(&list, &history(&list[..3]), Some("1")).unwrap();
    assert_eq!(names(left)[0], "0004_user_access");
    assert!(pending(&list, &history(&list), Some("1")).unwrap().is_empty());
}

#[test]
fn a_table_has_to_be_made_until_the_first_migration_that_names_it_was_applied() {
    let list: Vec<&Migration> = migrations(Dialect::Postgres).iter().collect();
    let left = |applied: usize| to_be_made(&list, &list[applied..]);
    assert!(left(0).contains("kernel_head") && left(0).contains("managed_instances"));
    // A later file changes the table that an earlier one has made.
    assert!(list[15..].iter().any(|migration| migration.tables == ["managed_instances"]));
    assert!(!left(15).contains("managed_instances") && left(15).contains("logs"));
    assert!(left(list.len()).is_empty());
}

#[test]
fn an_edited_migration_is_refused() {
    let list: Vec<&Migration> = migrations(Dialect::Sqlite).iter().collect();
    let mut applied = history(&list);
    applied[4].1.replace_range(..1, "x");
    match pending(&list, &applied, Some("1")) {
        Err(OpenProblem::Incompatible(what)) => {
            assert_eq!(what, "migration 0005_login_retries was another when it was applied");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_later_build_may_have_migrated_as_long_as_it_admits_this_writer() {
    let list: Vec<&Migration> = migrations(Dialect::Postgres).iter().collect();
    let mut applied = history(&list);
    applied.push(("9999_later".into(), "unknown".into()));
    assert!(pending(&list, &applied, Some(&WRITER.to_string())).unwrap().is_empty());
    let beyond = (WRITER + 1).to_string();
    assert!(matches!(pending(&list, &applied, Some(&beyond)), Err(OpenProblem::TooNew(_))));
    assert!(matches!(pending(&list, &applied, Some("soon")), Err(OpenProblem::Damaged(_))));
}

#[test]
fn the_schema_or_prefix_is_the_hosts_choice() {
    let users = migrations(Dialect::Postgres)[2].text(&Names::postgres("mine").unwrap());
    assert!(users[0].starts_with("CREATE TABLE \"mine\".\"users\" ("));
    assert_eq!(users[1], "CREATE UNIQUE INDEX \"users_email\" ON \"mine\".\"users\" (\"email\")");
    let users = migrations(Dialect::Sqlite)[2].text(&Names::sqlite("my_").unwrap());
    assert!(users[0].starts_with("CREATE TABLE \"my_users\" ("));
    assert_eq!(users[1], "CREATE UNIQUE INDEX \"my_users_email\" ON \"my_users\" (\"email\")");
}

#[test]
fn a_migration_is_cut_where_a_line_ends_a_statement_and_comments_are_left_out() {
    let migration = Migration {
        name: "0000_sample",
        tables: &[],
        kernel: false,
        sql: "-- Why; and {{what}};\nCREATE TABLE {{a}} (\n    \"b\" text DEFAULT ';' -- not a line of its own\n);\n\n  -- More.\nDROP INDEX {{bare:c}};\n",
    };
    assert_eq!(
        migration.text(&Names::sqlite("p_").unwrap()),
        [
            "CREATE TABLE \"p_a\" (\n    \"b\" text DEFAULT ';' -- not a line of its own\n)",
            "DROP INDEX \"p_c\""
        ]
    );
}

#[test]
fn the_export_holds_every_table_and_says_that_it_was_applied() {
    static REVISED: Table = Table::new("plants", &[Column::uuid("id"), Column::int("revision")], &["id"]);
    static OWN: Table = Table::new("plants", &[Column::uuid("id")], &["id"]);
    for names in both() {
        let tables: Vec<&'static Table> = entity::TABLES.iter().copied().chain([&OWN]).collect();
        let schema = Schema::new(&tables).unwrap();
        let sql = migrations_sql(&names, &schema).unwrap();
        for info in schema.tables() {
            let made = format!("CREATE TABLE {} (", names.table(info.table.name));
            assert_eq!(sql.matches(&made).count(), 1, "{made}");
        }
        for migration in migrations(names.dialect()) {
            assert!(sql.contains(&format!("VALUES ('{}', '{}', ", migration.name, migration.checksum())));
        }
        assert!(!sql.contains("{{") && sql.ends_with(";\n"));
        assert_eq!(
            sql.contains("CREATE SCHEMA IF NOT EXISTS \"apportion\";"),
            names.dialect() == Dialect::Postgres
        );
    }
    assert!(migrations_sql(&both()[0], &Schema::new(&[&REVISED]).unwrap()).is_err());
}
