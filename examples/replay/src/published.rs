//! The published results of the experiment, to compare with.

use std::collections::BTreeMap;
use std::path::Path;

use apportion::sched::Policy;

use crate::trace::TraceError;
use crate::trace::table::{Row, Table};

/// A quantity of the experiment at a point of its course.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measure {
    /// GPU allocation in per cent when pods worth all GPUs have arrived.
    AllocationAt100,
    /// GPU allocation in per cent at the end, when pods worth 130 % of all GPUs have arrived.
    AllocationAt130,
    /// Fragments in per cent of the idle GPU milli when pods worth half of all GPUs have arrived.
    FragmentsAt50,
}

/// Published means over the seeds, by workload and policy.
#[derive(Debug, Default)]
pub struct Published(BTreeMap<(String, Policy, Measure), f64>);

impl Published {
    /// Reads the columns `metric`, `trace`, `policy`, `arrived_pct` and `mean`; rows of other measures are passed over.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let mut table = Table::open(path)?;
        for column in ["metric", "trace", "policy", "arrived_pct", "mean"] {
            table.require(column)?;
        }
        let mut means = BTreeMap::new();
        while let Some(row) = table.next_row()? {
            let Some(measure) = measure(&row) else { continue };
            means.insert((row.text("trace").to_owned(), policy(&row)?, measure), mean(&row)?);
        }
        if means.is_empty() { Err(TraceError::Empty { path: path.to_owned() }) } else { Ok(Self(means)) }
    }

    /// The published mean, where there is one.
    pub fn mean(&self, trace: &str, policy: Policy, measure: Measure) -> Option<f64> {
        self.0.get(&(trace.to_owned(), policy, measure)).copied()
    }
}

fn measure(row: &Row<'_>) -> Option<Measure> {
    match (row.text("metric"), row.text("arrived_pct")) {
        ("alloc_pct", "100") => Some(Measure::AllocationAt100),
        ("alloc_pct", "130") => Some(Measure::AllocationAt130),
        ("frag_ratio_pct_of_idle", "50") => Some(Measure::FragmentsAt50),
        _ => None,
    }
}

/// The published names carry a number in front, which orders them: `06-FGD`.
fn policy(row: &Row<'_>) -> Result<Policy, TraceError> {
    let name = row.text("policy");
    match name.split_once('-').map_or(name, |(_, name)| name) {
        "Random" => Ok(Policy::Random),
        "DotProd" => Ok(Policy::DotProduct),
        "GpuClustering" => Ok(Policy::Clustering),
        "GpuPacking" => Ok(Policy::Packing),
        "BestFit" => Ok(Policy::BestFit),
        "FGD" => Ok(Policy::Fgd),
        _ => Err(row.bad("policy", "is no policy of the published comparison")),
    }
}

fn mean(row: &Row<'_>) -> Result<f64, TraceError> {
    let parsed = row.text("mean").parse().ok().filter(|mean: &f64| mean.is_finite());
    parsed.ok_or_else(|| row.bad("mean", "is not a number"))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(rows: &str) -> Result<Published, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "metric,trace,policy,arrived_pct,mean,sd\n{rows}").unwrap();
        let name = file.path().display().to_string();
        Published::read(file.path()).map_err(|error| error.to_string().replace(&name, "f"))
    }

    #[test]
    fn means_are_found_by_trace_policy_and_measure() {
        let rows = "alloc_pct,t,01-Random,100,86.3,0.3\nalloc_pct,t,06-FGD,130,95.4,0.1\nalloc_pct,t,06-FGD,95,91,0\nfrag_ratio_pct_of_idle,t,04-GpuPacking,50,24,0.9\nother,t,x,50,1,1\n";
        let published = read(rows).unwrap();
        assert_eq!(published.mean("t", Policy::Random, Measure::AllocationAt100), Some(86.3));
        assert_eq!(published.mean("t", Policy::Fgd, Measure::AllocationAt130), Some(95.4));
        assert_eq!(published.mean("t", Policy::Packing, Measure::FragmentsAt50), Some(24.0));
        assert_eq!(published.mean("t", Policy::Fgd, Measure::AllocationAt100), None);
        assert_eq!(published.mean("u", Policy::Random, Measure::AllocationAt100), None);
    }

    #[test]
    fn a_bad_row_is_refused_with_line_and_column() {
        assert_eq!(read("").unwrap_err(), "f: has no rows");
        assert_eq!(
            read("alloc_pct,t,01-Best,100,8,0\n").unwrap_err(),
            "f: line 2: column policy: `01-Best` is no policy of the published comparison"
        );
        assert_eq!(
            read("alloc_pct,t,06-FGD,100,high,0\n").unwrap_err(),
            "f: line 2: column mean: `high` is not a number"
        );
    }
}
