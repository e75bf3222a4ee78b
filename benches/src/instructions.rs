//! Instruction counts as a gate: how many instructions take what is decided most often, beside how many it took before.
//!
//! Unlike time they are the same on a busy machine. `benches/benches/instructions.rs` is what is counted, by gungraun and
//! valgrind; the counts that were are in `benches/instructions.txt`. Another compiler makes other code, and so may make more of it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, Stdio};

use benches::stores::Failed;
use serde_json::Value;

use crate::plot::number;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
/// By how many per cent a count may be above what it was: with the compiler that it is of, and with another one.
const MORE_PCT: u64 = 5;
const MORE_ELSEWHERE_PCT: u64 = 20;

/// Counts by name, and the compiler that they are of.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    compiler: String,
    counts: BTreeMap<String, u64>,
}

/// Counts, and compares with what was, or writes it down.
pub(crate) fn check(update: bool) -> Result<(), Failed> {
    let counted = Counts { compiler: compiler()?, counts: count()? };
    if update {
        std::fs::write(FILE, counted.to_text())?;
        println!("{} counts are written to {FILE}", counted.counts.len());
        return Ok(());
    }
    let before = Counts::read(&std::fs::read_to_string(FILE)?)?;
    print!("{}", table(&counted, &before));
    let same = before.compiler == counted.compiler;
    if !same {
        println!("\nthe counts are of {}, and this is {}", before.compiler, counted.compiler);
    }
    let more_pct = if same { MORE_PCT } else { MORE_ELSEWHERE_PCT };
    let more = more(&counted, &before, more_pct);
    if more.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {more_pct} % above {FILE}, or not in it: {}; where that is meant, `cargo run --release -p benches -- \
         instructions --update` writes the new counts down",
        more.join(", ")
    )
    .into())
}

/// What is counted more often than it may be.
fn more(counted: &Counts, before: &Counts, more_pct: u64) -> Vec<String> {
    let too_many = |(name, count): (&String, &u64)| {
        let may = before.counts.get(name).map_or(0, |before| before * (100 + more_pct) / 100);
        (*count > may).then(|| name.clone())
    };
    counted.counts.iter().filter_map(too_many).collect()
}

fn table(counted: &Counts, before: &Counts) -> String {
    let head = format!("{:<44} {:>15} {:>15} {:>9}\n", "instructions", "were", "are", "");
    let line = |(name, count): (&String, &u64)| {
        let was = before.counts.get(name).copied();
        let change = was.filter(|was| *was > 0).map(|was| 100.0 * (real(*count) / real(was) - 1.0));
        let said = [was.map(|was| number(real(was))), change.map(|change| format!("{change:+.2} %"))];
        let [was, change] = said.map(Option::unwrap_or_default);
        format!("{name:<44} {was:>15} {:>15} {change:>9}\n", number(real(*count)))
    };
    head + &counted.counts.iter().map(line).collect::<String>()
}

impl Counts {
    fn read(text: &str) -> Result<Self, Failed> {
        let mut lines = text.lines();
        let compiler = lines.next().unwrap_or_default().to_owned();
        let mut counts = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (name, count) = line.rsplit_once(' ').ok_or_else(|| format!("no count: {line:?}"))?;
            counts.insert(name.trim_end().to_owned(), count.parse()?);
        }
        Ok(Self { compiler, counts })
    }

    fn to_text(&self) -> String {
        let line = |(name, count): (&String, &u64)| format!("{name:<44} {count}\n");
        format!("{}\n{}", self.compiler, self.counts.iter().map(line).collect::<String>())
    }
}

/// The compiler, as it calls itself.
fn compiler() -> Result<String, Failed> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc).arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Has all benchmarks counted.
fn count() -> Result<BTreeMap<String, u64>, Failed> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "bench",
            "--features",
            "instructions",
            "--bench",
            "instructions",
            "--",
            "--output-format=json",
        ])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("counting failed: it needs valgrind and a gungraun-runner of gungraun's version".into());
    }
    let mut counts = BTreeMap::new();
    for line in String::from_utf8(output.stdout)?.lines().filter(|line| line.starts_with('{')) {
        let (name, count) = read(&serde_json::from_str(line)?).ok_or_else(|| format!("no count: {line}"))?;
        counts.insert(name, count);
    }
    if counts.is_empty() { Err("nothing was counted".into()) } else { Ok(counts) }
}

/// The name of a benchmark and its count, of the summary that gungraun writes.
fn read(summary: &Value) -> Option<(String, u64)> {
    let name = summary.get("function_name")?.as_str()?;
    let id = summary.get("id").and_then(Value::as_str);
    let count = summary.pointer("/profiles/0/data/total/metrics/Ir/values/new")?.as_u64()?;
    Some((id.map_or_else(|| name.to_owned(), |id| format!("{name}, {id}")), count))
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
const fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_found_in_a_summary() {
        let summary = r#"{"function_name": "decide", "id": "fgd", "profiles": [
            {"data": {"total": {"metrics": {"Ir": {"values": {"new": 12, "old": 11}}}}}}]}"#;
        let summary = serde_json::from_str(summary).unwrap();
        assert_eq!(read(&summary), Some(("decide, fgd".to_owned(), 12)));
        assert_eq!(read(&Value::Null), None);
    }

    fn counts(counts: &[(&str, u64)]) -> Counts {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Counts { compiler: "rustc 1.95.0".into(), counts }
    }

    #[test]
    fn what_is_written_down_is_read_again() {
        let written = counts(&[("decide, fgd", 1_234), ("launch", 5)]);
        assert_eq!(Counts::read(&written.to_text()).unwrap(), written);
        assert!(Counts::read("rustc 1.95.0\ndecide x\n").is_err());
    }

    #[test]
    fn a_twentieth_more_is_allowed_and_what_is_new_has_to_be_written_down() {
        let before = counts(&[("a", 100), ("b", 100), ("gone", 1)]);
        assert_eq!(more(&counts(&[("a", 105), ("b", 1)]), &before, 5), Vec::<String>::new());
        assert_eq!(more(&counts(&[("a", 106), ("b", 100), ("new", 1)]), &before, 5), ["a", "new"]);
    }
}
