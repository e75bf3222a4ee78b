use apportion::queue::QueuePolicy;

use super::course::nodes;
use super::figures::{QueueFigures, least_makespan_s};
use super::*;
use crate::jobs::{JobCount, generate};

const SETUP: Setup = Setup {
    gpus: 32,
    per_node: 4,
    gangs: Gangs::Any,
    tick_s: 60,
    quantum_s: 300,
    accounts: 8,
    estimate_error_pct: 0,
    seed: 42,
};

fn row(name: &str, arrival_s: u64, duration_s: u64, gpus: u32) -> JobRow {
    JobRow { name: name.to_owned(), arrival_s, duration_s, gpus, mode: None, model: None }
}

/// Four jobs for one node of two GPUs, on which nothing is decided but when a job comes or ends.
fn four() -> (Vec<JobRow>, Setup) {
    let jobs = vec![row("a", 0, 100, 1), row("b", 10, 50, 2), row("c", 20, 30, 1), row("d", 20, 200, 1)];
    (jobs, Setup { gpus: 2, per_node: 2, gangs: Gangs::OneNode, tick_s: 0, quantum_s: 0, ..SETUP })
}

/// When each of the four began and stopped or ended.
fn spans(policy: &str) -> [Vec<(u64, u64)>; 4] {
    let (jobs, setup) = four();
    let attempts = run(&jobs, &setup, policy.parse().unwrap()).unwrap();
    [0, 1, 2, 3].map(|job| {
        let own = attempts.iter().filter(|attempt| attempt.job == job);
        own.map(|attempt| (attempt.from_s, attempt.until_s)).collect()
    })
}

#[test]
fn first_come_first_served_lets_nobody_pass() {
    assert_eq!(spans("fifo"), [vec![(0, 100)], vec![(100, 150)], vec![(150, 180)], vec![(150, 350)]]);
}

#[test]
fn skipping_lets_everybody_pass_who_fits() {
    assert_eq!(spans("skipping"), [vec![(0, 100)], vec![(250, 300)], vec![(20, 50)], vec![(50, 250)]]);
}

#[test]
fn backfilling_lets_those_pass_who_end_in_time() {
    assert_eq!(spans("backfill"), [vec![(0, 100)], vec![(100, 150)], vec![(20, 50)], vec![(150, 350)]]);
}

#[test]
fn the_least_remaining_time_displaces_and_what_was_done_is_kept() {
    let a = vec![(0, 10), (20, 50), (90, 150)];
    assert_eq!(spans("shortest-remaining"), [a, vec![(10, 20), (50, 90)], vec![(20, 50)], vec![(90, 290)]]);
}

#[test]
fn who_is_chosen_by_the_number_of_gpus_alone_waits_where_no_node_has_them_and_nobody_else_gets_them() {
    let jobs = [
        row("a", 0, 50, 1),
        row("b", 0, 10, 1),
        row("c", 0, 50, 1),
        row("two", 10, 60, 2),
        row("last", 10, 500, 1),
    ];
    let setup = Setup { gpus: 4, per_node: 2, gangs: Gangs::OneNode, tick_s: 0, quantum_s: 0, ..SETUP };
    let begins = |policy: &str| {
        let attempts = run(&jobs, &setup, policy.parse().unwrap()).unwrap();
        assert!(attempts.iter().all(|attempt| attempt.done), "nobody is stopped");
        [3, 4].map(|job| attempts.iter().find(|attempt| attempt.job == job).unwrap().from_s)
    };
    assert_eq!(begins("shortest-counted"), [50, 50]);
    assert_eq!(begins("shortest-remaining"), [50, 10]);
    // The same by stopping: what is chosen later displaces what is not chosen any more.
    assert_eq!(spans("shortest-counted"), spans("shortest-remaining"));
}

#[test]
fn the_figures_of_four_jobs_are_those_worked_out_by_hand() {
    let (jobs, setup) = four();
    let figures = |policy: &str| {
        let discipline = policy.parse().unwrap();
        QueueFigures::measure(&jobs, 2, discipline, &run(&jobs, &setup, discipline).unwrap())
    };
    let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-9, "{got} is not {expected}");
    let fifo = figures("fifo");
    assert_eq!((fifo.makespan_s, fifo.completion_p99_s, fifo.preemptions, fifo.peak_gpus), (350, 330, 0, 2));
    near(fifo.completion_mean_s, f64::from(100 + 140 + 160 + 330) / 4.0);
    // The third waits longest beside its 30 s. In its 160 s there are the others for 80, 130 and 160 s.
    near(fifo.worst_rho, (160.0 / 30.0) / (530.0 / 160.0 / 2.0));
    near(fifo.worst_rho_static, (160.0 / 30.0) / (4.0 / 2.0));
    near(fifo.utilisation_pct, 100.0 * 430.0 / 700.0);
    let shortest = figures("shortest-remaining");
    assert_eq!((shortest.makespan_s, shortest.preemptions, shortest.most_preemptions), (290, 3, 2));
    assert_eq!(least_makespan_s(&jobs, 2), 220);
}

