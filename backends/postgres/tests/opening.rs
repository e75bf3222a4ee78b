//! Opening a database: what cannot be opened says why, nothing is half made, and many may open at once.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use apportion::id::{IdSource, TimeOrderedIds};
use apportion::store::{
    Column, Cursor, OpenProblem, Reference, Scan, Store, StoreError, StoreExt, Table, Unique,
};
use apportion::time::{Clock, SystemClock};
use apportion_postgres::{Migrate, PgPool, PostgresOptions, PostgresStore, migrations_sql};
use apportion_throwaway_postgres::{Options, ThrowawayPostgres};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

static SHELVES: Table = Table::new("shelves", &[Column::uuid("id"), Column::text("name", 40)], &["id"])
    .uniques(&[Unique::new("shelves_name", &["name"])]);
static BOOKS: Table =
    Table::new("books", &[Column::uuid("id"), Column::uuid("shelf_id"), Column::text("title", 200)], &["id"])
        .references(&[Reference::new("books_shelf", &["shelf_id"], "shelves")]);
static TABLES: [&Table; 2] = [&SHELVES, &BOOKS];

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

fn server() -> &'static ThrowawayPostgres {
    ThrowawayPostgres::shared().unwrap()
}

fn hasty() -> PostgresOptions {
    PostgresOptions::default().call_timeout(Duration::from_secs(3))
}

async fn open(url: &str, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
    PostgresStore::connect_with(url, &TABLES, clock(), options).await
}

