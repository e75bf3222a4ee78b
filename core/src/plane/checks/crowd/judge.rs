//! Compares what everybody wrote, what the feed tells, and what is stored: [`CrowdReport`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::diary::{Note, Writer};
use super::words::{Why, Word};
use super::{feed, rows, uses};
use crate::ControlPlane;
use crate::entity::{LeaseId, RunId, RunState};
use crate::time::Timestamp;

/// How much of what is wrong is told.
const TOLD: usize = 20;

/// What is known beside the store.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) seed: u64,
    pub(super) lease: Duration,
    pub(super) diaries: BTreeMap<Writer, Vec<(Timestamp, Note)>>,
    /// The runs that were asked for, and whether the answer was that they are there.
    pub(super) submitted: BTreeMap<RunId, bool>,
    /// When each process that was killed was gone.
    pub(super) kills: BTreeMap<(u32, u32), Timestamp>,
    /// What nobody could release who took it.
    pub(super) orphans: BTreeSet<LeaseId>,
}

/// What a crowd has come to. Its text is one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrowdReport {
    /// The seed.
    pub seed: u64,
    /// For how long workers had a lease that they did not renew.
    pub lease: Duration,
    /// Runs that were submitted.
    pub submitted: u64,
    /// Runs by the state in which they ended.
    pub ended: BTreeMap<&'static str, u64>,
    /// Leases that were given.
    pub grants: u64,
    /// Leases that workers were told that they have.
    pub claims: u64,
    /// Claims by workers that had died before.
    pub claims_reborn: u64,
    /// How much of what schedulers had planned was not so any more.
    pub lost_plans: u64,
    /// Leases that were taken for another run.
    pub preemptions: u64,
    /// Leases that were not renewed in time.
    pub expired: u64,
    /// Words that do not count, by the reason.
    pub stale: BTreeMap<String, u64>,
    /// How many of them were accepted all the same.
    pub stale_accepted: u64,
    /// Workers that died and came back.
    pub deaths: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Leases that somebody else answered for: those of processes that were killed, and those of unknown answers.
    pub orphans: u64,
    /// Records of the feed.
    pub records: u64,
}

impl fmt::Display for CrowdReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = |counts: Vec<(&str, u64)>| {
            let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            each.join(", ")
        };
        let ended = counts(self.ended.iter().map(|(state, count)| (*state, *count)).collect());
        let stale = counts(self.stale.iter().map(|(why, count)| (why.as_str(), *count)).collect());
        write!(
            f,
            "seed {}, leases of {:?}: {} runs submitted ({ended}); {} grants, {} lost plans, {} preemptions, {} claims, {} of \
             them by workers that had died; {} leases expired; {} of {} stale words accepted ({stale}); {} deaths, \
             {} kills, {} leases answered for; {} records",
            self.seed,
            self.lease,
            self.submitted,
            self.grants,
            self.lost_plans,
            self.preemptions,
            self.claims,
            self.claims_reborn,
            self.expired,
            self.stale_accepted,
            self.stale.values().sum::<u64>(),
            self.deaths,
            self.kills,
            self.orphans,
            self.records,
        )
    }
}

/// Judges everything, and panics with what is wrong.
pub(super) async fn judge(plane: &ControlPlane, facts: &Facts) -> CrowdReport {
    let told = feed::replay(&*plane.store).await;
    let mut wrong = told.wrong.clone();
    wrong.extend(uses::judge(facts));
    let runs = rows::judge(plane, facts, &told, &mut wrong).await;
    completions(facts, &told, &runs, &mut wrong);
    let (mut report, unsure) = counted(facts, &mut wrong);
    // What is held by nobody was taken by a process that was killed, or by a call of which nobody knows what came.
    let known = claimed_by_the_killed(facts);
    let unknown =
        u64::try_from(facts.orphans.iter().filter(|orphan| !known.contains(orphan)).count()).unwrap();
    let cut_off = u64::from(super::WORKERS) * report.kills;
    if unknown > cut_off + unsure {
        wrong.push(format!(
            "{unknown} leases were of nobody, with {} kills and {unsure} doubts",
            report.kills
        ));
    }
    let operation = |name: &str| told.operations.get(name).copied().unwrap_or_default();
    report.grants = operation("run.grant");
    report.preemptions = operation("run.preempt");
    report.expired = operation("lease.expire");
    report.records = told.records;
    for state in runs.values() {
        *report.ended.entry(state.as_str()).or_default() += 1;
    }
    let enough = report.kills > 0 && report.claims_reborn > 0;
    let completed = report.ended.contains_key(RunState::Completed.as_str());
    if !(enough && completed && Why::CERTAIN.iter().all(|why| report.stale.contains_key(&format!("{why:?}"))))
    {
        wrong.push("too little has happened to show anything".to_owned());
    }
    let first: Vec<&str> = wrong.iter().take(TOLD).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{report}\n{} things are wrong:\n{}", wrong.len(), first.join("\n"));
    report
}

