//! Reads a cluster and its workload from CSV files in the columns of the published openb trace.
//!
//! Nothing is guessed: a value that is not what its column says ends the reading with the file, the line and the
//! column, before anything is written anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use apportion::sched::{Demand, GpuDemand};

pub(crate) mod table;

use table::{Row, Table};

/// The most GPUs of a node, and the most that one pod may ask for.
pub const MAX_GPUS: u32 = 8;

/// A machine as the node list describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// The name (column `sn`), unique in its file.
    pub name: String,
    /// Processor time in thousandths of a core.
    pub cpu_milli: CpuMilli,
    /// Memory in MiB.
    pub memory_mib: MemoryMib,
    /// Whole GPUs, 0 to [`MAX_GPUS`].
    pub gpus: u32,
    /// The model of all GPUs of this node; none on a node without GPUs.
    pub model: Option<String>,
}

/// A pod as the pod list describes it; the replay makes one instance of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRow {
    /// The name, unique in its file.
    pub name: String,
    /// Processor time that it asks for, in thousandths of a core.
    pub cpu_milli: CpuMilli,
    /// Memory that it asks for, in MiB.
    pub memory_mib: MemoryMib,
    /// GPUs that it asks for, 0 to [`MAX_GPUS`].
    pub num_gpu: u32,
    /// The share of *each* GPU: below 1000 only with one GPU, 1000 otherwise, 0 without GPUs.
    pub gpu_milli: GpuMilli,
    /// The models that it can run on; empty means any.
    pub gpu_spec: Vec<String>,
    /// The class of service, where the file says one.
    pub qos: Option<String>,
    /// The last phase that the trace saw.
    pub pod_phase: Option<String>,
    /// Seconds from the start of the trace.
    pub creation_time: Option<i64>,
    /// Seconds from the start of the trace; none when it never ends.
    pub deletion_time: Option<i64>,
    /// Seconds from the start of the trace; none when it was never placed.
    pub scheduled_time: Option<i64>,
}

impl PodRow {
    /// The GPU milli of all its GPUs together.
    pub fn total_gpu_milli(&self) -> i64 {
        self.gpu_milli.get() * i64::from(self.num_gpu)
    }

    /// What it demands of a node; `None` where no node could be asked for it. Traces say nothing of disks.
    pub fn demand(&self) -> Option<Demand> {
        let gpu = match (self.num_gpu, self.gpu_milli) {
            (0, _) => GpuDemand::None,
            (1, milli) if milli < GpuMilli::WHOLE => GpuDemand::Share(milli),
            (count, _) => GpuDemand::Whole(count),
        };
        Demand::new(self.cpu_milli, self.memory_mib, StorageMib::ZERO, gpu, self.gpu_spec.clone()).ok()
    }
}

/// Why a trace could not be read; each names the file, and the line and column where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file is not there or cannot be read.
    #[error("{}: cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file has no header, or a header and nothing else.
    #[error("{}: has no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The header lacks a column.
    #[error("{}: line 1: column {column} is missing", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column that must be there.
        column: &'static str,
    },
    /// A line has more or fewer fields than the header.
    #[error("{}: line {line}: {got} fields, but the header has {expected} columns", path.display())]
    FieldCount {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Columns of the header.
        expected: u64,
        /// Fields of the line.
        got: u64,
    },
    /// A field is not text.
    #[error("{}: line {line}: column {column} is not valid UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column's name, or its number where the header itself is broken.
        column: String,
    },
    /// A value is not what its column allows.
    #[error("{}: line {line}: column {column}: `{value}` {problem}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A pod asks for a model that no node has.
    #[error(
        "{}: line {line}: column gpu_spec: no node has a GPU of model `{model}`; known are {}",
        path.display(),
        known.join(", ")
    )]
    UnknownModel {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The model that was asked for.
        model: String,
        /// The models of the cluster.
        known: Vec<String>,
    },
    /// A name occurs twice.
    #[error("{}: line {line}: column {column}: `{name}` is already on line {first_line}", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The line of the second one, from 1.
        line: u64,
        /// The column's name.
        column: &'static str,
        /// The name.
        name: String,
        /// The line of the first one, from 1.
        first_line: u64,
    },
}

/// Reads a node list: columns `sn`, `cpu_milli`, `memory_mib`, `gpu`, `model`.
pub fn read_nodes(path: &Path) -> Result<Vec<NodeRow>, TraceError> {
    let mut table = Table::open(path)?;
    let columns = ["sn", "cpu_milli", "memory_mib", "gpu", "model"];
    for column in columns {
        table.require(column)?;
    }
    let mut names = Names::new("sn");
    let mut nodes = Vec::new();
    while let Some(row) = table.next_row()? {
        nodes.push(NodeRow {
            name: names.take(&row)?,
            cpu_milli: row.amount("cpu_milli", CpuMilli::new)?,
            memory_mib: row.amount("memory_mib", MemoryMib::new)?,
            gpus: row.gpus("gpu")?,
            model: row.optional_text("model"),
        });
    }
    if nodes.is_empty() { Err(TraceError::Empty { path: path.to_owned() }) } else { Ok(nodes) }
}

