//! What filters and finders give.

use super::{World, listed};
use crate::entity::{
    ComputeNode, ComputeNodeFilter, Entry, Gpu, GpuFilter, GpuHealth, ImageFilter, Instance, InstanceFilter,
    InstanceName, InstanceState, LeaseGpu, LeaseGpuFilter, LeaseNode, LeaseNodeFilter, Limits,
    ManagedInstanceFilter, NodeName, PortMap, PortMapFilter, UserFilter, UserPermission,
};
use crate::error::Error;

pub(super) async fn users_are_filtered(world: &World) {
    let users = world.repositories.users();
    let (kept, bare) = (world.kept().await.user, world.bare().user);
    users.create(bare.clone(), Limits::default()).await.unwrap();
    let administrators =
        UserFilter { permission: Some(UserPermission::Administrator), activated: Some(true) };
    let listed = listed!(users, administrators);
    assert!(listed.contains(&kept) && !listed.contains(&bare));
    let listed = listed!(users, UserFilter { permission: None, activated: Some(false) });
    assert!(listed.contains(&bare) && !listed.contains(&kept));
    let listed = listed!(users, UserFilter::default());
    assert!(listed.contains(&bare) && listed.contains(&kept) && listed.is_sorted_by_key(|user| user.id));
}

pub(super) async fn nodes_are_found_with_ledger_and_lifecycle(world: &World) {
    let (nodes, ledgers) = (world.repositories.compute_nodes(), world.repositories.node_ledgers());
    let (one, two) = (world.kept().await, world.kept().await);
    let owned = ComputeNodeFilter { owner_id: Some(one.user.id) };
    assert_eq!(listed!(nodes, owned), std::slice::from_ref(&one.node));
    let listed = listed!(nodes, ComputeNodeFilter::default());
    assert!(
        listed.contains(&one.node) && listed.contains(&two.node) && listed.is_sorted_by_key(|node| node.id)
    );

    let found = nodes.find_by_name(one.user.id, &one.node.name).await.unwrap();
    assert_eq!(found, Some(Entry::new(one.node.clone(), 1)));
    let elsewhere = NodeName::new("elsewhere").unwrap();
    assert_eq!(nodes.find_by_name(one.user.id, &elsewhere).await.unwrap(), None);

    let ledger = Entry::new(one.ledger, 1);
    assert_eq!(nodes.ledger(one.node.id).await.unwrap(), Some(ledger.clone()));
    assert_eq!(ledgers.require(one.node.id).await.unwrap(), ledger);
    let listed = super::all(|page| ledgers.list(page)).await;
    assert!(listed.contains(&ledger.value) && listed.contains(&two.ledger));
    assert_eq!(nodes.lifecycle(one.node.id).await.unwrap(), Some(Entry::new(one.lifecycle, 1)));
    assert_eq!(nodes.lifecycle(world.bare().node.id).await.unwrap(), None);
}

pub(super) async fn images_are_filtered(world: &World) {
    let images = world.repositories.images();
    let (one, other) = (world.kept().await, world.kept().await);
    let node_id = Some(one.node.id);
    for published in [None, Some(true)] {
        let filter = ImageFilter { node_id, published };
        assert_eq!(listed!(images, filter), std::slice::from_ref(&one.image));
    }
    assert_eq!(listed!(images, ImageFilter { node_id, published: Some(false) }), []);
    let published = listed!(images, ImageFilter { node_id: None, published: Some(true) });
    assert!(published.contains(&one.image) && published.contains(&other.image));
}

pub(super) async fn grants_are_found_from_both_sides(world: &World) {
    let grants = world.repositories.managed_instances();
    let (one, two) = (world.kept().await, world.kept().await);
    let (user, instance) = (Some(one.user.id), Some(one.instance.id));
    for (user_id, instance_id) in [(user, None), (None, instance), (user, instance)] {
        let filter = ManagedInstanceFilter { user_id, instance_id };
        assert_eq!(listed!(grants, filter), std::slice::from_ref(&one.grant));
    }
    let crossed = ManagedInstanceFilter { user_id: user, instance_id: Some(two.instance.id) };
    assert_eq!(listed!(grants, crossed), []);
    let found = grants.find(one.user.id, one.instance.id).await.unwrap();
    assert_eq!(found, Some(Entry::new(one.grant, 1)));
    assert_eq!(grants.find(one.user.id, two.instance.id).await.unwrap(), None);
}

