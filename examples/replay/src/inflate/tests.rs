use std::collections::BTreeMap;

use apportion::amount::{CpuMilli, GpuMilli, MemoryMib};

use super::*;

fn node(name: &str, gpus: u32) -> NodeRow {
    NodeRow {
        name: name.to_owned(),
        cpu_milli: CpuMilli::from_u32(64_000),
        memory_mib: MemoryMib::from_u32(262_144),
        gpus,
        model: (gpus > 0).then(|| "T4".to_owned()),
    }
}

fn pod(name: u32, num_gpu: u32, gpu_milli: u32) -> PodRow {
    PodRow {
        name: format!("pod-{name:04}"),
        cpu_milli: CpuMilli::from_u32(1000),
        memory_mib: MemoryMib::from_u32(1024),
        num_gpu,
        gpu_milli: GpuMilli::from_u32(gpu_milli),
        gpu_spec: Vec::new(),
        qos: None,
        pod_phase: None,
        creation_time: None,
        deletion_time: None,
        scheduled_time: None,
    }
}

/// A hundred nodes with four GPUs each.
fn nodes() -> Vec<NodeRow> {
    (0..100).map(|at| node(&format!("node-{at}"), 4)).collect()
}

/// Pods of all kinds that ask for `times` times 9,700 milli.
fn pods(times: u32) -> Vec<PodRow> {
    let kinds = [(0, 0), (1, 300), (1, 500), (1, 900), (1, 1000), (1, 1000), (2, 1000), (4, 1000)];
    (0..times * 8).zip(kinds.into_iter().cycle()).map(|(at, (count, milli))| pod(at, count, milli)).collect()
}

#[test]
fn the_same_seed_gives_the_same_figures_and_another_seed_others() {
    let figures = |policy, mix, seed| Outcome {
        decisions_per_s: 0.0,
        ..run(&nodes(), "t", &pods(30), policy, mix, seed)
    };
    for policy in Policy::ALL {
        for mix in [Typical::Given, Typical::Learned] {
            let first = figures(policy, mix, 42);
            assert_eq!(first, figures(policy, mix, 42));
            let second = figures(policy, mix, 43);
            assert_ne!(first.frag_ratio_pct_50.to_bits(), second.frag_ratio_pct_50.to_bits());
        }
    }
}

#[test]
fn a_policy_that_knows_what_is_typical_decides_otherwise_while_it_learns_that() {
    let kinds = [(1, 230), (1, 470), (1, 650), (1, 810), (2, 1000), (1, 320), (1, 550)];
    let pods: Vec<PodRow> =
        (0..700).zip(kinds.into_iter().cycle()).map(|(at, (count, milli))| pod(at, count, milli)).collect();
    let figures = |mix| {
        let outcome = run(&nodes(), "t", &pods, Policy::OpportunityCost, mix, 42);
        [outcome.alloc_pct_100, outcome.frag_ratio_pct_50, outcome.frag_ratio_pct_80].map(f64::to_bits)
    };
    assert_ne!(figures(Typical::Given), figures(Typical::Learned));
}

#[test]
fn a_short_trace_is_stretched_after_all_its_own_pods() {
    let (pods, capacity) = (pods(30), 400_000);
    let arrivals = arrivals(&pods, capacity, &mut Pcg64::seed_from_u64(1));
    let asked: i64 = arrivals.iter().map(|pod| pod.total_gpu_milli()).sum();
    // The last draw may overshoot by what a pod asks of more than one GPU.
    assert!((518_000..=523_000).contains(&asked), "{asked}");
    let mut first: Vec<&str> = arrivals.iter().take(pods.len()).map(|pod| pod.name.as_str()).collect();
    first.sort_unstable();
    assert_eq!(first, pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>());
}

#[test]
fn a_long_trace_is_thinned_to_what_is_offered() {
    let pods = pods(100);
    let arrivals = arrivals(&pods, 400_000, &mut Pcg64::seed_from_u64(1));
    let asked: i64 = arrivals.iter().map(|pod| pod.total_gpu_milli()).sum();
    assert!((516_000..=523_000).contains(&asked), "{asked}");
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    for pod in &arrivals {
        *times.entry(&pod.name).or_default() += 1;
    }
    assert!(times.len() > 300 && times.len() < pods.len());
}

