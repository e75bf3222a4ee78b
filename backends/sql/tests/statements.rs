//! The text of every statement is held to committed text, in both dialects.
//!
//! `UPDATE_GOLDEN=1 cargo test -p apportion-sql --test statements` writes the files anew; look at what changed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ddl_fixture;

use std::fmt::Write as _;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use apportion::store::{Batch, Cursor, Is, NewRow, Prepared, Prune, Query, Scan, Schema, Test, Value, Write};
use apportion::time::{Clock, ManualClock, Timestamp};
use apportion_sql::{
    Committing, Connection, Dialect, Failure, Fetched, Names, Session, Statement, Tables, Take, changes,
    fresh, is_unstamped, prune, read, resolve, stamp_waiting,
};
use async_trait::async_trait;
use ddl_fixture::{EVERYTHING, PARENTS, PLANTS};
use uuid::Uuid;

/// A database that has one plant, and remembers what it was asked.
struct Recorder {
    sql: String,
    changed: u64,
    waiting: bool,
}

impl Recorder {
    fn note(&mut self, text: &str) {
        // One clause a line, to be read.
        let mut text = text.to_owned();
        for clause in ["UNION ALL", "FROM", "WHERE", "ORDER BY", "CROSS JOIN"] {
            text = text.replace(&format!(" {clause} "), &format!("\n  {clause} "));
        }
        writeln!(self.sql, "{text};").unwrap();
    }
}

const PLANT: Uuid = Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0001);

#[async_trait]
impl Connection for Recorder {
    async fn rows(&mut self, statement: &Statement) -> Result<Vec<Fetched>, Failure> {
        self.note(&statement.sql);
        let mut answers = Vec::new();
        for (branch, columns) in statement.branches.iter().enumerate() {
            let part = statement.sql.split(" UNION ALL ").nth(branch).unwrap();
            let values = match columns.columns.len() {
                // The state of the store: time, head.
                3 if part.contains("h.position") => {
                    vec![Value::Time(Timestamp::EPOCH), Value::Int(7), Value::Uuid(Uuid::nil())]
                }
                // Whether records wait.
                1 if part.contains("nextval") => vec![Value::Bool(!self.waiting)],
                1 if part.contains("EXISTS") => vec![Value::Bool(self.waiting)],
                1 if part.contains("low_position") => vec![Value::Int(0)],
                1 if part.contains("kernel_head\" h") => vec![Value::Time(Timestamp::EPOCH)],
                1 if part.contains(" h") && part.contains("h.id") => vec![Value::Int(1)],
                2 if part.contains("low_position") => vec![Value::Int(0), Value::Uuid(Uuid::nil())],
                2 if part.contains("count(*)") => vec![Value::Int(1), Value::Int(1)],
                // The only plant.
                5 if part.contains("t.\"age\"") => {
                    vec![Value::Uuid(PLANT), Value::from("oak"), Value::Int(3), Value::Int(1), Value::Int(1)]
                }
                _ => continue,
            };
            answers.push(Fetched { branch, values, bytes: Vec::new() });
        }
        Ok(answers)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<u64, Failure> {
        self.note(&statement.sql);
        Ok(self.changed)
    }
}

#[async_trait]
impl Session for Recorder {
    async fn begin(&mut self) -> Result<(), Failure> {
        self.note("begin");
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        self.note("commit");
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), Failure> {
        self.note("rollback");
        Ok(())
    }
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0000 + number)
}

fn batches() -> Vec<(&'static str, Write)> {
    let parent = || NewRow::new(&PARENTS).set("hall", "a").set("number", 1_i64);
    let everything = NewRow::new(&EVERYTHING)
        .set("realm", "r")
        .set("id", id(50))
        .set("starts", Timestamp::EPOCH)
        .set("hall", "a")
        .set("number", 1_i64)
        .set("count_limit", 9_i64)
        .set("document", apportion::store::Json::empty());
    vec![
        ("insert a parent", Write::Insert(parent())),
        ("ensure a parent", Write::Ensure(parent())),
        ("insert a child", Write::Insert(everything)),
        ("update", Write::update(&PLANTS, PLANT, 1, vec![("name", Value::from("elm"))])),
        ("delete", Write::delete(&PLANTS, PLANT, 1)),
        ("delete a parent", Write::delete(&PARENTS, ("a", 1_i64), 1)),
        ("guard", Write::guard(&PLANTS, PLANT, 1)),
    ]
}

