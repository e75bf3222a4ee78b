//! A connection that is lost at a chosen moment: what the client sees, and what the server has.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use apportion_throwaway_postgres::proxy::{Fault, FaultProxy, What, When};
use apportion_throwaway_postgres::{Error, ThrowawayPostgres};
use common::{Wire, framed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MS: Duration = Duration::from_millis(1);

struct Setting {
    server: &'static ThrowawayPostgres,
    proxy: FaultProxy,
    table: String,
}

impl Setting {
    async fn new() -> Self {
        let server = ThrowawayPostgres::shared().unwrap();
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let table = server.fresh_schema_name();
        server.psql(&format!("CREATE TABLE {table} (id INT)")).unwrap();
        Self { server, proxy, table }
    }

    async fn wire(&self) -> Wire {
        Wire::connect(self.proxy.address()).await.unwrap()
    }

    /// A transaction with one row, and only its commit left to be sent.
    async fn uncommitted(&self) -> Wire {
        let mut wire = self.wire().await;
        assert_eq!(wire.query("BEGIN").await.unwrap(), ["BEGIN"]);
        assert_eq!(wire.query(&self.insert()).await.unwrap(), ["INSERT 0 1"]);
        wire
    }

    fn insert(&self) -> String {
        format!("INSERT INTO {} VALUES (1)", self.table)
    }

    /// What the server itself says.
    fn rows(&self) -> usize {
        self.server.psql(&format!("SELECT count(*) FROM {}", self.table)).unwrap().parse().unwrap()
    }

    async fn rows_become(&self, expected: usize) {
        for _ in 0..1000 {
            if self.rows() == expected {
                return;
            }
            tokio::time::sleep(10 * MS).await;
        }
        assert_eq!(self.rows(), expected);
    }

    /// Waits until the server has no transaction on the table any more, whatever became of it.
    async fn server_let_go(&self) {
        let sql = format!("SELECT count(*) FROM pg_locks WHERE relation = '{}'::regclass", self.table);
        for _ in 0..1000 {
            if self.server.psql(&sql).unwrap() == "0" {
                return;
            }
            tokio::time::sleep(10 * MS).await;
        }
        assert_eq!(self.server.psql(&sql).unwrap(), "0");
    }

    async fn all_closed(&self) {
        for _ in 0..1000 {
            if self.proxy.open_connections() == 0 {
                return;
            }
            tokio::time::sleep(10 * MS).await;
        }
        assert_eq!(self.proxy.open_connections(), 0);
    }

    async fn psql(&self, sql: String) -> Result<String, Error> {
        let (server, port) = (self.server, self.proxy.address().port());
        tokio::task::spawn_blocking(move || server.psql_through(port, "postgres", &sql)).await.unwrap()
    }
}

#[tokio::test]
async fn without_a_fault_everything_goes_through() {
    let setting = Setting::new().await;
    assert_eq!(setting.psql("SELECT 1; SELECT repeat('x', 100000)".into()).await.unwrap().len(), 100_002);
    let mut wire = setting.uncommitted().await;
    assert_eq!(wire.query("COMMIT").await.unwrap(), ["COMMIT"]);
    assert_eq!(setting.rows(), 1);
    assert_eq!((setting.proxy.connections(), setting.proxy.fired()), (2, 0));
}

#[tokio::test]
async fn a_commit_that_is_cut_off_before_the_server_saw_it_did_not_happen() {
    for what in [What::Cut, What::Reset] {
        let setting = Setting::new().await;
        setting.proxy.arm(Fault::once(When::BeforeCommit, what));
        let sql = format!("BEGIN; {}; COMMIT", setting.insert());
        assert!(matches!(setting.psql(sql).await, Err(Error::Statement { .. })));
        assert_eq!(setting.proxy.fired(), 1);
        setting.server_let_go().await;
        assert_eq!(setting.rows(), 0);
    }
}

#[tokio::test]
async fn a_commit_that_is_cut_off_while_the_server_works_on_it_happens() {
    for what in [What::Cut, What::Reset] {
        let setting = Setting::new().await;
        setting.proxy.arm(Fault::once(When::AtCommit, what));
        let sql = format!("BEGIN; {}; COMMIT", setting.insert());
        assert!(matches!(setting.psql(sql).await, Err(Error::Statement { .. })));
        assert_eq!(setting.proxy.fired(), 1);
        setting.rows_become(1).await;
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_has_happened() {
    for what in [What::Cut, What::Reset] {
        let setting = Setting::new().await;
        setting.proxy.arm(Fault::once(When::AfterCommit, what));
        let sql = format!("BEGIN; {}; COMMIT", setting.insert());
        assert!(matches!(setting.psql(sql).await, Err(Error::Statement { .. })));
        assert_eq!(setting.proxy.fired(), 1);
        assert_eq!(setting.rows(), 1, "it had happened before the client saw the cut");
    }
}

#[tokio::test]
async fn a_cut_is_an_end_and_a_reset_is_an_error() {
    for when in [When::BeforeCommit, When::AtCommit, When::AfterCommit] {
        let setting = Setting::new().await;
        for (what, seen) in [(What::Cut, ErrorKind::UnexpectedEof), (What::Reset, ErrorKind::ConnectionReset)]
        {
            setting.proxy.arm(Fault::once(when.clone(), what));
            let mut wire = setting.uncommitted().await;
            assert_eq!(wire.query("COMMIT").await.unwrap_err().kind(), seen, "{when:?} {what:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_that_was_prepared_is_recognised_when_it_is_run() {
    for (when, expected) in [(When::BeforeCommit, 0), (When::AtCommit, 1), (When::AfterCommit, 1)] {
        let setting = Setting::new().await;
        let mut wire = setting.uncommitted().await;
        setting.proxy.arm(Fault::once(when.clone(), What::Cut));
        wire.prepare("end", "COMMIT").await.unwrap();
        assert_eq!(setting.proxy.fired(), 0, "to prepare is not to run");
        assert!(wire.run("end").await.is_err(), "{when:?}");
        assert_eq!(setting.proxy.fired(), 1);
        setting.server_let_go().await;
        setting.rows_become(expected).await;
        setting.all_closed().await;
    }
}

#[tokio::test]
async fn a_commit_that_waits_behind_a_slow_statement_happens_though_its_client_is_gone() {
    for what in [What::Cut, What::Reset] {
        let setting = Setting::new().await;
        setting.proxy.arm(Fault::once(When::AtCommit, what));
        let mut wire = setting.uncommitted().await;
        wire.send("SELECT pg_sleep(0.3)").await.unwrap();
        assert!(wire.query("COMMIT").await.is_err());
        setting.rows_become(1).await;
        setting.all_closed().await;
    }
}

#[tokio::test]
async fn a_commit_held_back_happens_when_the_network_heals_though_its_client_is_gone() {
    let setting = Setting::new().await;
    setting.proxy.arm(Fault::once(When::BeforeCommit, What::Stall));
    let mut wire = setting.uncommitted().await;
    wire.send("COMMIT").await.unwrap();
    setting.proxy.wait_until_fired(1).await;
    drop(wire);
    assert_eq!(setting.rows(), 0);
    setting.proxy.heal();
    setting.rows_become(1).await;
}

#[tokio::test]
async fn an_answer_held_back_comes_when_the_network_heals() {
    for when in [When::AtCommit, When::AfterCommit] {
        let setting = Setting::new().await;
        setting.proxy.arm(Fault::once(when.clone(), What::Stall));
        let mut wire = setting.uncommitted().await;
        wire.send("COMMIT").await.unwrap();
        setting.proxy.wait_until_fired(1).await;
        setting.rows_become(1).await;
        let mut byte = [0];
        let early = tokio::time::timeout(100 * MS, wire.stream.peek(&mut byte)).await;
        assert!(early.is_err(), "{when:?}: the answer was delivered");
        setting.proxy.heal();
        assert_eq!(wire.until_ready().await.unwrap(), ["COMMIT"]);
        assert_eq!(wire.query("SELECT 1").await.unwrap(), ["SELECT 1"]);
    }
}

#[tokio::test]
async fn a_delayed_commit_happens_and_is_answered() {
    for when in [When::BeforeCommit, When::AtCommit, When::AfterCommit] {
        let setting = Setting::new().await;
        setting.proxy.arm(Fault::once(when, What::Delay(50 * MS)));
        let mut wire = setting.uncommitted().await;
        assert_eq!(wire.query("COMMIT").await.unwrap(), ["COMMIT"]);
        assert_eq!((setting.rows(), setting.proxy.fired()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_lasts_as_long_as_it_was_said_to() {
    let setting = Setting::new().await;
    for when in [When::BeforeCommit, When::AtCommit, When::AfterCommit, When::OnStatement("commit".into())] {
        let mut wire = setting.uncommitted().await;
        let before = tokio::time::Instant::now();
        // Time is the test's: it moves only to the next timer, when nothing else is to be done.
        setting.proxy.arm(Fault::once(when, What::Delay(3_600_000 * MS)));
        assert_eq!(wire.query("COMMIT").await.unwrap(), ["COMMIT"]);
        assert!(before.elapsed() >= 3_600_000 * MS);
    }
}

#[tokio::test]
async fn a_commit_that_the_server_turns_into_a_rollback_is_no_commit() {
    let setting = Setting::new().await;
    setting.proxy.arm(Fault::once(When::AfterCommit, What::Cut));
    let mut wire = setting.uncommitted().await;
    assert_eq!(wire.query("SELECT 1/0").await.unwrap(), ["error"]);
    assert_eq!(wire.query("COMMIT").await.unwrap(), ["ROLLBACK"]);
    assert_eq!(setting.proxy.fired(), 0);
    let mut other = setting.uncommitted().await;
    assert!(other.query("COMMIT").await.is_err());
}

#[tokio::test]
async fn a_message_of_several_statements_is_held_as_a_whole() {
    let setting = Setting::new().await;
    setting.proxy.arm(Fault::once(When::BeforeCommit, What::Cut));
    let mut wire = setting.wire().await;
    assert!(wire.query(&format!("BEGIN; {}; COMMIT", setting.insert())).await.is_err());
    setting.proxy.arm(Fault::once(When::AfterCommit, What::Cut));
    let mut wire = setting.wire().await;
    assert!(wire.query(&format!("BEGIN; {}; COMMIT", setting.insert())).await.is_err());
    assert_eq!(setting.rows(), 1, "only of the second");
}

#[tokio::test]
async fn a_statement_is_met_by_its_text_as_often_as_was_said() {
    let setting = Setting::new().await;
    setting.proxy.arm(Fault { when: When::OnStatement("insert INTO".into()), what: What::Cut, times: 2 });
    for expected in [0, 0, 1] {
        let mut wire = setting.wire().await;
        assert_eq!(wire.query("SELECT 1").await.unwrap(), ["SELECT 1"]);
        assert_eq!(wire.query(&setting.insert()).await.is_ok(), expected == 1);
        assert_eq!(setting.rows(), expected);
    }
    assert_eq!(setting.proxy.fired(), 2);
}

#[tokio::test]
async fn a_fault_that_is_taken_back_does_not_fire() {
    let setting = Setting::new().await;
    setting.proxy.arm(Fault::always(When::BeforeCommit, What::Cut));
    for _ in 0..2 {
        assert!(setting.uncommitted().await.query("COMMIT").await.is_err());
    }
    setting.proxy.disarm();
    assert_eq!(setting.uncommitted().await.query("COMMIT").await.unwrap(), ["COMMIT"]);
    assert_eq!(setting.proxy.fired(), 2);
}

#[tokio::test]
async fn a_fault_of_now_meets_the_oldest_connections() {
    let setting = Setting::new().await;
    for (what, seen) in [(What::Cut, ErrorKind::UnexpectedEof), (What::Reset, ErrorKind::ConnectionReset)] {
        let (mut first, mut second) = (setting.wire().await, setting.wire().await);
        setting.proxy.arm(Fault::once(When::Now, what));
        assert_eq!(first.until_ready().await.unwrap_err().kind(), seen);
        assert_eq!(second.query("SELECT 1").await.unwrap(), ["SELECT 1"]);
        setting.proxy.arm(Fault::always(When::Now, what));
        assert_eq!(second.until_ready().await.unwrap_err().kind(), seen);
        setting.all_closed().await;
    }
    assert_eq!(setting.proxy.fired(), 4);
}

#[tokio::test]
async fn the_server_sees_a_cut_as_an_end_and_a_reset_as_an_error() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap()).await.unwrap();
    for (what, seen) in [(What::Cut, ErrorKind::UnexpectedEof), (What::Reset, ErrorKind::ConnectionReset)] {
        let _client = Wire::start(proxy.address()).await.unwrap();
        let (mut stream, _) = server.accept().await.unwrap();
        let mut start = [0; 41];
        stream.read_exact(&mut start).await.unwrap();
        proxy.arm(Fault::once(When::Now, what));
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), seen);
    }
}

#[tokio::test]
async fn a_pause_ends_by_itself_and_a_stall_does_not() {
    let setting = Setting::new().await;
    let mut wire = setting.wire().await;
    setting.proxy.arm(Fault::once(When::Now, What::Delay(20 * MS)));
    assert_eq!(wire.query(&setting.insert()).await.unwrap(), ["INSERT 0 1"]);
    setting.proxy.arm(Fault::once(When::Now, What::Stall));
    wire.send(&setting.insert()).await.unwrap();
    tokio::time::sleep(100 * MS).await;
    assert_eq!(setting.rows(), 1);
    setting.proxy.heal();
    assert_eq!(wire.until_ready().await.unwrap(), ["INSERT 0 1"]);
}

#[tokio::test]
async fn when_everything_stalls_connections_are_accepted_and_nothing_goes_through() {
    let setting = Setting::new().await;
    let mut old = setting.wire().await;
    setting.proxy.stall_all();
    old.send(&setting.insert()).await.unwrap();
    let mut new = Wire::start(setting.proxy.address()).await.unwrap();
    let mut byte = [0];
    assert!(tokio::time::timeout(100 * MS, new.stream.peek(&mut byte)).await.is_err(), "an answer came");
    assert_eq!((setting.rows(), setting.proxy.connections()), (0, 2));
    setting.proxy.heal();
    assert_eq!(old.until_ready().await.unwrap(), ["INSERT 0 1"]);
    new.until_ready().await.unwrap();
    assert_eq!(new.query(&setting.insert()).await.unwrap(), ["INSERT 0 1"]);
    assert_eq!(setting.rows(), 2);
}

#[tokio::test]
async fn a_client_that_asks_for_encryption_is_told_that_there_is_none() {
    let setting = Setting::new().await;
    let mut stream = TcpStream::connect(setting.proxy.address()).await.unwrap();
    for code in [80_877_103_u32, 80_877_104] {
        stream.write_all(&framed(None, &code.to_be_bytes())).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'N');
    }
    let body = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    stream.write_all(&framed(None, body)).await.unwrap();
    let mut wire = Wire { stream };
    wire.until_ready().await.unwrap();
    assert_eq!(wire.query("SELECT 1").await.unwrap(), ["SELECT 1"]);
}

#[tokio::test]
async fn a_server_that_is_down_is_a_closed_connection_and_not_a_dead_proxy() {
    let server = ThrowawayPostgres::start().unwrap();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let mut wire = Wire::connect(proxy.address()).await.unwrap();
    server.kill_hard().unwrap();
    assert!(wire.query("SELECT 1").await.is_err());
    assert!(Wire::connect(proxy.address()).await.is_err());
    server.start_again().unwrap();
    let mut wire = Wire::connect(proxy.address()).await.unwrap();
    assert_eq!(wire.query("SELECT 1").await.unwrap(), ["SELECT 1"]);
}

#[tokio::test]
async fn a_proxy_that_is_dropped_takes_its_connections_with_it() {
    let setting = Setting::new().await;
    let mut wire = setting.wire().await;
    let address = setting.proxy.address();
    drop(setting.proxy);
    assert!(wire.until_ready().await.is_err());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_url_leads_through_the_proxy_and_is_otherwise_the_same() {
    let setting = Setting::new().await;
    let (proxy, address) = (&setting.proxy, setting.proxy.address());
    for (url, expected) in [
        (
            "postgres://u:p%40@db:5432/name?sslmode=disable",
            format!("postgres://u:p%40@{address}/name?sslmode=disable"),
        ),
        ("postgresql://db/name", format!("postgresql://{address}/name")),
        ("postgres://u@[::1]:1", format!("postgres://u@{address}")),
    ] {
        assert_eq!(proxy.url_for(url), expected);
    }
}
