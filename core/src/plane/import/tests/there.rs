//! What was brought in before: the same content is recognised, also by what has become of it since, and another one is not.

use super::*;
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{Gpu, GpuHealth, Limits, NodeLedger, Quota};

/// What is there once these were brought in.
fn rows_of<I: Item>(item: &I) -> Vec<NewRow> {
    let made = batch(std::slice::from_ref(item), &[]);
    let inserted = |write| if let Write::Insert(row) = write { Some(row) } else { None };
    made.writes.into_iter().filter_map(inserted).collect()
}

fn is_there<I: Item>(item: &I, rows: Vec<NewRow>) -> bool {
    match item.decide(&plane(), &known(rows), NOW) {
        Ok(Decision::WasThere) => true,
        Err(Error::AlreadyExists { kind, key: "id" }) if kind == I::Entity::KIND => false,
        other => panic!("{other:?}"),
    }
}

/// The rows, of which one is what became of it.
fn since<E: Entity>(rows: &[NewRow], change: impl Fn(&mut E)) -> Vec<NewRow> {
    let changed = |row: &NewRow| {
        if row.table.name != E::TABLE.name {
            return row.clone();
        }
        let mut entity = E::from_row(&row.as_inserted().unwrap()).unwrap();
        change(&mut entity);
        entity.to_row()
    };
    rows.iter().map(changed).collect()
}

#[test]
fn a_user_is_known_by_profile_and_limits() {
    let one = user().limits(Limits::default().instances(7));
    let rows = rows_of(&one);
    assert!(is_there(&one, rows.clone()));
    assert!(is_there(&one.clone().suspended(), rows.clone()), "access is what became of it since");
    let mut other = one.clone();
    other.user.updated_at = EARLY;
    assert!(!is_there(&other, rows.clone()));
    assert!(!is_there(&one.clone().limits(Limits::default().instances(8)), rows.clone()));
    assert!(!is_there(&one, since::<Quota>(&rows, |quota| quota.instance_limit = 9)));
}

#[test]
fn an_image_is_known_by_all_of_it() {
    let rows = rows_of(&image());
    assert!(is_there(&image(), rows.clone()));
    assert!(!is_there(&Image { published: true, ..image() }, rows.clone()));
    assert!(!is_there(&Image { updated_at: EARLY, ..image() }, rows));
}

#[test]
fn a_node_is_known_by_profile_totals_and_gpus_and_not_by_what_became_of_them() {
    let (cpu, memory, storage) = (CpuMilli::from_u32(1), MemoryMib::from_u32(2), StorageMib::from_u32(3));
    let one = node().capacity(cpu, memory, storage);
    let rows = rows_of(&one);
    assert!(is_there(&one, rows.clone()));
    let became = since::<Gpu>(&rows, |gpu| {
        (gpu.health, gpu.updated_at, gpu.used_milli) = (GpuHealth::Gone, LATE, GpuMilli::WHOLE);
        gpu.gone_quarantined = true;
    });
    let became = since::<NodeLedger>(&became, |ledger| {
        (ledger.instances, ledger.cpu_milli, ledger.gpu_milli) = (1, cpu, GpuMilli::WHOLE);
    });
    let became =
        since::<NodeLifecycle>(&became, |node| (node.state, node.has_agent) = (NodeState::Dead, true));
    assert!(is_there(&one, became));
    let others: [fn(&mut ImportedNode); 11] = [
        |node| node.profile.arch = Some("arm64".into()),
        |node| node.profile.updated_at = EARLY,
        |node| node.cpu = CpuMilli::from_u32(9),
        |node| node.memory = MemoryMib::from_u32(9),
        |node| node.storage = StorageMib::from_u32(9),
        |node| node.gpus[1].slot = 9,
        |node| node.gpus[1].key = Some("GPU".into()),
        |node| node.gpus[1].memory_mib = Some(MemoryMib::from_u32(9)),
        |node| node.gpus[1].created_at = EARLY,
        |node| node.gpus.push(gpu(2)),
        |node| node.gpus.truncate(1),
    ];
    for (at, change) in others.into_iter().enumerate() {
        let mut other = one.clone();
        change(&mut other);
        assert!(!is_there(&other, rows.clone()), "{at}");
    }
}

#[test]
fn an_instance_is_known_by_what_was_said_of_it_whatever_became_of_it() {
    use crate::entity::{DesiredState, Instance, InstanceState};
    let rows = rows_of(&instance());
    let became = since::<Instance>(&rows, |it| {
        (it.state, it.desired, it.updated_at) = (InstanceState::Stopped, DesiredState::Stopped, LATE);
        it.cpu_milli = CpuMilli::from_u32(7);
    });
    assert!(is_there(&instance(), became.clone()));
    let others: [fn(&mut ImportedInstance); 4] = [
        |it| it.state = InstanceState::Stopped,
        |it| it.ports[0].name = Some("ssh".into()),
        |it| it.gpu_models.push("H100".into()),
        |it| it.updated_at = EARLY,
    ];
    for (at, change) in others.into_iter().enumerate() {
        let mut other = instance();
        change(&mut other);
        assert!(!is_there(&other, became.clone()), "{at}");
    }
}
