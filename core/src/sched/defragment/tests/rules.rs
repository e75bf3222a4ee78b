//! One rule a test.

use super::*;

#[test]
fn two_shares_on_two_gpus_are_brought_together() {
    let mut cluster = cluster(&[node(1, 1, 10), node(2, 1, 10)]);
    let running = [put(&mut cluster, 1, 0, share(1, 300)), put(&mut cluster, 2, 0, share(1, 400))];
    let plan = planned(&cluster, &running, 10);
    assert_eq!((plan.freed, plan.freeable), (1, 1));
    // The smaller one goes.
    assert_eq!(plan.moves.iter().map(|step| step.task).collect::<Vec<_>>(), [0]);
}

#[test]
fn the_budget_is_kept_and_the_gpus_of_the_fewest_tasks_come_first() {
    let mut cluster = cluster(&[node(1, 4, 100)]);
    let mut running = Vec::new();
    for (slot, shares) in [(0, &[300, 300][..]), (1, &[100]), (2, &[200]), (3, &[50, 50, 50])] {
        running.extend(shares.iter().map(|milli| put(&mut cluster, 1, slot, share(1, *milli))));
    }
    assert_eq!(planned(&cluster, &running, 0).moves, []);
    let plan = planned(&cluster, &running, 2);
    assert_eq!((plan.freed, plan.freeable), (2, 2));
    assert!(plan.moves.iter().all(|step| [1, 2].contains(&step.from.gpus[0])), "{plan:?}");
    // All of it needs two GPUs: 1150 milli.
    assert_eq!(planned(&cluster, &running, 100).freeable, 2);
}

#[test]
fn a_gpu_on_which_something_must_stay_is_not_emptied_but_takes_what_fits() {
    let mut cluster = cluster(&[node(1, 1, 10), node(2, 1, 10)]);
    put(&mut cluster, 1, 0, share(1, 100));
    let running = [put(&mut cluster, 1, 0, share(1, 100)), put(&mut cluster, 2, 0, share(1, 600))];
    let plan = planned(&cluster, &running, 10);
    assert_eq!(plan.moves.iter().map(|step| step.task).collect::<Vec<_>>(), [1]);
}

#[test]
fn on_its_own_node_a_task_keeps_its_processor_time_and_on_another_it_needs_it_twice() {
    let mut one = cluster(&[node(1, 2, 2)]);
    let running = [put(&mut one, 1, 0, share(1, 300)), put(&mut one, 1, 1, share(1, 400))];
    assert_eq!(planned(&one, &running, 10).freed, 1);
    let mut two = cluster(&[node(1, 1, 1), node(2, 1, 1)]);
    let running = [put(&mut two, 1, 0, share(1, 300)), put(&mut two, 2, 0, share(1, 400))];
    let plan = planned(&two, &running, 10);
    assert_eq!((plan.freed, plan.freeable), (0, 1));
}

#[test]
fn an_idle_gpu_is_begun_only_where_more_than_one_becomes_idle_for_it() {
    // No node but the third has processor time left.
    let mut cluster = cluster(&[node(1, 1, 1), node(2, 1, 1), node(3, 1, 3), node(4, 1, 1)]);
    put(&mut cluster, 4, 0, share(1, 650));
    let mut running = vec![put(&mut cluster, 1, 0, share(1, 300))];
    let alone = planned(&cluster, &running, 10);
    assert_eq!((alone.freeable, alone.moves), (1, vec![]));
    running.push(put(&mut cluster, 2, 0, share(1, 400)));
    let both = planned(&cluster, &running, 10);
    assert_eq!((both.freed, both.moves.len()), (1, 2));
    assert_eq!(planned(&cluster, &running, 1).moves, []);
}

