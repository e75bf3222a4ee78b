//! The demonstration runs to its end by itself, and leaves nothing behind.

use std::process::Command;

#[test]
fn the_demonstration_runs_to_its_end() {
    let demo = Command::new(env!("CARGO_BIN_EXE_node-agent")).arg("demo").output().unwrap();
    let told = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{told}\n{}", String::from_utf8_lossy(&demo.stderr));
    for part in [
        "rack-1  unknown",
        "job-7 on port",
        "nothing was lost",
        "wanted stopped",
        "job-8 on port",
        "Back to zero",
    ] {
        assert!(told.contains(part), "{part} is missing:\n{told}");
    }
    // Those that ran before their agent was killed are the same processes after it.
    let survivor = |from: usize| {
        let line = told.lines().filter(|line| line.contains("job-1 on port")).nth(from).unwrap_or_default();
        line.split("process ").nth(1).unwrap_or_default().to_owned()
    };
    assert!(!survivor(0).is_empty() && survivor(0) == survivor(1), "{told}");
}
