//! What this backend must not pull into an application.

use std::process::Command;

#[test]
fn no_other_database_and_no_umbrella_comes_with_it() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--package", env!("CARGO_PKG_NAME"), "--edges", "normal", "--prefix", "none"]);
    cargo.args(["--format", "{p}", "--offline"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let found: Vec<&str> = lines.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(found.contains(&"sqlx-sqlite"), "the tree was read: {found:?}");
    for banned in ["sqlx", "sqlx-postgres", "sqlx-mysql", "rusqlite", "redb", "rustls", "native-tls"] {
        assert!(!found.contains(&banned), "{banned} is a dependency of the SQLite backend");
    }
}
