//! What a store's replay was begun with, so that it is only continued with the same.

use std::fmt::Write as _;
use std::sync::Arc;

use apportion::store::{Column, NewRow, Row, Scan, SnapshotExt as _, Store, StoreExt as _, Table, Write};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::workload::Workload;
use crate::cli::ReplayArgs;
use crate::error::AppError;
use crate::trace::{NodeRow, PodRow};

/// What a replay was begun with: a row for each input that its outcome depends on.
pub(super) static INPUTS: Table = Table::new(
    "replay_inputs",
    &[Column::text("name", 32), Column::text("value", 128).immutable()],
    &["name"],
);

/// The inputs, as name and value.
pub(super) type Inputs = Vec<(&'static str, String)>;

/// Everything that the outcome depends on. How many operations share a commit does not matter, nor how durable it is.
pub(super) fn inputs(args: &ReplayArgs, workload: &Workload) -> Inputs {
    vec![
        ("nodes", nodes_digest(&workload.nodes)),
        ("pods", pods_digest(&workload.pods)),
        ("users", args.users.to_string()),
        ("instance limit", args.instance_limit.to_string()),
        ("gpu limit", args.gpu_limit.map_or_else(|| "none".to_owned(), |gpus| gpus.to_string())),
        ("policy", args.policy.to_string()),
        ("seed", args.seed.to_string()),
    ]
}

/// The writes that note the inputs.
pub(super) fn writes(inputs: &Inputs) -> Vec<Write> {
    let row = |(name, value): &(&'static str, String)| {
        Write::Insert(NewRow::new(&INPUTS).set("name", *name).set("value", value.as_str()))
    };
    inputs.iter().map(row).collect()
}

/// Whether a replay was begun in this store, with these inputs; others are an error.
pub(super) async fn was_begun(store: &Arc<dyn Store>, inputs: &Inputs) -> Result<bool, AppError> {
    let mut stored = Vec::new();
    let snapshot = store.snapshot().await?;
    let mut look = |row: &Row| {
        stored.push((row.text("name")?.to_owned(), row.text("value")?.to_owned()));
        Ok(())
    };
    snapshot.each(Scan::of(&INPUTS), &mut look).await?;
    if stored.is_empty() {
        return if snapshot.cursor().position == 0 { Ok(false) } else { Err(AppError::NotAReplay) };
    }
    for (name, given) in inputs {
        let begun = store.get(&INPUTS, *name).await?.value.ok_or(AppError::NotAReplay)?;
        let begun = begun.text("value")?;
        if begun != given {
            return Err(AppError::OtherInputs { name, begun: begun.to_owned(), given: given.clone() });
        }
    }
    Ok(true)
}

fn nodes_digest(nodes: &[NodeRow]) -> String {
    let line = |node: &NodeRow| {
        let NodeRow { name, cpu_milli, memory_mib, gpus, model } = node;
        json!([name, cpu_milli, memory_mib, gpus, model])
    };
    digest(nodes.iter().map(line))
}

fn pods_digest(pods: &[PodRow]) -> String {
    // What the replay does not look at, such as the class of service, changes nothing.
    let line = |pod: &PodRow| {
        json!([
            pod.name,
            pod.cpu_milli,
            pod.memory_mib,
            pod.num_gpu,
            pod.gpu_milli,
            pod.gpu_spec,
            pod.creation_time,
            pod.deletion_time
        ])
    };
    digest(pods.iter().map(line))
}

/// SHA-256 over lines, in hexadecimal.
pub(super) fn digest(lines: impl Iterator<Item = serde_json::Value>) -> String {
    let mut hash = Sha256::new();
    for line in lines {
        hash.update(line.to_string());
        hash.update("\n");
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // A string takes every write.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
