//! Listing.

use std::time::Duration;

use super::{World, all};
use crate::entity::{
    ComputeNode, ComputeNodeFilter, Gpu, GpuFilter, GpuHealth, ImageFilter, Instance, InstanceFilter,
    InstanceName, InstanceState, Limits, Log, LogFilter, ManagedInstanceFilter, NodeName, PageRequest,
    PortMap, PortMapFilter, TestAFilter, TestB, TestBFilter, UserFilter, UserPermission,
};
use crate::store::{Batch, MAX_PAGE, StoreExt, Write};

pub(super) async fn pages_join_in_the_order_of_ids(world: &World) {
    let repositories = &world.repositories;
    let parent = world.kept().await.test_a;
    let mut made = Vec::new();
    for _ in 0..5 {
        let child = TestB {
            test_a_id: Some(parent.id),
            ..world.bare().test_b
        };
        made.push(repositories.test_bs().create(child).await.unwrap().value);
    }
    let filter = TestBFilter {
        test_a_id: Some(parent.id),
    };
    let mut listed = all(|page| repositories.test_bs().list(filter.clone(), page)).await;
    listed.retain(|child| made.contains(child));
    assert_eq!(listed, made);
    let everything = all(|page| repositories.test_bs().list(TestBFilter::default(), page)).await;
    assert!(
        everything.is_sorted_by_key(|child| child.id) && made.iter().all(|child| everything.contains(child))
    );

    let page = PageRequest::default().limit(MAX_PAGE + 1);
    super::assert_invalid(repositories.test_bs().list(filter.clone(), page).await, "limit");
    let page = repositories
        .test_bs()
        .list(filter, PageRequest::default().limit(2))
        .await
        .unwrap();
    let foreign = PageRequest::after(page.next.unwrap());
    super::assert_invalid(
        repositories.users().list(UserFilter::default(), foreign).await,
        "after",
    );
}

pub(super) async fn filters_give_what_they_say(world: &World) {
    let repositories = &world.repositories;
    let (one, two) = (world.kept().await, world.kept().await);
    let bare = world.bare();
    repositories
        .users()
        .create(bare.user.clone(), Limits::default())
        .await
        .unwrap();

    let administrators = UserFilter {
        permission: Some(UserPermission::Administrator),
        activated: Some(true),
    };
    let users = all(|page| repositories.users().list(administrators.clone(), page)).await;
    assert!(users.contains(&one.user) && users.contains(&two.user) && !users.contains(&bare.user));
    let others = UserFilter {
        permission: None,
        activated: Some(false),
    };
    assert!(
        all(|page| repositories.users().list(others.clone(), page))
            .await
            .contains(&bare.user)
    );

    let owned = ComputeNodeFilter {
        owner_id: Some(one.user.id),
    };
    assert_eq!(
        all(|page| repositories.compute_nodes().list(owned.clone(), page)).await,
        [one.node.clone()]
    );
    let nodes = all(|page| {
        repositories
            .compute_nodes()
            .list(ComputeNodeFilter::default(), page)
    })
    .await;
    assert!(nodes.contains(&one.node) && nodes.contains(&two.node) && nodes.is_sorted_by_key(|node| node.id));
    assert!(
        all(|page| repositories.node_ledgers().list(page))
            .await
            .contains(&two.ledger)
    );
    let ledger = repositories
        .compute_nodes()
        .ledger(one.node.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            &ledger.value,
            &repositories.node_ledgers().require(one.node.id).await.unwrap()
        ),
        (&one.ledger, &ledger)
    );
    let lifecycle = repositories.compute_nodes().lifecycle(one.node.id).await.unwrap();
    assert_eq!(lifecycle.unwrap().value, one.lifecycle);

    let images = ImageFilter {
        node_id: Some(two.node.id),
        published: Some(true),
    };
    assert_eq!(
        all(|page| repositories.images().list(images.clone(), page)).await,
        [two.image.clone()]
    );
    let images = ImageFilter {
        node_id: Some(two.node.id),
        published: Some(false),
    };
    assert_eq!(
        all(|page| repositories.images().list(images.clone(), page)).await,
        []
    );
    let titled = TestAFilter {
        title: one.test_a.title.clone(),
    };
    let fixtures = all(|page| repositories.test_as().list(titled.clone(), page)).await;
    assert!(fixtures.contains(&one.test_a) && fixtures.iter().all(|fixture| fixture.title == titled.title));

    for (user_id, instance_id) in [
        (Some(one.user.id), None),
        (None, Some(one.instance.id)),
        (Some(one.user.id), Some(one.instance.id)),
    ] {
        let grants = ManagedInstanceFilter { user_id, instance_id };
        let listed = all(|page| repositories.managed_instances().list(grants.clone(), page)).await;
        assert_eq!(listed, [one.grant.clone()]);
    }
    let crossed = ManagedInstanceFilter {
        user_id: Some(one.user.id),
        instance_id: Some(two.instance.id),
    };
    assert_eq!(
        all(|page| repositories.managed_instances().list(crossed.clone(), page)).await,
        []
    );
    let found = repositories
        .managed_instances()
        .find(one.user.id, one.instance.id)
        .await
        .unwrap();
    assert_eq!(found.unwrap().value, one.grant);
    assert_eq!(
        repositories
            .managed_instances()
            .find(one.user.id, two.instance.id)
            .await
            .unwrap(),
        None
    );
    gpus_and_ports(world).await;
    instances(world).await;
}

