//! The story is told to its end, on both databases.

use std::process::Command;

#[track_caller]
fn is_told(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_host-transaction")).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<_> = said.lines().filter_map(|line| line.split_once(':')).map(|(what, _)| what).collect();
    assert_eq!(told, ["bought", "refused", "dropped", "crashed", "bought"], "{said}");
    assert!(
        said.contains("the gpu_milli_limit is 2000: 1000 used, 2000 more asked, 1000 too many"),
        "{said}"
    );
}

#[test]
fn on_postgres_an_invoice_and_an_instance_are_both_there_or_neither() {
    is_told(&[]);
}

#[test]
fn on_sqlite_an_invoice_and_an_instance_are_both_there_or_neither() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.sqlite");
    let file = file.to_str().unwrap();
    is_told(&["--sqlite", file]);
    // The next customer comes to what is there.
    is_told(&["--sqlite", file]);
}

#[test]
fn anything_else_is_answered_with_how_to_ask() {
    for arguments in [&["--mysql"][..], &["--postgres"], &["--sqlite", "a", "b"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_host-transaction"))
            .current_dir(tempfile::tempdir().unwrap().path())
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("usage: host-transaction"), "{said}");
    }
}
