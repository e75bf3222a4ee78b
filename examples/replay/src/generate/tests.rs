use sha2::{Digest as _, Sha256};

use super::*;

const PUBLISHED: Size = Size { nodes: PUBLISHED_NODES, pods: PUBLISHED_PODS, seed: 42 };

fn digest(size: &Size) -> u64 {
    let workload = generate(size);
    let mut hash = Sha256::new();
    for row in &workload.nodes {
        hash.update(format!("{row:?}\n"));
    }
    for row in &workload.pods {
        hash.update(format!("{row:?}\n"));
    }
    u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap())
}

/// The share of the pods of which `is` holds, in per cent.
#[expect(clippy::cast_precision_loss, reason = "counts of rows")]
fn pct(pods: &[PodRow], is: impl Fn(&PodRow) -> bool) -> f64 {
    100.0 * pods.iter().filter(|pod| is(pod)).count() as f64 / pods.len() as f64
}

#[track_caller]
fn close(got: f64, wanted: f64, by: f64) {
    assert!((got - wanted).abs() <= by, "{got} is not within {by} of {wanted}");
}

#[test]
fn a_seed_always_gives_the_same_rows() {
    assert_eq!(digest(&PUBLISHED), 0x68c1_2771_42ad_8be6);
    assert_ne!(digest(&PUBLISHED), digest(&Size { seed: 43, ..PUBLISHED }));
}

#[test]
fn the_cluster_has_the_published_nodes_gpus_and_models() {
    let nodes = generate(&Size { pods: 0, ..PUBLISHED }).nodes;
    let of = |model: Option<&str>| {
        let own: Vec<_> = nodes.iter().filter(|node| node.model.as_deref() == model).collect();
        (own.len(), own.iter().map(|node| node.gpus).sum::<u32>())
    };
    assert_eq!(nodes.len(), 1_523);
    assert_eq!(nodes.iter().map(|node| node.gpus).sum::<u32>(), 6_212);
    assert_eq!(of(Some("G2")), (549, 4_392));
    assert_eq!(of(Some("T4")), (404, 842));
    assert_eq!(of(Some("G3")), (39, 312));
    assert_eq!(of(Some("P100")), (134, 265));
    assert_eq!(of(Some("V100M32")), (30, 204));
    assert_eq!(of(Some("V100M16")), (55, 195));
    assert_eq!(of(Some("A10")), (2, 2));
    assert_eq!(of(None), (310, 0));
    assert_eq!(nodes.iter().map(|node| node.cpu_milli.get()).sum::<i64>() / 1000, 125_512);
}

#[test]
fn any_number_of_nodes_keeps_the_mix() {
    for count in [1, 7, 100, 1_523, 10_000] {
        let nodes = cluster(count);
        assert_eq!(nodes.len(), count);
        let g2 = nodes.iter().filter(|node| node.model.as_deref() == Some("G2")).count();
        assert!((g2 * 1_523).abs_diff(549 * count) <= 1_523, "{g2} of {count}");
    }
}

#[test]
fn pods_have_the_published_mix() {
    let pods = generate(&Size { pods: 40_000, ..PUBLISHED }).pods;
    close(pct(&pods, |pod| pod.num_gpu == 0), 12.4, 0.6);
    close(pct(&pods, |pod| pod.num_gpu == 1 && pod.gpu_milli < GpuMilli::WHOLE), 35.2, 0.8);
    close(pct(&pods, |pod| pod.num_gpu == 1 && pod.gpu_milli == GpuMilli::WHOLE), 44.7, 0.8);
    close(pct(&pods, |pod| pod.num_gpu == 2), 1.8, 0.3);
    close(pct(&pods, |pod| pod.num_gpu == 4), 1.8, 0.3);
    close(pct(&pods, |pod| pod.num_gpu == 8), 4.1, 0.4);
    close(pct(&pods, |pod| pod.gpu_milli.get() == 810), 12.3, 0.6);
    close(pct(&pods, |pod| !pod.gpu_spec.is_empty()), 4.3, 0.5);
    close(pct(&pods, |pod| pod.qos.as_deref() == Some("LS")), 57.0, 1.0);
}

#[test]
fn the_default_asks_for_more_gpus_than_there_are() {
    let workload = generate(&PUBLISHED);
    assert_eq!(workload.pods.len(), 8_152);
    let gpus: i64 = workload.pods.iter().map(PodRow::total_gpu_milli).sum::<i64>() / 1000;
    assert!((8_300..9_300).contains(&gpus), "{gpus}");
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "a mean of seconds")]
fn lifetimes_have_the_published_quantiles_and_mean() {
    let mut draw = Draw(Pcg64::seed_from_u64(7));
    let mut lives: Vec<u64> = (0..400_000).map(|_| draw.lifetime_s()).collect();
    lives.sort_unstable();
    let at = |pct: usize| lives[lives.len() * pct / 100] as f64;
    close(at(50), 540.0, 15.0);
    close(at(90), 6_574.0, 150.0);
    close(at(99), 99_719.0, 9_000.0);
    close(lives.iter().sum::<u64>() as f64 / lives.len() as f64, 25_839.0, 1_300.0);
}

#[test]
fn arrivals_fill_the_span_by_day_more_than_by_night() {
    let pods = generate(&Size { pods: 40_000, ..PUBLISHED }).pods;
    let created: Vec<i64> = pods.iter().filter_map(|pod| pod.creation_time).collect();
    assert_eq!(created.len(), pods.len());
    assert!(created.is_sorted() && created[0] >= 0 && created[created.len() - 1] < 149 * 86_400);
    close(pct(&pods, |pod| pod.creation_time.is_some_and(|at| at < 37 * 86_400)), 60.0, 1.0);
    let by_day = |pod: &PodRow| pod.creation_time.is_some_and(|at| (8..20).contains(&(at % 86_400 / 3600)));
    close(pct(&pods, by_day), 66.7, 1.0);
}

#[test]
fn the_stretch_is_the_smallest_that_makes_the_cluster_busy() {
    let nodes = cluster(100);
    let mut draw = Draw(Pcg64::seed_from_u64(3));
    let mut drafts: Vec<Draft> = (0..2_000).map(|_| Draft::draw(&mut draw, &nodes)).collect();
    drafts.sort_by_key(|draft| draft.created_s);
    let factor = stretch(&drafts, 400_000);
    assert!(peak_milli(&drafts, factor) >= 400_000);
    assert!(peak_milli(&drafts, factor - 1) < 400_000);
}

#[test]
fn a_pod_names_only_models_that_can_run_it() {
    let workload = generate(&Size { pods: 20_000, ..PUBLISHED });
    for pod in &workload.pods {
        let runs = |model: &String| {
            workload.nodes.iter().any(|node| node.model.as_ref() == Some(model) && node.gpus >= pod.num_gpu)
        };
        assert!(pod.gpu_spec.iter().all(runs), "{pod:?}");
    }
}