async fn record(names: &Names) -> String {
    let schema = Arc::new(Schema::new(&[&PARENTS, &EVERYTHING, &PLANTS]).unwrap());
    let tables = Tables::new(Arc::clone(&schema), names.clone());
    let mut recorder = Recorder { sql: String::new(), changed: 1, waiting: false };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_micros(1_713_691_952_000_000)));
    for stamps in [true, false] {
        let committing = Committing::new(tables.clone(), Arc::clone(&clock), stamps);
        for (at, (what, write)) in batches().into_iter().enumerate() {
            writeln!(recorder.sql, "-- {what}{}", if stamps { "" } else { ", without giving positions" })
                .unwrap();
            let batch = Batch::new(id(100 + u128::try_from(at).unwrap()), "test").with(write);
            let members: [Prepared; 1] = [schema.prepare(batch).unwrap()];
            committing.commit(&mut recorder, &members, &|_| Duration::ZERO, None).await;
        }
    }
    if names.dialect() == Dialect::Postgres {
        writeln!(recorder.sql, "-- working ahead: guard and insert").unwrap();
        let committing = Committing::new(tables.clone(), Arc::clone(&clock), true).working_ahead();
        let batch = Batch::new(id(300), "test").with(Write::guard(&PLANTS, PLANT, 1));
        let batch = batch.with(Write::Insert(NewRow::new(&PARENTS).set("hall", "b").set("number", 2_i64)));
        let members = [schema.prepare(batch).unwrap()];
        committing.commit(&mut recorder, &members, &|_| Duration::ZERO, None).await;
    }
    recorder.waiting = true;
    let committing = Committing::new(tables.clone(), Arc::clone(&clock), true);
    writeln!(recorder.sql, "-- while records wait for positions").unwrap();
    let write = Write::update(&PLANTS, PLANT, 1, vec![("name", Value::from("elm"))]);
    let members = [schema.prepare(Batch::new(id(200), "test").with(write)).unwrap()];
    committing.commit(&mut recorder, &members, &|_| Duration::ZERO, None).await;
    recorder.waiting = false;
    for (what, query) in queries() {
        writeln!(recorder.sql, "-- {what}").unwrap();
        read(&mut recorder, &tables, &[query], clock.now()).await.unwrap();
    }
    writeln!(recorder.sql, "-- the feed").unwrap();
    changes(&mut recorder, &tables, Cursor { position: 7, batch: Uuid::nil() }, 10, false).await.unwrap_err();
    writeln!(recorder.sql, "-- a snapshot begins").unwrap();
    fresh(&mut recorder, &tables).await.unwrap();
    writeln!(recorder.sql, "-- positions are given").unwrap();
    if names.dialect() == Dialect::Postgres {
        is_unstamped(&mut recorder, &tables).await.unwrap();
        for take in [Take::Waiting, Take::IfFree] {
            stamp_waiting(&mut recorder, &tables, take).await.unwrap();
        }
    }
    writeln!(recorder.sql, "-- resolve").unwrap();
    resolve(&mut recorder, &tables, id(300), clock.now()).await.unwrap();
    writeln!(recorder.sql, "-- prune").unwrap();
    prune(&mut recorder, &tables, Prune::up_to(5), clock.now()).await.unwrap();
    recorder.sql
}

fn queries() -> Vec<(&'static str, Query)> {
    let plants = || Scan::of(&PLANTS).limit(10);
    vec![
        ("get", Query::Get { table: &PLANTS, key: PLANT.into() }),
        ("a page", Query::Scan(plants())),
        (
            "a page of an order, backwards",
            Query::Scan(Scan::of(&EVERYTHING).by("everything_place").descending()),
        ),
        (
            "a range behind a prefix",
            Query::Scan(
                Scan::of(&EVERYTHING)
                    .by("everything_place")
                    .with(Value::from("a"))
                    .range(Bound::Included(Value::Int(1)), Bound::Excluded(Value::Int(5))),
            ),
        ),
        (
            "tests",
            Query::Scan(
                plants()
                    .test(Test::eq("name", "oak"))
                    .test(Test::new("age", Is::In(vec![Value::Int(1), Value::Int(2)]))),
            ),
        ),
        (
            "a test on a document",
            Query::Scan(
                Scan::of(&EVERYTHING)
                    .test(Test::new("document", Is::Eq(apportion::store::Json::empty().into()))),
            ),
        ),
        ("a count", Query::Count(plants().test(Test::new("age", Is::Gt(Value::Int(1)))))),
    ]
}

#[tokio::test]
async fn statements_are_as_committed() {
    for names in ddl_fixture::both() {
        let text = record(&names).await;
        let file = format!(
            "{}/tests/golden/statements.{}.sql",
            env!("CARGO_MANIFEST_DIR"),
            format!("{:?}", names.dialect()).to_lowercase()
        );
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(golden == text, "{file} is not what is made now:\n{text}");
    }
}