#[test]
fn a_job_that_is_larger_than_its_place_is_refused_by_name() {
    let jobs = [row("wide", 0, 10, 8)];
    let alone = Setup { gangs: Gangs::OneNode, ..SETUP };
    let fifo = Discipline::Policy(QueuePolicy::Fifo);
    let error = run(&jobs, &alone, fifo).unwrap_err();
    assert_eq!(error.to_string(), "job wide needs 8 GPUs, and can have at most 4");
    assert_eq!(run(&jobs, &SETUP, fifo).unwrap()[0].nodes, [0, 0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn the_last_node_has_what_is_left() {
    let sizes = |gpus, per_node| nodes(&Setup { gpus, per_node, ..SETUP }).collect::<Vec<_>>();
    assert_eq!(sizes(10, 4), [4, 4, 2]);
    assert_eq!(sizes(3, 4), [3]);
}

/// Checks a course against the trace by itself: who ran where and when.
fn check(jobs: &[JobRow], setup: &Setup, attempts: &[Attempt], name: &str) {
    let mut ran: Vec<(u64, usize)> = vec![(0, 0); jobs.len()];
    for attempt in attempts {
        let job = &jobs[attempt.job];
        assert!(attempt.from_s >= job.arrival_s, "{name}: {} ran before it came", job.name);
        assert_eq!(attempt.nodes.len(), usize::try_from(job.gpus).unwrap(), "{name}: a gang is whole");
        if setup.gangs == Gangs::OneNode {
            assert!(attempt.nodes.windows(2).all(|pair| pair[0] == pair[1]), "{name}: {attempt:?}");
        }
        let (long_s, ends) = &mut ran[attempt.job];
        *long_s += attempt.until_s - attempt.from_s;
        *ends += usize::from(attempt.done);
    }
    for (job, (long_s, ends)) in jobs.iter().zip(ran) {
        assert_eq!((long_s, ends), (job.duration_s, 1), "{name}: job {}", job.name);
    }
    for moment in attempts.iter().map(|attempt| attempt.from_s) {
        let mut held = [0_u32; 8];
        let there = |attempt: &&Attempt| attempt.from_s <= moment && moment < attempt.until_s;
        for node in attempts.iter().filter(there).flat_map(|attempt| &attempt.nodes) {
            held[usize::try_from(*node).unwrap()] += 1;
        }
        assert!(held.iter().all(|held| *held <= setup.per_node), "{name}: {held:?} GPUs at {moment} s");
    }
}

#[test]
fn under_every_policy_all_jobs_end_and_no_gpu_is_given_twice() {
    for gangs in [Gangs::Any, Gangs::OneNode] {
        let setup = Setup { gangs, ..SETUP };
        let jobs = generate(&JobCount { jobs: 60, most_gpus: 4, seed: 7 });
        let least_s = least_makespan_s(&jobs, setup.gpus);
        for discipline in Discipline::all() {
            let attempts = run(&jobs, &setup, discipline).unwrap();
            check(&jobs, &setup, &attempts, &discipline.to_string());
            let figures = QueueFigures::measure(&jobs, setup.gpus, discipline, &attempts);
            assert!(figures.makespan_s >= least_s && figures.peak_gpus <= 32, "{figures:?}");
            assert_eq!(run(&jobs, &setup, discipline).unwrap(), attempts, "{discipline}: the same again");
        }
    }
}

#[test]
fn wrong_estimates_change_the_course_and_not_what_the_jobs_need() {
    let setup = Setup { estimate_error_pct: 50, ..SETUP };
    let jobs = generate(&JobCount { jobs: 60, most_gpus: 4, seed: 7 });
    let default = Discipline::Policy(QueuePolicy::default());
    let attempts = run(&jobs, &setup, default).unwrap();
    check(&jobs, &setup, &attempts, "wrong estimates");
    assert_ne!(attempts, run(&jobs, &SETUP, default).unwrap());
}

#[test]
fn a_run_keeps_its_place_for_the_quantum() {
    let jobs = generate(&JobCount { jobs: 60, most_gpus: 4, seed: 7 });
    let policies = [QueuePolicy::MaxMin, QueuePolicy::FinishTimeFairness, QueuePolicy::default()];
    for attempt in policies.iter().flat_map(|policy| run(&jobs, &SETUP, Discipline::Policy(*policy)).unwrap())
    {
        assert!(attempt.done || attempt.until_s - attempt.from_s >= SETUP.quantum_s, "{attempt:?}");
    }
}

/// The figures of the default, and of the two fair policies that it is compared with.
fn compared(setup: &Setup, seed: u64) -> (QueueFigures, [QueueFigures; 2]) {
    let jobs = generate(&JobCount { jobs: 120, most_gpus: 4, seed });
    let measure = |policy| {
        let discipline = Discipline::Policy(policy);
        QueueFigures::measure(&jobs, setup.gpus, discipline, &run(&jobs, setup, discipline).unwrap())
    };
    let others = [QueuePolicy::MaxMin, QueuePolicy::FinishTimeFairness].map(measure);
    (measure(QueuePolicy::default()), others)
}

#[test]
fn where_the_queue_is_long_the_default_is_sooner_and_fairer_than_both_fair_policies() {
    for seed in [1, 2, 42] {
        let (default, others) = compared(&SETUP, seed);
        for other in others {
            let better = default.makespan_s < other.makespan_s
                && default.completion_mean_s < other.completion_mean_s
                && default.worst_rho < other.worst_rho;
            assert!(better, "seed {seed}: {default:?} {other:?}");
        }
    }
}

#[test]
fn with_gangs_on_one_node_the_default_is_sooner_than_both_and_about_as_fair_as_the_fairer_one() {
    for seed in [1, 42] {
        let (default, others) = compared(&Setup { gangs: Gangs::OneNode, ..SETUP }, seed);
        for other in others {
            let better = default.makespan_s < other.makespan_s
                && default.completion_mean_s < other.completion_mean_s
                && default.worst_rho < 1.05 * other.worst_rho;
            assert!(better, "seed {seed}: {default:?} {other:?}");
        }
    }
}
