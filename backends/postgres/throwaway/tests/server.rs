//! A server of one's own: what it promises to a test.

use std::net::{TcpListener, TcpStream};

use apportion_throwaway_postgres::{Error, Options, ThrowawayPostgres};

#[test]
fn a_server_takes_statements_and_goes_with_its_folder_when_it_is_dropped() {
    let server = ThrowawayPostgres::start().unwrap();
    let (address, folder) = (server.address(), server.folder().to_owned());
    assert_eq!(server.psql("SELECT 1; SELECT 'a', NULL, 'b'").unwrap(), "1\na||b");
    assert!(folder.exists());
    drop(server);
    assert!(!folder.exists());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn stop_says_that_it_went_well() {
    let server = ThrowawayPostgres::start().unwrap();
    let folder = server.folder().to_owned();
    server.stop().unwrap();
    assert!(!folder.exists());
}

#[test]
fn settings_and_locale_are_as_asked_for() {
    let options = Options::new().fsync(true).setting("commit_delay", "7").setting("my.own", r"it's \ this");
    let server = ThrowawayPostgres::start_with(&options).unwrap();
    let shown = |name: &str| server.psql(&format!("SHOW {name}")).unwrap();
    assert_eq!(shown("fsync"), "on");
    assert_eq!(shown("commit_delay"), "7");
    assert_eq!(shown("my.own"), r"it's \ this");
    assert_eq!(shown("max_connections"), "200");
    assert_eq!(shown("listen_addresses"), "127.0.0.1");
    assert_eq!(
        server.psql("SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database LIMIT 1").unwrap(),
        "C|UTF8"
    );
}

#[test]
fn by_default_nothing_waits_for_the_disk() {
    let server = ThrowawayPostgres::shared().unwrap();
    assert_eq!(server.psql("SHOW fsync").unwrap(), "off");
    assert_eq!(server.psql("SHOW synchronous_commit").unwrap(), "on");
}

#[test]
fn a_setting_that_the_server_refuses_is_told_with_its_own_words() {
    let refused =
        ThrowawayPostgres::start_with(&Options::new().setting("max_connections", "many")).unwrap_err();
    assert!(
        matches!(&refused, Error::Start { program: "postgres", log } if log.contains("max_connections")),
        "{refused}"
    );
}

#[test]
fn a_port_that_another_process_took_is_told_with_the_servers_own_words() {
    let server = ThrowawayPostgres::start().unwrap();
    server.kill_hard().unwrap();
    let taken = TcpListener::bind(server.address()).unwrap();
    let refused = server.start_again().unwrap_err();
    // The first start of a server looks for these words to try another port.
    assert!(matches!(&refused, Error::Start { log, .. } if log.contains("could not bind")), "{refused}");
    assert_eq!(server.pid(), None);
    drop(taken);
    server.start_again().unwrap();
    assert_eq!(server.psql("SELECT 1").unwrap(), "1");
}

#[test]
fn a_password_is_asked_of_every_connection() {
    let server = ThrowawayPostgres::start_with(&Options::new().password("p@ss word'")).unwrap();
    assert_eq!(server.psql("SELECT 1").unwrap(), "1");
    assert!(server.url().starts_with("postgres://postgres:p%40ss%20word%27@127.0.0.1:"));
    assert_eq!(server.psql("SHOW password_encryption").unwrap(), "scram-sha-256");
    let rules = "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules";
    assert_eq!(server.psql(rules).unwrap(), "scram-sha-256");
    assert!(!format!("{server:?}").contains("p@ss"));
}

#[test]
fn a_fresh_database_holds_nothing_of_another() {
    let server = ThrowawayPostgres::shared().unwrap();
    let name = |url: &str| url.rsplit_once('/').unwrap().1.to_owned();
    let (one, other) = (server.fresh_database().unwrap(), server.fresh_database().unwrap());
    server.psql_in(&name(&one), "CREATE TABLE mine (id INT); INSERT INTO mine VALUES (1)").unwrap();
    assert_eq!(server.psql_in(&name(&one), "SELECT id FROM mine").unwrap(), "1");
    let missing = server.psql_in(&name(&other), "SELECT id FROM mine").unwrap_err();
    assert!(
        matches!(&missing, Error::Statement { message } if message.contains("does not exist")),
        "{missing}"
    );
    assert_ne!(server.fresh_schema_name(), server.fresh_schema_name());
}

#[test]
fn databases_are_made_by_many_tests_at_once() {
    let server = ThrowawayPostgres::shared().unwrap();
    let mut urls: Vec<String> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| server.fresh_database().unwrap())).collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 8);
}

