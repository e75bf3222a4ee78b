//! How room is made where there is none, one rule a test.

use super::*;

/// Places a task without GPU on a node.
fn put_without(cluster: &mut Cluster, number: u32, cpu: u32) -> Placement {
    let node = Uuid::from_u128(u128::from(number));
    let demand = demand(cpu, GpuDemand::None, NONE);
    let placement = Placement { node, gpus: Vec::new(), milli_per_gpu: GpuMilli::ZERO, demand };
    cluster.place(&placement).unwrap();
    placement
}

fn order(plan: &Defragmentation<usize>) -> Vec<usize> {
    plan.moves.iter().map(|step| step.task).collect()
}

#[test]
fn a_task_without_gpu_goes_where_there_is_most_processor_time_if_a_share_can_come_for_it() {
    let mut cluster = cluster(&[node(1, 1, 4), node(2, 1, 12), node(3, 0, 11), node(4, 0, 20)]);
    put(&mut cluster, 2, 0, share(2, 500));
    let running = [put(&mut cluster, 1, 0, share(4, 400)), put_without(&mut cluster, 2, 10)];
    let plan = planned(&cluster, &running, 2);
    assert_eq!((plan.freed, order(&plan)), (1, vec![1, 0]));
    assert_eq!(plan.moves[0].to.node, Uuid::from_u128(4));
    assert_eq!(plan.moves[0].to.gpus, [0_u32; 0]);
    // It takes two moves, and there is none where that task must stay.
    assert_eq!(planned(&cluster, &running, 1).moves, []);
    assert_eq!(planned(&cluster, &running[..1], 2).moves, []);
}

#[test]
fn a_task_on_a_whole_gpu_takes_an_idle_one_if_a_share_can_come_for_it() {
    // The third node's GPU is not worth beginning for one share, but the task on the whole one begins none: it leaves one.
    let mut cluster = cluster(&[node(1, 1, 4), node(2, 2, 12), node(3, 1, 10)]);
    put(&mut cluster, 2, 1, share(2, 500));
    let whole = demand(10, GpuDemand::Whole(1), NONE);
    let running = [put(&mut cluster, 1, 0, share(4, 400)), put(&mut cluster, 2, 0, whole)];
    let plan = planned(&cluster, &running, 2);
    assert_eq!((plan.freed, order(&plan)), (1, vec![1, 0]));
    assert_eq!(plan.moves[0].to.node, Uuid::from_u128(3));
    // What it leaves is idle: nothing goes there, which would begin it.
    cluster.upsert(&node(4, 1, 1)).unwrap();
    let more = [running.to_vec(), vec![put(&mut cluster, 4, 0, share(1, 700))]].concat();
    assert_eq!(planned(&cluster, &more, 10).moves, plan.moves);
}

#[test]
fn a_move_that_makes_room_for_two_is_made_before_two_that_make_room_for_one_each() {
    // On the second node 25 of processor time make room for one share, and on the third 20 for both.
    let cpu = [(1, 8), (1, 27), (2, 24), (0, 20), (0, 25), (1, 8)];
    let nodes = (1..).zip(cpu).map(|(number, (gpus, cpu))| node(number, gpus, cpu));
    let mut cluster = cluster(&nodes.collect::<Vec<_>>());
    for (number, slot) in [(2, 0), (3, 0), (3, 1)] {
        put(&mut cluster, number, slot, share(2, 300));
    }
    let running = [
        put(&mut cluster, 1, 0, share(8, 600)),
        put(&mut cluster, 6, 0, share(8, 610)),
        put_without(&mut cluster, 2, 25),
        put_without(&mut cluster, 3, 20),
    ];
    let plan = planned(&cluster, &running, 3);
    assert_eq!((plan.freed, plan.moves[0].task), (2, 3), "{plan:?}");
}

#[test]
fn what_is_in_the_way_of_what_is_in_the_way_moves_on_too() {
    // 500 to the second, for which 300 goes to the third, for which 250 goes to the fourth.
    let mut cluster = cluster(&[node(1, 1, 10), node(2, 1, 10), node(3, 1, 10), node(4, 1, 10)]);
    for (number, milli) in [(2, 460), (3, 660), (4, 750)] {
        put(&mut cluster, number, 0, share(1, milli));
    }
    let running =
        [(1, 500), (2, 300), (3, 250)].map(|(number, milli)| put(&mut cluster, number, 0, share(1, milli)));
    let plan = planned(&cluster, &running, 3);
    assert_eq!((plan.freed, order(&plan)), (1, vec![2, 1, 0]));
    assert_eq!(planned(&cluster, &running, 2).moves, []);
}

#[test]
fn shares_that_lie_badly_on_every_gpu_are_packed_anew() {
    // 650 goes with 320 and 550 with 230 and 220, so that 15 of 18 GPUs would do; but as they lie no three GPUs go on two others.
    let bins = [[650, 230], [550, 320], [470, 220]];
    let nodes: Vec<NodeState> = (1..=20).map(|number| node(number, 1, 9)).collect();
    let mut cluster = cluster(&nodes);
    let mut running = Vec::new();
    for (number, bin) in (1..=18).zip(bins.into_iter().cycle()) {
        running.extend(bin.map(|milli| put(&mut cluster, number, 0, share(1, milli))));
    }
    let plan = planned(&cluster, &running, 36);
    assert_eq!((plan.freed, plan.freeable), (3, 3));
    // What does not come to an end within the budget is left alone.
    assert_eq!(planned(&cluster, &running, 2).moves, []);
}