#[test]
fn what_is_in_the_way_is_moved_on_where_that_makes_room() {
    // 500 fits nowhere, until 200 has gone from beside 400 to where nothing larger fits.
    let mut cluster = cluster(&[node(1, 1, 10), node(2, 1, 10), node(3, 1, 10)]);
    put(&mut cluster, 2, 0, share(1, 400));
    put(&mut cluster, 3, 0, share(1, 800));
    let running = [put(&mut cluster, 1, 0, share(1, 500)), put(&mut cluster, 2, 0, share(1, 200))];
    let plan = planned(&cluster, &running, 2);
    assert_eq!(plan.freed, 1);
    assert_eq!(plan.moves.iter().map(|step| step.task).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(planned(&cluster, &running, 1).moves, []);
}

#[test]
fn a_gpu_that_does_not_work_and_a_node_that_is_closed_take_nothing_and_are_not_freed() {
    let shares =
        |cluster: &mut Cluster| [put(cluster, 1, 0, share(1, 300)), put(cluster, 2, 0, share(1, 400))];
    let mut closed = cluster(&[node(1, 1, 10), node(2, 1, 10)]);
    let running = shares(&mut closed);
    closed.set_schedulable(&running[1].node, false);
    assert_eq!(planned(&closed, &running, 10).freeable, 0);
    let mut broken = cluster(&[node(1, 1, 10), node(2, 1, 10)]);
    let running = shares(&mut broken);
    let mut state = broken.get(&running[0].node).unwrap();
    state.gpus[0].healthy = false;
    broken.upsert(&state).unwrap();
    assert_eq!(planned(&broken, &running, 10).moves, []);
}

#[test]
fn a_task_goes_only_to_a_model_that_will_do() {
    let named = |number, model: &str| NodeState { model: Some(model.to_owned()), ..node(number, 1, 10) };
    let mut cluster = cluster(&[named(1, "T4"), named(2, "G2"), named(3, "T4")]);
    let of_t4 = demand(1, GpuDemand::Share(GpuMilli::from_u32(300)), &["T4"]);
    let running = [
        put(&mut cluster, 1, 0, of_t4),
        put(&mut cluster, 2, 0, share(1, 650)),
        put(&mut cluster, 3, 0, share(1, 700)),
    ];
    let plan = planned(&cluster, &running, 1);
    assert_eq!((plan.freed, plan.moves[0].to.node), (1, running[2].node));
}

#[test]
fn whole_gpus_and_tasks_without_one_stay() {
    let mut cluster = cluster(&[node(1, 2, 10), node(2, 2, 10)]);
    let one = put(&mut cluster, 1, 0, demand(1, GpuDemand::Whole(1), NONE));
    let none = Placement {
        gpus: Vec::new(),
        milli_per_gpu: GpuMilli::ZERO,
        demand: demand(1, GpuDemand::None, NONE),
        ..one.clone()
    };
    cluster.place(&none).unwrap();
    let plan = planned(&cluster, &[one, none], 10);
    assert_eq!((plan.freeable, plan.moves.len()), (0, 0));
}

#[test]
fn a_task_that_the_cluster_does_not_hold_is_refused_by_its_position() {
    let mut cluster = cluster(&[node(1, 2, 10)]);
    let held = put(&mut cluster, 1, 0, share(1, 300));
    put(&mut cluster, 1, 1, share(1, 200));
    let elsewhere = Placement { node: Uuid::from_u128(9), ..held.clone() };
    let more = Placement { demand: share(1, 400), milli_per_gpu: GpuMilli::from_u32(400), ..held.clone() };
    for wrong in [elsewhere, more, held.clone(), Placement { gpus: vec![1], ..held.clone() }] {
        let error = defragment(&cluster, [(1, &held), (2, &wrong)], 10).unwrap_err();
        assert_eq!(error.position, 1);
        assert_eq!(freeable(&cluster, [(1, &held), (2, &wrong)], 10), Err(error));
    }
}

#[test]
fn a_move_that_no_longer_fits_changes_nothing() {
    let mut cluster = cluster(&[node(1, 2, 2), node(2, 1, 10)]);
    let running = [put(&mut cluster, 1, 0, share(1, 300)), put(&mut cluster, 1, 1, share(1, 400))];
    let plan = planned(&cluster, &running, 10);
    let to = &plan.moves[0].to;
    cluster
        .place(&Placement { demand: share(0, 500), milli_per_gpu: GpuMilli::from_u32(500), ..to.clone() })
        .unwrap();
    let before = cluster.clone();
    assert!(plan.moves[0].apply(&mut cluster).is_err());
    let away = Move { task: 0, from: running[0].clone(), to: put(&mut cluster, 2, 0, share(1, 800)) };
    let before_away = cluster.clone();
    assert!(away.apply(&mut cluster).is_err());
    assert_eq!(cluster, before_away);
    cluster.release(&away.to).unwrap();
    assert_eq!(cluster, before);
}

#[test]
fn equal_tasks_go_in_the_order_of_their_keys() {
    let mut cluster = cluster(&[node(1, 2, 10)]);
    let shares =
        [(0, 100), (0, 100), (1, 500)].map(|(slot, milli)| put(&mut cluster, 1, slot, share(1, milli)));
    put(&mut cluster, 1, 1, share(1, 100));
    let order = |plan: Defragmentation<usize>| plan.moves.iter().map(|step| step.task).collect::<Vec<_>>();
    assert_eq!(order(planned(&cluster, &shares, 10)), [0, 1]);
    let backwards = defragment(&cluster, shares.iter().enumerate().rev(), 10).unwrap();
    assert_eq!(order(backwards), [0, 1]);
}

#[test]
fn what_was_moved_on_once_stays_where_it_is() {
    // Nothing goes to the first and the fourth node: they have no processor time left.
    let cpu = [3, 10, 10, 2, 10, 10];
    let mut cluster = cluster(&(1..).zip(cpu).map(|(number, cpu)| node(number, 1, cpu)).collect::<Vec<_>>());
    for (number, milli) in [(2, 500), (3, 700), (5, 700), (6, 600)] {
        put(&mut cluster, number, 0, share(1, milli));
    }
    // 480 goes to the second node once 300 has gone to the third. Then 310 could go there only if 300 went again.
    let running = [(1, 3, 480), (2, 1, 300), (4, 1, 400), (4, 1, 310)]
        .map(|(number, cpu, milli)| put(&mut cluster, number, 0, share(cpu, milli)));
    let plan = planned(&cluster, &running, 10);
    assert_eq!((plan.freed, plan.moves.len()), (1, 2), "{plan:?}");
}