/// Why it cannot be opened; the error names no password.
async fn problem(url: &str, options: PostgresOptions) -> OpenProblem {
    let error = open(url, options).await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(!said.contains("hush"), "{said}");
    match error {
        StoreError::CannotOpen { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

/// Everything in the database beside what every database has.
fn tables(database: &str) -> String {
    let sql =
        "SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname, tablename) FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    server().psql_in(database, sql).unwrap()
}

fn name_of(url: &str) -> String {
    url.rsplit('/').next().unwrap().to_owned()
}

fn with_user(url: &str, user: &str) -> String {
    url.replace("postgres://postgres@", &format!("postgres://{user}@"))
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_told_apart() {
    let url = server().fresh_database().unwrap();
    for address in ["", "nonsense", "mysql://root:hush@127.0.0.1/x", "postgres://u:hush@127.0.0.1:99999/x"] {
        assert!(matches!(problem(address, hasty()).await, OpenProblem::Other(_)), "{address}");
    }
    // A port on which nobody listens: it was given to this listener, which is gone again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = problem(&format!("postgres://u:hush@127.0.0.1:{port}/x"), hasty()).await;
    assert_eq!(refused, OpenProblem::Unreachable("connection refused".into()));
    let unknown = problem("postgres://u:hush@no-such-host.invalid/x", hasty()).await;
    assert!(matches!(unknown, OpenProblem::Unreachable(_)), "{unknown:?}");
    // Somebody who listens and says nothing, and somebody who says something else.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let short = hasty().call_timeout(Duration::from_millis(200));
    let stalled = problem(&format!("postgres://u:hush@127.0.0.1:{port}/x"), short).await;
    assert_eq!(stalled, OpenProblem::Unreachable("there was no answer for 200ms".into()));
    let missing = problem(&url.replace(&name_of(&url), "no_such_database"), hasty()).await;
    assert_eq!(missing, OpenProblem::Missing);
    assert_eq!(tables(&name_of(&url)), "");
}

#[tokio::test]
async fn a_peer_that_answers_and_is_no_postgres_server_is_foreign() {
    let short = hasty().call_timeout(Duration::from_millis(500));
    for answer in
        ["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "SSH-2.0-OpenSSH_9.9\r\n", "220 ready\r\n"]
    {
        for hangs_up in [true, false] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let peer = tokio::spawn(async move {
                let mut clients = Vec::new();
                loop {
                    let (mut client, _) = listener.accept().await.unwrap();
                    // It waits for a request, since what closes before it has read resets.
                    let _ = client.read(&mut [0; 1024]).await.unwrap();
                    client.write_all(answer.as_bytes()).await.unwrap();
                    if !hangs_up {
                        clients.push(client);
                    }
                }
            });
            let foreign = problem(&format!("postgres://u:hush@127.0.0.1:{port}/x"), short.clone()).await;
            assert!(matches!(foreign, OpenProblem::Foreign(_)), "{answer:?} {hangs_up}: {foreign:?}");
            peer.abort();
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_forbidden_and_is_never_repeated() {
    let server = ThrowawayPostgres::start_with(&Options::new().password("right")).unwrap();
    let url = server.url();
    assert!(url.contains("right"), "{url}");
    let error = problem(&url.replace("right", "hush"), hasty()).await;
    assert_eq!(error, OpenProblem::Forbidden);
    open(&url, hasty()).await.unwrap();
}

#[tokio::test]
async fn a_schema_name_must_be_one() {
    let url = server().fresh_database().unwrap();
    for name in ["", "Upper", "1st", "a-b", "a\"; DROP SCHEMA x; --"] {
        let error = open(&url, hasty().schema(name)).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid { field, .. } if field == "schema"), "{error:?}");
    }
}

#[tokio::test]
async fn declarations_that_contradict_one_another_are_refused_before_anybody_is_asked() {
    static ORPHAN: Table = Table::new("orphans", &[Column::uuid("id"), Column::uuid("of")], &["id"])
        .references(&[Reference::new("orphans_of", &["of"], "nobody")]);
    let error = PostgresStore::connect("postgres://127.0.0.1:1/x", &[&ORPHAN], clock()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::CannotOpen { reason: OpenProblem::Incompatible(_), .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_was_made_once_opens_again_and_nothing_changes() {
    let url = server().fresh_database().unwrap();
    open(&url, hasty()).await.unwrap();
    let made = tables(&name_of(&url));
    assert!(made.contains("apportion.books") && made.contains("apportion.kernel_head"), "{made}");
    let history = "SELECT string_agg(name || applied_at, ' ' ORDER BY name) FROM apportion.kernel_migrations";
    let before = server().psql_in(&name_of(&url), history).unwrap();
    open(&url, hasty()).await.unwrap();
    open(&url, hasty().migrate(Migrate::Verify)).await.unwrap();
    assert_eq!(tables(&name_of(&url)), made);
    assert_eq!(server().psql_in(&name_of(&url), history).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_first_starts_at_once_all_open() {
    let url = server().fresh_database().unwrap();
    let starts: Vec<_> = (0..40)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { open(&url, PostgresOptions::default()).await.map(drop) })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let twice = "SELECT count(*) FROM (SELECT 1 FROM apportion.kernel_migrations GROUP BY name HAVING count(*) > 1) x";
    assert_eq!(server().psql_in(&name_of(&url), twice).unwrap(), "0");
}

#[tokio::test]
async fn several_stores_live_in_one_database_and_beside_an_application() {
    let url = server().fresh_database().unwrap();
    let host = "CREATE TABLE books (id int); CREATE TABLE _sqlx_migrations (version bigint)";
    server().psql_in(&name_of(&url), host).unwrap();
    open(&url, hasty()).await.unwrap();
    open(&url, hasty().schema("other")).await.unwrap();
    let made = tables(&name_of(&url));
    assert!(made.contains("apportion.books") && made.contains("other.books"), "{made}");
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'";
    assert_eq!(server().psql_in(&name_of(&url), columns).unwrap(), "2");
}

#[tokio::test]
async fn a_schema_of_another_program_is_left_alone() {
    let url = server().fresh_database().unwrap();
    let database = name_of(&url);
    server().psql_in(&database, "CREATE SCHEMA apportion; CREATE TABLE apportion.pets (id int)").unwrap();
    let foreign = problem(&url, hasty()).await;
    assert!(matches!(&foreign, OpenProblem::Foreign(what) if what.contains("pets")), "{foreign:?}");
    assert_eq!(tables(&database), "apportion.pets");
    // One that keeps a history of its own under the same name.
    server().psql_in(&database, "CREATE TABLE apportion.kernel_migrations (version int)").unwrap();
    let foreign = problem(&url, hasty()).await;
    assert!(matches!(foreign, OpenProblem::Foreign(_)), "{foreign:?}");
    assert_eq!(tables(&database), "apportion.kernel_migrations apportion.pets");
}

#[tokio::test]
async fn a_database_of_a_later_build_is_too_new() {
    let url = server().fresh_database().unwrap();
    open(&url, hasty()).await.unwrap();
    // A migration that this build does not know is none of its business, until it may not write any more.
    let later = "INSERT INTO apportion.kernel_migrations VALUES ('9999_later', 'x', now())";
    server().psql_in(&name_of(&url), later).unwrap();
    open(&url, hasty()).await.unwrap();
    let raised = "UPDATE apportion.kernel_meta SET value = '1000' WHERE key = 'min_writer'";
    server().psql_in(&name_of(&url), raised).unwrap();
    let error = problem(&url, hasty()).await;
    assert!(matches!(error, OpenProblem::TooNew(_)), "{error:?}");
}

#[tokio::test]
async fn a_catalogue_that_does_not_fit_is_incompatible_and_stays_as_it_is() {
    let url = server().fresh_database().unwrap();
    let database = name_of(&url);
    open(&url, hasty()).await.unwrap();
    for (change, back) in [
        (
            "ALTER TABLE apportion.books DROP COLUMN title",
            "ALTER TABLE apportion.books ADD title text COLLATE \"C\" NOT NULL",
        ),
        (
            "ALTER TABLE apportion.shelves ALTER name TYPE varchar(9)",
            "ALTER TABLE apportion.shelves ALTER name TYPE text COLLATE \"C\"",
        ),
    ] {
        server().psql_in(&database, change).unwrap();
        let error = problem(&url, hasty()).await;
        assert!(matches!(error, OpenProblem::Incompatible(_)), "{change}: {error:?}");
        let error = problem(&url, hasty().migrate(Migrate::Verify)).await;
        assert!(matches!(error, OpenProblem::Incompatible(_)), "{change}: {error:?}");
        server().psql_in(&database, back).unwrap();
        open(&url, hasty()).await.unwrap();
    }
    // What can be added is added, and not where nothing may be made.
    server().psql_in(&database, "DROP TABLE apportion.books").unwrap();
    let error = problem(&url, hasty().migrate(Migrate::Verify)).await;
    assert!(matches!(&error, OpenProblem::Unmigrated(what) if what.contains("books")), "{error:?}");
    assert!(!tables(&database).contains("books"));
    open(&url, hasty()).await.unwrap();
    assert!(tables(&database).contains("apportion.books"));
    // Nothing is begun that could not be brought to an end.
    let torn = "DROP TABLE apportion.feed_consumers; ALTER TABLE apportion.shelves DROP name;
        DELETE FROM apportion.kernel_migrations WHERE name = '0002_feed_consumers'";
    server().psql_in(&database, torn).unwrap();
    let error = problem(&url, hasty()).await;
    assert!(matches!(&error, OpenProblem::Incompatible(what) if what.contains("shelves")), "{error:?}");
    assert!(!tables(&database).contains("feed_consumers"));
    // A migration that was another.
    let forged = "UPDATE apportion.kernel_migrations SET checksum = 'x' WHERE name = '0001_kernel'";
    server().psql_in(&database, forged).unwrap();
    let error = problem(&url, hasty()).await;
    assert!(matches!(&error, OpenProblem::Incompatible(what) if what.contains("0001_kernel")), "{error:?}");
}

#[tokio::test]
async fn rows_that_break_what_is_to_be_added_are_told_and_nothing_is_half_made() {
    static LOOSE: Table = Table::new("shelves", &[Column::uuid("id"), Column::text("name", 40)], &["id"]);
    let url = server().fresh_database().unwrap();
    let database = name_of(&url);
    PostgresStore::connect(&url, &[&LOOSE], clock()).await.unwrap();
    let rows =
        "INSERT INTO apportion.shelves SELECT gen_random_uuid(), 'same', 1, 1 FROM generate_series(1, 2)";
    server().psql_in(&database, rows).unwrap();
    let error = problem(&url, hasty()).await;
    assert!(matches!(&error, OpenProblem::Incompatible(what) if what.contains("shelves_name")), "{error:?}");
    assert!(!tables(&database).contains("books"));
}

#[tokio::test]
async fn without_rights_nothing_opens_and_with_few_it_can_be_verified() {
    let url = server().fresh_database().unwrap();
    let database = name_of(&url);
    let user = server().fresh_schema_name();
    server().psql_in(&database, &format!("CREATE ROLE {user} LOGIN")).unwrap();
    let theirs = with_user(&url, &user);
    assert_eq!(problem(&theirs, hasty()).await, OpenProblem::Forbidden);
    let unmigrated = problem(&theirs, hasty().migrate(Migrate::Verify)).await;
    assert!(matches!(unmigrated, OpenProblem::Unmigrated(_)), "{unmigrated:?}");
    assert_eq!(tables(&database), "");
    // The application migrates by itself, as another user.
    let sql = migrations_sql(&TABLES, &PostgresOptions::default()).unwrap();
    server().psql_in(&database, &sql).unwrap();
    assert_eq!(problem(&theirs, hasty().migrate(Migrate::Verify)).await, OpenProblem::Forbidden);
    let grants = format!(
        "GRANT USAGE ON SCHEMA apportion TO {user}; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \
         apportion TO {user}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA apportion TO {user}"
    );
    server().psql_in(&database, &grants).unwrap();
    open(&theirs, hasty().migrate(Migrate::Verify)).await.unwrap();
    open(&theirs, hasty()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_can_only_be_read_is_told() {
    let url = server().fresh_database().unwrap();
    let database = name_of(&url);
    let read_only = format!("ALTER DATABASE {database} SET default_transaction_read_only = on");
    server().psql(&read_only).unwrap();
    let error = problem(&url, hasty()).await;
    assert_eq!(error, OpenProblem::Other("the server can only be read".into()));
}

#[tokio::test]
async fn a_replica_is_read_by_a_store_that_only_verifies() {
    let url = server().fresh_database().unwrap();
    let database = name_of(&url);
    open(&url, hasty()).await.unwrap().close().await.unwrap();
    server().psql(&format!("ALTER DATABASE {database} SET default_transaction_read_only = on")).unwrap();
    let replica = open(&url, hasty().migrate(Migrate::Verify)).await.unwrap();
    assert_eq!(replica.scan(Scan::of(TABLES[0])).await.unwrap().value.rows.len(), 0);
    assert_eq!(replica.snapshot().await.unwrap().cursor(), Cursor::START);
    let id = TimeOrderedIds::new(Arc::new(SystemClock::new())).next_id();
    let refused = replica.resolve(id).await.unwrap_err();
    assert!(
        refused.to_string().contains("only be read") || format!("{refused:?}").contains("25006"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_migration_that_somebody_holds_up_ends_by_the_deadline() {
    let url = server().fresh_database().unwrap();
    open(&url, hasty()).await.unwrap();
    let database = name_of(&url);
    server().psql_in(&database, "DROP TABLE apportion.books").unwrap();
    let holder = PgPool::connect(&url).await.unwrap();
    let mut held = holder.begin().await.unwrap();
    sqlx_core::query::query("SELECT value FROM apportion.kernel_meta FOR UPDATE")
        .execute(&mut *held)
        .await
        .unwrap();
    let short = hasty().open_timeout(Duration::from_millis(400)).lock_timeout(Duration::from_millis(50));
    let error = problem(&url, short).await;
    assert_eq!(error, OpenProblem::Unreachable("it took longer than 400ms".into()));
    assert!(!tables(&database).contains("books"));
    held.rollback().await.unwrap();
    open(&url, hasty()).await.unwrap();
}