pub(super) async fn gpus_are_listed_by_slot(world: &World) {
    let gpus = world.repositories.gpus();
    let kept = world.kept().await;
    let node_id = Some(kept.node.id);
    let first = Gpu { node_id, slot: 0, health: GpuHealth::Healthy, ..world.bare().gpu };
    world.insert(&[&first]).await;
    assert_eq!(listed!(gpus, GpuFilter { node_id, health: None }), [first.clone(), kept.gpu.clone()]);
    for (health, gpu) in [(GpuHealth::Healthy, &first), (GpuHealth::Quarantined, &kept.gpu)] {
        let filter = GpuFilter { node_id, health: Some(health) };
        assert_eq!(listed!(gpus, filter), std::slice::from_ref(gpu));
    }
    assert_eq!(listed!(gpus, GpuFilter { node_id, health: Some(GpuHealth::Gone) }), []);
    let listed = listed!(gpus, GpuFilter::default());
    assert!(listed.contains(&first) && listed.is_sorted_by_key(|gpu| gpu.id));
}

pub(super) async fn what_leases_hold_is_found_from_both_sides(world: &World) {
    let (nodes, gpus) = (world.repositories.lease_nodes(), world.repositories.lease_gpus());
    let (one, other) = (world.kept().await, world.kept().await);
    // What was held pins nothing, and is found by its lease alone.
    let node = LeaseNode { of_node: other.node.id, node_id: None, ..one.lease_node.clone() };
    let gpu = LeaseGpu { of_gpu: other.gpu.id, gpu_id: None, ..one.lease_gpu.clone() };
    world.insert(&[&node]).await;
    world.insert(&[&gpu]).await;
    let of = |lease_id, node_id| LeaseNodeFilter { lease_id, node_id };
    for (filter, expected) in [
        (of(Some(one.lease.id), None), vec![&node, &one.lease_node]),
        (of(None, Some(one.node.id)), vec![&one.lease_node]),
        (of(None, Some(other.node.id)), vec![&other.lease_node]),
        (of(Some(one.lease.id), Some(one.node.id)), vec![&one.lease_node]),
        (of(Some(one.lease.id), Some(other.node.id)), vec![]),
    ] {
        let mut found = listed!(nodes, filter);
        found.sort_by_key(|part| part.node_id);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    let of = |lease_id, gpu_id| LeaseGpuFilter { lease_id, gpu_id };
    for (filter, expected) in [
        (of(Some(one.lease.id), None), vec![&gpu, &one.lease_gpu]),
        (of(None, Some(one.gpu.id)), vec![&one.lease_gpu]),
        (of(None, Some(other.gpu.id)), vec![&other.lease_gpu]),
        (of(Some(one.lease.id), Some(one.gpu.id)), vec![&one.lease_gpu]),
        (of(Some(one.lease.id), Some(other.gpu.id)), vec![]),
    ] {
        let mut found = listed!(gpus, filter);
        found.sort_by_key(|held| held.gpu_id);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    assert!(listed!(nodes, LeaseNodeFilter::default()).contains(&node));
    assert!(listed!(gpus, LeaseGpuFilter::default()).contains(&gpu));
    assert_eq!(nodes.require(one.lease.id, other.node.id).await.unwrap().value, node);
    assert_eq!(gpus.require(one.lease.id, other.gpu.id).await.unwrap().value, gpu);
    assert!(matches!(nodes.require(other.lease.id, one.node.id).await, Err(Error::NotFound { .. })));
    assert!(matches!(gpus.require(other.lease.id, one.gpu.id).await, Err(Error::NotFound { .. })));
}

pub(super) async fn ports_are_listed_by_node_and_by_instance(world: &World) {
    let kept = world.kept().await;
    let (node_id, instance_id) = (Some(kept.node.id), Some(kept.instance.id));
    let port = |port, instance_id| PortMap { port, node_id: kept.node.id, instance_id, ..world.bare().port };
    let (high, low, free) = (port(443, instance_id), port(80, instance_id), port(9, None));
    world.insert(&[&high, &low, &free]).await;

    let ports = world.repositories.port_maps();
    let of_node = listed!(ports, PortMapFilter { node_id, instance_id: None });
    assert_eq!(of_node, [kept.port.clone(), free, low.clone(), high.clone()], "IPv4 comes first");
    let of_instance = [kept.port.clone(), high, low];
    for node_id in [None, node_id] {
        assert_eq!(
            listed!(ports, PortMapFilter { node_id, instance_id }),
            of_instance,
            "in the order of ids"
        );
    }
    let elsewhere = PortMapFilter { node_id: Some(world.kept().await.node.id), instance_id };
    assert_eq!(listed!(ports, elsewhere), []);
    assert_eq!(world.repositories.instances().ports(kept.instance.id).await.unwrap(), of_instance);
}

pub(super) async fn instances_are_filtered(world: &World) {
    let instances = world.repositories.instances();
    let kept = world.kept().await;
    let first = kept.instance.clone();
    let [_, second, gone] = more_instances(world, &first).await;
    let second_node = NodeName::new("second").unwrap();
    let second_node = ComputeNode::new(world.bare().node.id, kept.user.id, second_node, first.created_at);
    world.insert(&[&second_node]).await;

    let (owner_id, node_id) = (Some(kept.user.id), Some(kept.node.id));
    let of = |owner_id, node_id, states: &[InstanceState]| InstanceFilter {
        owner_id,
        node_id,
        states: states.to_vec(),
    };
    let (stopped, deleted) = (InstanceState::Stopped, InstanceState::Deleted);
    for (filter, expected) in [
        (of(owner_id, None, &[]), vec![&first, &second, &gone]),
        (of(None, node_id, &[]), vec![&first, &second]),
        (of(owner_id, node_id, &[]), vec![&first, &second]),
        (of(owner_id, None, &[stopped]), vec![&second]),
        (of(owner_id, None, &[deleted, stopped, deleted]), vec![&second, &gone]),
        (of(owner_id, node_id, &[InstanceState::Lost]), vec![]),
        (of(owner_id, Some(second_node.id), &[]), vec![]),
    ] {
        assert_eq!(listed!(instances, filter).iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    let everything = listed!(instances, InstanceFilter::default());
    assert!(everything.contains(&second) && everything.is_sorted_by_key(|instance| instance.id));
}

pub(super) async fn a_name_finds_the_live_instance(world: &World) {
    let instances = world.repositories.instances();
    let kept = world.kept().await;
    let [first, second, gone] = more_instances(world, &kept.instance).await;
    // The terminal one had the same name, and gave it up.
    let found = instances.find_live_by_name(kept.user.id, &gone.name).await.unwrap();
    assert_eq!((&gone.name, found), (&first.name, Some(Entry::new(first.clone(), 1))));
    let found = instances.find_live_by_name(kept.user.id, &second.name).await.unwrap();
    assert_eq!(found.unwrap().value, second);
    let stranger = world.kept().await.user.id;
    assert_eq!(instances.find_live_by_name(stranger, &second.name).await.unwrap(), None);
}

/// An owner's first instance, a second one that is stopped, and one that is gone and had the first one's name.
async fn more_instances(world: &World, first: &Instance) -> [Instance; 3] {
    let name = InstanceName::new("second").unwrap();
    let second = Instance {
        id: world.bare().instance.id,
        live_name: Some(name.clone()),
        name,
        state: InstanceState::Stopped,
        key: None,
        ..first.clone()
    };
    let gone = Instance { owner_id: first.owner_id, ..world.bare().instance };
    world.insert(&[&second, &gone]).await;
    [first.clone(), second, gone]
}