/// A run that is completed was so by one commit, of which one worker was told, or none that lived to be told; and no other run was.
fn completions(
    facts: &Facts,
    told: &feed::Told,
    runs: &BTreeMap<uuid::Uuid, RunState>,
    wrong: &mut Vec<String>,
) {
    let (mut tried, mut answered) = (BTreeMap::new(), BTreeMap::new());
    for ((number, generation, _), notes) in &facts.diaries {
        let killed = facts.kills.contains_key(&(*number, *generation));
        for (_, note) in notes {
            match note {
                Note::Completing { lease } if killed => *tried.entry(lease.run.uuid()).or_default() += 1,
                Note::Completed { lease } => *answered.entry(lease.run.uuid()).or_default() += 1,
                _ => {}
            }
        }
    }
    for (run, state) in runs {
        let commits = told.runs.get(run).map_or(0, |run| run.completed);
        let answered: u32 = answered.get(run).copied().unwrap_or_default();
        let tried: u32 = tried.get(run).copied().unwrap_or_default();
        let is_so = if *state == RunState::Completed {
            commits == 1 && (answered == 1 || (answered == 0 && tried > 0))
        } else {
            commits == 0 && answered == 0
        };
        if !is_so {
            wrong.push(format!(
                "run {run} is {state}: completed by {commits} commits, answered {answered} times"
            ));
        }
    }
}

/// What the processes had taken that were killed, as far as they were told so.
fn claimed_by_the_killed(facts: &Facts) -> BTreeSet<LeaseId> {
    let of_killed =
        facts.diaries.iter().filter(|(writer, _)| facts.kills.contains_key(&(writer.0, writer.1)));
    let claims = of_killed.flat_map(|(_, notes)| notes).filter_map(|(_, note)| match note {
        Note::Claimed { lease, .. } => Some(lease.lease),
        _ => None,
    });
    claims.collect()
}

/// What the diaries tell, with how often somebody was told that nobody knows.
fn counted(facts: &Facts, wrong: &mut Vec<String>) -> (CrowdReport, u64) {
    let mut report = CrowdReport { seed: facts.seed, lease: facts.lease, ..CrowdReport::default() };
    report.submitted = u64::try_from(facts.submitted.len()).unwrap();
    report.kills = u64::try_from(facts.kills.len()).unwrap();
    report.orphans = u64::try_from(facts.orphans.len()).unwrap();
    let (mut unsure, mut words) = (0, BTreeSet::new());
    for (writer, notes) in &facts.diaries {
        for (at, note) in notes {
            match note {
                Note::Born => report.deaths += 1,
                Note::Claimed { lives, .. } => {
                    report.claims += 1;
                    report.claims_reborn += u64::from(*lives > 0);
                }
                Note::Stale { word, why, refused } => {
                    words.insert(*word);
                    *report.stale.entry(format!("{why:?}")).or_default() += 1;
                    if refused.is_none() {
                        report.stale_accepted += 1;
                        wrong.push(format!("{at}, {writer:?}: {word:?} was accepted, {why:?}"));
                    }
                }
                Note::Unsure => unsure += 1,
                Note::Ticked { lost, .. } => report.lost_plans += u64::try_from(*lost).unwrap(),
                _ => {}
            }
        }
    }
    // Everybody is born once without having died.
    let begun = facts.diaries.keys().filter(|(_, _, who)| who.starts_with("worker")).count();
    report.deaths = report.deaths.saturating_sub(u64::try_from(begun).unwrap());
    if words.len() != Word::ALL.len() {
        wrong.push(format!("of all stale words only {words:?} were said"));
    }
    (report, unsure)
}