#[test]
fn the_process_has_one_shared_server() {
    let (one, other) = (ThrowawayPostgres::shared().unwrap(), ThrowawayPostgres::shared().unwrap());
    assert_eq!(one.pid(), other.pid());
    assert!(std::ptr::eq(one, other));
}

#[test]
fn a_restart_keeps_the_port_and_the_rows() {
    let server = ThrowawayPostgres::start().unwrap();
    let before = (server.port(), server.pid().unwrap());
    server.psql("CREATE TABLE kept (id INT); INSERT INTO kept VALUES (1)").unwrap();
    server.restart().unwrap();
    assert_eq!(server.port(), before.0);
    assert_ne!(server.pid().unwrap(), before.1);
    assert_eq!(server.psql("SELECT id FROM kept").unwrap(), "1");
}

#[test]
fn what_was_acknowledged_survives_a_kill_of_all_processes() {
    let server = ThrowawayPostgres::start().unwrap();
    server.psql("CREATE TABLE kept (id INT)").unwrap();
    for round in 1..=3 {
        server.psql(&format!("INSERT INTO kept VALUES ({round})")).unwrap();
        server.kill_hard().unwrap();
        assert_eq!(server.pid(), None);
        assert!(TcpStream::connect(server.address()).is_err());
        assert!(matches!(server.psql("SELECT 1"), Err(Error::Statement { .. })));
        server.start_again().unwrap();
        assert_eq!(server.psql("SELECT count(*) FROM kept").unwrap(), round.to_string());
    }
    assert!(server.log().contains("was not properly shut down"), "{}", server.log());
}

#[test]
fn a_kill_reaches_a_process_that_does_not_look_whether_its_server_lives() {
    let server = ThrowawayPostgres::start().unwrap();
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| server.psql("DO 'BEGIN LOOP END LOOP; END'"));
        let counted = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO%'";
        while server.psql(counted).unwrap() == "0" && !busy.is_finished() {}
        server.kill_hard().unwrap();
        assert!(busy.join().unwrap().is_err());
    });
    server.start_again().unwrap();
    assert_eq!(server.psql("SELECT 1").unwrap(), "1");
}

#[test]
fn a_second_kill_and_a_second_start_change_nothing() {
    let server = ThrowawayPostgres::start().unwrap();
    let pid = server.pid();
    server.start_again().unwrap();
    assert_eq!(server.pid(), pid);
    server.kill_hard().unwrap();
    server.kill_hard().unwrap();
    server.start_again().unwrap();
    assert_eq!(server.psql("SELECT 1").unwrap(), "1");
}

#[test]
fn a_statement_that_fails_ends_the_text_and_its_transaction() {
    let server = ThrowawayPostgres::shared().unwrap();
    let table = server.fresh_schema_name();
    server.psql(&format!("CREATE TABLE {table} (id INT)")).unwrap();
    let failed =
        server.psql(&format!("INSERT INTO {table} VALUES (1); SELECT 1/0; INSERT INTO {table} VALUES (2)"));
    assert!(matches!(&failed, Err(Error::Statement { message }) if message.contains("division by zero")));
    assert_eq!(server.psql(&format!("SELECT id FROM {table}")).unwrap(), "1");
}

#[test]
fn more_than_a_pipe_holds_goes_both_ways() {
    let server = ThrowawayPostgres::shared().unwrap();
    let sql = format!("SELECT '{}';\n", "x".repeat(1000)).repeat(500);
    assert_eq!(server.psql(&sql).unwrap().lines().count(), 500);
}