#[test]
fn work_that_divides_the_gpus_evenly_fills_them() {
    let pods: Vec<PodRow> = (0..300).map(|at| pod(at, 1, 500)).collect();
    for policy in Policy::ALL {
        let outcome = run(&nodes(), "halves", &pods, policy, Typical::Given, 42);
        assert!(outcome.alloc_pct_100 > 99.5 && (outcome.alloc_pct_130 - 100.0).abs() < 1e-9, "{outcome:?}");
        assert_eq!(outcome.unplaced, 240);
        assert!(outcome.frag_ratio_pct_50 < 0.001);
    }
}

#[test]
fn nodes_without_gpus_take_no_part() {
    let mut with = nodes();
    with.extend((0..50).map(|at| node(&format!("cpu-{at}"), 0)));
    let figures = |nodes: &[NodeRow]| Outcome {
        decisions_per_s: 0.0,
        ..run(nodes, "t", &pods(20), Policy::Fgd, Typical::Given, 1)
    };
    assert_eq!(figures(&with), figures(&nodes()));
}

#[test]
fn fragments_kept_up_by_each_node_are_those_of_the_whole_cluster() {
    let pods = pods(30);
    let mut rng = Pcg64::seed_from_u64(5);
    let mut cluster = cluster(&nodes(), &mut rng);
    let demands: Vec<Demand> = pods.iter().filter_map(PodRow::demand).collect();
    let mix = TaskMix::from_demands(&demands);
    let mut decider = Decider::new(Scheduler::new(Policy::Fgd, 1), Typical::Given, &mix);
    let mut watch = Watch::new(&cluster, mix.clone(), 400_000);
    for pod in arrivals(&pods, 400_000, &mut rng) {
        watch.arrive(&mut cluster, &mut decider, pod);
    }
    assert_eq!(watch.fragments, apportion::sched::fragmentation(&cluster, &mix));
    assert_eq!(u64::try_from(watch.allocated), Ok(cluster.totals().gpu_used_milli));
}

#[test]
fn a_trace_without_gpus_and_a_cluster_without_nodes_are_answered() {
    let none = run(&nodes(), "cpu", &[pod(1, 0, 0)], Policy::Fgd, Typical::Learned, 1);
    assert_eq!((none.unplaced, none.alloc_pct_130), (0, 0.0));
    // Whatever asks for a GPU is thinned out; what is left fits nowhere.
    let nowhere = run(&[], "t", &pods(20), Policy::BestFit, Typical::Learned, 1);
    assert!(nowhere.unplaced > 0);
    assert_eq!((nowhere.alloc_pct_100, nowhere.alloc_pct_130), (0.0, 0.0));
}

#[test]
fn an_outcome_is_written_under_fixed_names() {
    let outcome = run(&nodes(), "t", &pods(1), Policy::DotProduct, Typical::Learned, 42);
    let json = serde_json::to_value(&outcome).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "alloc_pct_100",
        "alloc_pct_130",
        "decisions_per_s",
        "frag_ratio_pct_50",
        "frag_ratio_pct_80",
        "mix",
        "policy",
        "seed",
        "trace",
        "unplaced",
    ];
    assert_eq!(names, expected);
    assert_eq!((&json["policy"], &json["mix"]), (&"dot-product".into(), &"learned".into()));
}

#[test]
fn a_policy_that_does_not_look_at_the_mix_does_the_same_when_it_learns_it() {
    for policy in Policy::ALL {
        let of =
            |mix| Outcome { mix, decisions_per_s: 0.0, ..run(&nodes(), "t", &pods(30), policy, mix, 42) };
        let (given, learned) = (of(Typical::Given), of(Typical::Learned));
        if !matches!(policy, Policy::Fgd | Policy::OpportunityCost) {
            assert_eq!(given, Outcome { mix: Typical::Given, ..learned.clone() }, "{policy}");
        }
        // It knows enough soon: the whole run is hardly worse for it.
        assert!(learned.alloc_pct_100 > given.alloc_pct_100 - 1.0, "{given:?} {learned:?}");
    }
}