async fn gpus_and_ports(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    let node_id = Some(kept.node.id);
    let gpu = Gpu {
        node_id,
        slot: 0,
        ..world.bare().gpu
    };
    let mut batch =
        Batch::new(repositories.ids.next_id(), "sample").with(Write::Insert(super::Entity::to_row(&gpu)));
    let mut ports = Vec::new();
    for port in [9, 80, 443] {
        let port = PortMap {
            port,
            node_id: kept.node.id,
            instance_id: Some(kept.instance.id),
            managed: true,
            ..world.bare().port
        };
        batch.push(Write::Insert(super::Entity::to_row(&port)));
        ports.push(port);
    }
    repositories.store.commit(batch).await.unwrap();

    let of_node = GpuFilter {
        node_id,
        health: None,
    };
    let gpus = all(|page| repositories.gpus().list(of_node.clone(), page)).await;
    assert_eq!(gpus, [gpu.clone(), kept.gpu.clone()], "in the order of slots");
    let broken = GpuFilter {
        node_id,
        health: Some(GpuHealth::Quarantined),
    };
    assert_eq!(
        all(|page| repositories.gpus().list(broken.clone(), page)).await,
        [gpu.clone(), kept.gpu.clone()]
    );
    let works = GpuFilter {
        node_id,
        health: Some(GpuHealth::Healthy),
    };
    assert_eq!(
        all(|page| repositories.gpus().list(works.clone(), page)).await,
        []
    );

    let of_node = PortMapFilter {
        node_id,
        instance_id: None,
    };
    let listed: Vec<_> = all(|page| repositories.port_maps().list(of_node.clone(), page))
        .await
        .iter()
        .map(|map| map.port)
        .collect();
    assert_eq!(listed, [kept.port.port, 9, 80, 443], "IPv4 comes first");
    ports.insert(0, kept.port.clone());
    let instance_id = Some(kept.instance.id);
    for node_id in [None, node_id] {
        let of_instance = PortMapFilter { node_id, instance_id };
        assert_eq!(
            all(|page| repositories.port_maps().list(of_instance.clone(), page)).await,
            ports
        );
    }
    assert_eq!(
        repositories.instances().ports(kept.instance.id).await.unwrap(),
        ports
    );
}