/// The GPU models of a cluster, which are those that a pod may ask for.
pub fn models(nodes: &[NodeRow]) -> BTreeSet<String> {
    nodes.iter().filter(|node| node.gpus > 0).filter_map(|node| node.model.clone()).collect()
}

/// Reads a pod list: the first five columns are `name`, `cpu_milli`, `memory_mib`, `num_gpu`, `gpu_milli`; the
/// others of the published files are read where the header has them.
pub fn read_pods(path: &Path, known_models: &BTreeSet<String>) -> Result<Vec<PodRow>, TraceError> {
    let mut table = Table::open(path)?;
    for column in ["name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli"] {
        table.require(column)?;
    }
    let mut names = Names::new("name");
    let mut pods: Vec<PodRow> = Vec::new();
    while let Some(row) = table.next_row()? {
        let pod = pod(&row, &mut names, known_models)?;
        // Half a file of times has no event order.
        if pods.first().is_some_and(|first| first.creation_time.is_some() != pod.creation_time.is_some()) {
            return Err(row.bad("creation_time", "must be given for all pods or for none"));
        }
        pods.push(pod);
    }
    if pods.is_empty() { Err(TraceError::Empty { path: path.to_owned() }) } else { Ok(pods) }
}

fn pod(row: &Row<'_>, names: &mut Names, known_models: &BTreeSet<String>) -> Result<PodRow, TraceError> {
    let num_gpu = row.gpus("num_gpu")?;
    Ok(PodRow {
        name: names.take(row)?,
        cpu_milli: row.amount("cpu_milli", CpuMilli::new)?,
        memory_mib: row.amount("memory_mib", MemoryMib::new)?,
        num_gpu,
        gpu_milli: share(row, num_gpu)?,
        gpu_spec: spec(row, known_models)?,
        qos: row.optional_text("qos"),
        pod_phase: row.optional_text("pod_phase"),
        creation_time: row.optional_seconds("creation_time")?,
        deletion_time: deletion(row)?,
        scheduled_time: row.optional_seconds("scheduled_time")?,
    })
}

fn share(row: &Row<'_>, num_gpu: u32) -> Result<GpuMilli, TraceError> {
    let share = row.amount("gpu_milli", GpuMilli::new)?;
    let problem = match num_gpu {
        0 if !share.is_zero() => "must be 0 for a pod without GPUs",
        1 if share.is_zero() || share > GpuMilli::WHOLE => "must be from 1 to 1000 for one GPU",
        2.. if share != GpuMilli::WHOLE => "must be 1000 for several GPUs: only one GPU can be shared",
        _ => return Ok(share),
    };
    Err(row.bad("gpu_milli", problem))
}

fn spec(row: &Row<'_>, known_models: &BTreeSet<String>) -> Result<Vec<String>, TraceError> {
    let Some(text) = row.optional_text("gpu_spec") else {
        return Ok(Vec::new());
    };
    text.split('|')
        .map(|model| {
            if known_models.contains(model) {
                return Ok(model.to_owned());
            }
            Err(TraceError::UnknownModel {
                path: row.path.to_owned(),
                line: row.line,
                model: model.to_owned(),
                known: known_models.iter().cloned().collect(),
            })
        })
        .collect()
}

fn deletion(row: &Row<'_>) -> Result<Option<i64>, TraceError> {
    let deleted = row.optional_seconds("deletion_time")?;
    match (row.optional_seconds("creation_time")?, deleted) {
        (None, Some(_)) => Err(row.bad("deletion_time", "has no creation_time before it")),
        (Some(created), Some(at)) if at < created => {
            Err(row.bad("deletion_time", &format!("is before creation_time {created}")))
        }
        _ => Ok(deleted),
    }
}

/// The names seen so far, with their lines.
pub(crate) struct Names {
    column: &'static str,
    lines: BTreeMap<String, u64>,
}

impl Names {
    pub(crate) fn new(column: &'static str) -> Self {
        Self { column, lines: BTreeMap::new() }
    }

    pub(crate) fn take(&mut self, row: &Row<'_>) -> Result<String, TraceError> {
        let name = row.text(self.column).to_owned();
        if name.is_empty() {
            return Err(row.bad(self.column, "must not be empty"));
        }
        match self.lines.insert(name.clone(), row.line) {
            None => Ok(name),
            Some(first_line) => Err(TraceError::Duplicate {
                path: row.path.to_owned(),
                line: row.line,
                column: self.column,
                name,
                first_line,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
