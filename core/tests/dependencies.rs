//! What the core must not pull into an application.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// The names of the crates that an application gets with the core and these features.
fn crates(features: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        "--package",
        "apportion",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--offline",
    ]);
    cargo.args(["--no-default-features", "--features", &features.join(",")]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_core_pulls_in_no_driver_and_no_runtime() {
    let found = crates(&[]);
    assert!(found.contains(&"serde".to_owned()), "the tree was read: {found:?}");
    for banned in [
        "redb",
        "tokio",
        "sqlx",
        "sqlx-core",
        "sqlx-postgres",
        "sqlx-sqlite",
        "libsqlite3-sys",
        "async-std",
        "smol",
    ] {
        assert!(!found.contains(&banned.to_owned()), "{banned} is a dependency of the core");
    }
}

#[test]
fn mocks_and_the_suite_are_there_only_when_asked_for() {
    assert!(!crates(&[]).contains(&"mockall".to_owned()));
    assert!(crates(&["mock"]).contains(&"mockall".to_owned()));
    assert!(crates(&["conformance"]).contains(&"tokio".to_owned()));
}