async fn instances(world: &World) {
    let repositories = &world.repositories;
    let kept = world.kept().await;
    let (owner_id, node_id) = (Some(kept.user.id), Some(kept.node.id));
    let stopped = Instance {
        id: world.bare().instance.id,
        name: InstanceName::new("second").unwrap(),
        live_name: Some(InstanceName::new("second").unwrap()),
        state: InstanceState::Stopped,
        key: None,
        ..kept.instance.clone()
    };
    let gone = Instance {
        owner_id: kept.user.id,
        ..world.bare().instance
    };
    let mut batch = Batch::new(repositories.ids.next_id(), "sample");
    for instance in [&stopped, &gone] {
        batch.push(Write::Insert(super::Entity::to_row(instance)));
    }
    repositories.store.commit(batch).await.unwrap();

    let live = [kept.instance.clone(), stopped.clone()];
    for (filter, expected) in [
        (
            InstanceFilter {
                owner_id,
                ..InstanceFilter::default()
            },
            vec![&live[0], &live[1], &gone],
        ),
        (
            InstanceFilter {
                node_id,
                ..InstanceFilter::default()
            },
            vec![&live[0], &live[1]],
        ),
        (
            InstanceFilter {
                owner_id,
                node_id,
                states: Vec::new(),
            },
            vec![&live[0], &live[1]],
        ),
        (
            InstanceFilter {
                owner_id,
                node_id: None,
                states: vec![InstanceState::Stopped],
            },
            vec![&stopped],
        ),
        (
            InstanceFilter {
                owner_id,
                node_id: None,
                states: vec![InstanceState::Deleted, InstanceState::Stopped],
            },
            vec![&stopped, &gone],
        ),
        (
            InstanceFilter {
                owner_id,
                node_id,
                states: vec![InstanceState::Lost],
            },
            vec![],
        ),
    ] {
        let listed = all(|page| repositories.instances().list(filter.clone(), page)).await;
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
    // The terminal one has the name too, and gave it up.
    let found = repositories
        .instances()
        .find_live_by_name(kept.user.id, &gone.name)
        .await
        .unwrap();
    assert_eq!(found.unwrap().value, kept.instance);
    let other = world.kept().await.user;
    assert_eq!(
        repositories
            .instances()
            .find_live_by_name(other.id, &stopped.name)
            .await
            .unwrap(),
        None
    );
    let second_node = ComputeNode::new(
        world.bare().node.id,
        kept.user.id,
        NodeName::new("second").unwrap(),
        kept.node.created_at,
    );
    let batch = Batch::new(repositories.ids.next_id(), "sample")
        .with(Write::Insert(super::Entity::to_row(&second_node)));
    repositories.store.commit(batch).await.unwrap();
    let elsewhere = InstanceFilter {
        owner_id,
        node_id: Some(second_node.id),
        states: Vec::new(),
    };
    assert_eq!(
        all(|page| repositories.instances().list(elsewhere.clone(), page)).await,
        []
    );
}

pub(super) async fn the_log_is_read_newest_first(world: &World) {
    let logs = world.repositories.logs();
    let subject_id = Some(world.bare().instance.id.uuid());
    let mut lines = Vec::new();
    for seconds in 0..4 {
        let log = world.bare().log;
        let timestamp = log.timestamp.plus(Duration::from_secs(seconds));
        let line = Log {
            subject_id,
            timestamp,
            ..log
        };
        lines.push(logs.append(line).await.unwrap().value);
    }
    let about = LogFilter {
        subject_id,
        ..LogFilter::default()
    };
    lines.reverse();
    assert_eq!(all(|page| logs.list(about.clone(), page)).await, lines);
    let [third, second] = [lines[1].timestamp, lines[2].timestamp];
    let between = LogFilter {
        subject_id,
        from: Some(second),
        until: Some(third),
    };
    assert_eq!(all(|page| logs.list(between.clone(), page)).await, lines[2..3]);
    let at_that_time = LogFilter {
        subject_id: None,
        ..between
    };
    let listed = all(|page| logs.list(at_that_time.clone(), page)).await;
    assert!(
        listed.contains(&lines[2])
            && listed
                .iter()
                .all(|line| line.timestamp >= second && line.timestamp < third)
    );
    let listed = all(|page| logs.list(LogFilter::default(), page)).await;
    assert!(lines.iter().all(|line| listed.contains(line)));
    assert!(listed.is_sorted_by(|newer, older| newer.timestamp >= older.timestamp));
    assert_eq!(logs.require(lines[0].id).await.unwrap().value, lines[0]);
}
