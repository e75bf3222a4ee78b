//! What the diaries say of the use of GPUs: from when a worker was given one until it used it no longer, by the machine's clock.

use std::collections::{BTreeMap, BTreeSet};

use super::diary::{Note, Writer};
use super::judge::Facts;
use crate::amount::GpuMilli;
use crate::entity::{GpuId, LeaseId};
use crate::time::Timestamp;

/// That a worker used GPUs.
#[derive(Clone, Debug)]
struct Use {
    who: String,
    lease: LeaseId,
    gpus: Vec<(GpuId, GpuMilli)>,
    from: Timestamp,
    until: Timestamp,
}

/// What is wrong with the uses: no part of a GPU is used twice at a time, no lease is used by two, and everybody tells of their end.
pub(super) fn judge(facts: &Facts) -> Vec<String> {
    let (mut uses, mut wrong) = (Vec::new(), Vec::new());
    for (writer, notes) in &facts.diaries {
        // What a process used that was killed, it used until it was gone.
        let killed = facts.kills.get(&(writer.0, writer.1)).copied();
        of_diary(writer, notes, killed, &mut uses, &mut wrong);
    }
    let mut leases = BTreeSet::new();
    for one in &uses {
        if !leases.insert(one.lease) {
            wrong.push(format!("lease {} was taken twice, by {} too", one.lease, one.who));
        }
    }
    let mut by_gpu: BTreeMap<GpuId, Vec<(Timestamp, i64, &Use)>> = BTreeMap::new();
    for one in &uses {
        for (gpu, milli) in &one.gpus {
            let moments = by_gpu.entry(*gpu).or_default();
            moments.push((one.from, milli.get(), one));
            moments.push((one.until, -milli.get(), one));
        }
    }
    for (gpu, mut moments) in by_gpu {
        // At one moment what ends comes before what begins.
        moments.sort_by_key(|(at, milli, _)| (*at, *milli));
        let mut sum = 0;
        for (at, milli, one) in moments {
            sum += milli;
            if sum > 1000 {
                wrong.push(format!(
                    "{sum} of GPU {gpu} was used at {at}, when {} came with {}",
                    one.who, one.lease
                ));
            }
        }
    }
    wrong
}

fn of_diary(
    writer: &Writer,
    notes: &[(Timestamp, Note)],
    killed: Option<Timestamp>,
    uses: &mut Vec<Use>,
    wrong: &mut Vec<String>,
) {
    let who = format!("{}.{} {}", writer.0, writer.1, writer.2);
    let mut open: BTreeMap<LeaseId, Use> = BTreeMap::new();
    for (at, note) in notes {
        match note {
            Note::Claimed { lease, gpus, .. } => {
                let (gpus, from) = (gpus.clone(), *at);
                let begun = Use { who: who.clone(), lease: lease.lease, gpus, from, until: Timestamp::MAX };
                open.insert(lease.lease, begun);
            }
            Note::Idle { lease } => uses.extend(open.remove(lease).map(|one| Use { until: *at, ..one })),
            Note::Wrong { what } => wrong.push(format!("{who}: {what}")),
            _ => {}
        }
    }
    for (lease, one) in open {
        match killed {
            Some(until) => uses.push(Use { until, ..one }),
            None => wrong.push(format!("{who} never ended its use of {lease}")),
        }
    }
}
