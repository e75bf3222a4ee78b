//! The demonstration runs to its end by itself, and leaves nothing behind.

use std::process::Command;

#[test]
fn the_demonstration_runs_to_its_end() {
    let demo = Command::new(env!("CARGO_BIN_EXE_trainer")).arg("demo").output().unwrap();
    let told = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{told}\n{}", String::from_utf8_lossy(&demo.stderr));
    for part in [
        "four runs train",
        "is queued again: worker_lost",
        "refused: ",
        "the GPUs came free",
        "begins, attempt 2",
        "all have ended",
        "Back to zero",
    ] {
        assert!(told.contains(part), "{part} is missing:\n{told}");
    }
    // Every run is in the table, with a loss that has gone down and something that was learned.
    for name in ["ada-1", "ada-2", "ada-3", "ada-4", "ada-5", "bob-1", "bob-2", "bob-3"] {
        let row =
            told.lines().find(|line| line.starts_with(&format!("  {name} ")) && line.contains("sha256"));
        let row = row.unwrap_or_else(|| panic!("{name} is missing:\n{told}"));
        let words: Vec<&str> = row.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "->").unwrap();
        let [first, last] = [at - 1, at + 1].map(|at| words[at].parse::<f64>().unwrap());
        assert!(last < first / 2.0, "{row}");
    }
}
