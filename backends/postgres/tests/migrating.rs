//! Making the tables where something is in the way of it: few rights, other things of the same names, a network that
//! takes answers with it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use apportion::store::{OpenProblem, StoreError};
use apportion_postgres::{PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::proxy::{Fault, FaultProxy, What, When};
use common::{TABLES, check, clock, database, name_of, open, server, with_account};

/// Why it cannot be opened.
async fn problem(url: &str, options: PostgresOptions) -> OpenProblem {
    let opening = PostgresStore::connect_with(url, &TABLES, clock(), options);
    // Far less than opening may take: what does not pass is not waited for.
    let error = tokio::time::timeout(Duration::from_secs(30), opening).await.unwrap().unwrap_err();
    match error {
        StoreError::CannotOpen { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn run(url: &str, sql: &str) -> String {
    server().psql_in(name_of(url), sql).unwrap()
}

#[tokio::test]
async fn a_schema_that_is_there_needs_no_right_to_make_one() {
    for rights in
        ["CREATE SCHEMA apportion AUTHORIZATION", "CREATE SCHEMA apportion; GRANT ALL ON SCHEMA apportion TO"]
    {
        let url = database();
        let user = server().fresh_schema_name();
        run(&url, &format!("CREATE ROLE {user} LOGIN"));
        let theirs = url.replace("postgres://postgres@", &format!("postgres://{user}@"));
        assert_eq!(problem(&theirs, PostgresOptions::default()).await, OpenProblem::Forbidden);
        run(&url, &format!("{rights} {user}"));
        let may = format!("SELECT has_database_privilege('{user}', current_database(), 'CREATE')");
        assert_eq!(run(&url, &may), "f");
        let store = open(&theirs, PostgresOptions::default()).await;
        with_account(&*store).await;
        check(&*store, &[]).await;
    }
}

#[tokio::test]
async fn a_schema_in_which_nothing_may_be_made_is_forbidden() {
    let url = database();
    let user = server().fresh_schema_name();
    run(
        &url,
        &format!(
            "CREATE ROLE {user} LOGIN; CREATE SCHEMA apportion; GRANT USAGE ON SCHEMA apportion TO {user}"
        ),
    );
    let theirs = url.replace("postgres://postgres@", &format!("postgres://{user}@"));
    assert_eq!(problem(&theirs, PostgresOptions::default()).await, OpenProblem::Forbidden);
}

/// What somebody else has made, of what kind it is, and the name.
const IN_THE_WAY: [(&str, &str, &str); 5] = [
    ("VIEW", "kernel_migrations", " AS SELECT 1 AS one"),
    ("VIEW", "kernel_receipts", " AS SELECT 1 AS one"),
    ("SEQUENCE", "kernel_arrivals", ""),
    ("VIEW", "units", " AS SELECT 1 AS one"),
    ("TYPE", "accounts", " AS ENUM ('one')"),
];

#[tokio::test]
async fn what_has_the_name_of_a_table_and_is_none_is_named_soon_and_left_alone() {
    let url = database();
    let mut cases = Vec::new();
    for (kind, name, text) in IN_THE_WAY {
        let url = url.clone();
        cases.push(tokio::spawn(async move {
            let schema = format!("beside_{name}");
            run(&url, &format!("CREATE SCHEMA {schema}; CREATE {kind} {schema}.{name}{text}"));
            let options = PostgresOptions::default().schema(&schema);
            let reason = problem(&url, options.clone()).await;
            let told = format!("\"{schema}\".\"{name}\"");
            assert!(
                matches!(&reason, OpenProblem::Incompatible(what) if what.contains(&told)),
                "{kind} {name}: {reason:?}"
            );
            run(&url, &format!("DROP {kind} {schema}.{name}"));
            with_account(&*open(&url, options).await).await;
        }));
    }
    for case in cases {
        case.await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_itself_fails_at_is_not_tried_for_ever() {
    let url = database();
    let fails = "CREATE FUNCTION fail() RETURNS event_trigger LANGUAGE plpgsql AS
        'BEGIN RAISE EXCEPTION USING ERRCODE = ''XX000''; END';
        CREATE EVENT TRIGGER fails ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION fail()";
    run(&url, fails);
    let reason = problem(&url, PostgresOptions::default()).await;
    assert!(matches!(&reason, OpenProblem::Other(what) if what.contains("XX000")), "{reason:?}");
    run(&url, "DROP EVENT TRIGGER fails");
    open(&url, PostgresOptions::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_answer_to_a_commit_is_looked_for_once() {
    let url = database();
    let proxy = FaultProxy::start(server().address()).await.unwrap();
    let faults =
        [(When::BeforeCommit, What::Cut), (When::AtCommit, What::Reset), (When::AfterCommit, What::Cut)];
    for (place, (when, what)) in (1..).zip(faults) {
        let options = PostgresOptions::default().schema(format!("fault_{place}"));
        proxy.arm(Fault::once(when, what));
        let store = open(&proxy.url_for(&url), options).await;
        assert_eq!(proxy.fired(), place);
        with_account(&*store).await;
    }
    // A network that always takes them is one that does not work.
    proxy.arm(Fault::always(When::AfterCommit, What::Cut));
    let reason = problem(&proxy.url_for(&url), PostgresOptions::default()).await;
    assert!(matches!(reason, OpenProblem::Unreachable(_)), "{reason:?}");
    assert_eq!(proxy.fired(), 5);
    open(&url, PostgresOptions::default()).await;
}
