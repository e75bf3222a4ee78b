//! The contract on a server that has less: no advisory locks, no transaction ids, no exported snapshots, no
//! notifications, no superuser, and a default isolation that nobody here asked for. It stands in for engines that
//! speak the protocol of Postgres and have none of these.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::sync::{Arc, Mutex, OnceLock};

use apportion::conformance::Harness;
use apportion::store::{Store, Table};
use apportion::time::Clock;
use apportion_postgres::{Isolation, PgPool, PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::ThrowawayPostgres;
use sqlx_core::executor::Executor as _;
use sqlx_core::row::Row as _;

const ROLE: &str = "restricted";
const TEMPLATE: &str = "restricted_template";

/// What the role may not call, as a pattern of names.
const TAKEN_AWAY: &str = "^(pg_(try_)?advisory_|txid_|pg_current_xact_id|pg_xact_|pg_(current_)?snapshot|\
                          pg_visible_in_snapshot|pg_export_snapshot|pg_notify$|pg_listening_channels)";

fn server() -> &'static ThrowawayPostgres {
    static PREPARED: OnceLock<()> = OnceLock::new();
    let server = ThrowawayPostgres::shared().unwrap();
    PREPARED.get_or_init(|| prepare(server));
    server
}

/// Makes the role, and a template in which it may call less: what it may call is copied with a database.
fn prepare(server: &ThrowawayPostgres) {
    let made = format!(
        "CREATE ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
         ALTER ROLE {ROLE} SET default_transaction_isolation = 'serializable';
         CREATE DATABASE {TEMPLATE} TEMPLATE template0"
    );
    server.psql(&made).unwrap();
    let revoked = format!(
        "DO $$ DECLARE each regprocedure; BEGIN
            FOR each IN SELECT oid FROM pg_catalog.pg_proc WHERE proname ~ '{TAKEN_AWAY}' LOOP
                EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', each);
            END LOOP;
         END $$"
    );
    server.psql_in(TEMPLATE, &revoked).unwrap();
}

/// The address of a new database of the role's.
fn database() -> String {
    let server = server();
    let name = server.fresh_schema_name();
    server.psql(&format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {ROLE}")).unwrap();
    let url = server.url_of(&name);
    url.replace("postgres://postgres@", &format!("postgres://{ROLE}@"))
}

/// Databases of one server. Of the server's two isolations, the role's default and the store's own, the store's counts.
struct Databases {
    options: fn() -> PostgresOptions,
    last: Mutex<String>,
}

impl Databases {
    fn new(options: fn() -> PostgresOptions) -> Self {
        Self { options, last: Mutex::default() }
    }

    async fn connect(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        let url = self.last.lock().unwrap().clone();
        Arc::new(PostgresStore::connect_with(&url, tables, clock, (self.options)()).await.unwrap())
    }
}

#[async_trait::async_trait]
impl Harness for Databases {
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        *self.last.lock().unwrap() = database();
        self.connect(tables, clock).await
    }

    async fn reopen(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Option<Arc<dyn Store>> {
        Some(self.connect(tables, clock).await)
    }
}

mod left_default {
    use super::{Databases, PostgresOptions};

    apportion::conformance!(|| Databases::new(PostgresOptions::default));
}

mod serializable {
    use super::{Databases, Isolation, PostgresOptions};

    apportion::conformance!(|| Databases::new(|| {
        PostgresOptions::default().isolation(Isolation::Serializable)
    }));
}

#[tokio::test]
async fn the_role_is_really_restricted() {
    let pool = PgPool::connect(&database()).await.unwrap();
    for call in [
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_xact_lock(1)",
        "SELECT pg_advisory_lock_shared(1)",
        "SELECT pg_try_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1, 2)",
        "SELECT pg_advisory_unlock_all()",
        "SELECT txid_current()",
        "SELECT txid_snapshot_xmin(txid_current_snapshot())",
        "SELECT pg_current_xact_id()",
        "SELECT pg_current_xact_id_if_assigned()",
        "SELECT pg_current_snapshot()",
        "SELECT pg_snapshot_xmin('1:1:')",
        "SELECT pg_export_snapshot()",
        "SELECT pg_notify('a', 'b')",
    ] {
        let error = pool.execute(call).await.unwrap_err();
        let said = error.as_database_error().unwrap();
        assert_eq!(said.code().as_deref(), Some("42501"), "{call}: {error}");
    }
    let left = format!(
        "SELECT count(*) FILTER (WHERE has_function_privilege(oid, 'EXECUTE')), count(*)
         FROM pg_catalog.pg_proc WHERE proname ~ '{TAKEN_AWAY}'"
    );
    let row = pool.fetch_one(sqlx_core::sql_str::AssertSqlSafe(left)).await.unwrap();
    let (left, all): (i64, i64) = (row.get(0), row.get(1));
    assert!(left == 0 && all >= 40, "{left} of {all} can be called");
    let row = pool
        .fetch_one(
            "SELECT current_user::text, rolsuper, current_setting('transaction_isolation')
             FROM pg_catalog.pg_roles WHERE rolname = current_user",
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<String, _>(0), row.get::<bool, _>(1), row.get::<String, _>(2)),
        (ROLE.into(), false, "serializable".into())
    );
}
