//! Limits on what instances hold: raised, lowered below use, raced for; and what makes up the use.
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a check fails by panicking")]

use std::sync::Arc;

use super::World;
use super::late::Late;
use crate::ControlPlane;
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    Entry, Instance, InstanceId, InstanceState, Limits, NodeId, PageRequest, QUOTAS, Quota, UserId,
};
use crate::error::{Error, Result};
use crate::identity::{Caller, Origin};
use crate::plane::{LaunchRequest, NewApiKey, NewNode, NewUser, Operation, Options, Usage, UsagePages};
use crate::store::{Batch, Cause, Store, StoreExt as _, Write};

pub(super) async fn check_limits(world: &World) {
    each_limit_refuses_exactly_what_exceeds_it(world).await;
    a_limit_below_use_takes_nothing_and_gives_nothing_until_enough_came_back(world).await;
    racing_launches_never_pass_a_limit(world).await;
    many_at_once_are_decided_as_one_after_the_other(world).await;
    usage_is_what_the_live_instances_hold(world).await;
    usage_is_shown_to_its_owner_and_to_administrators(world).await;
    a_counter_that_drifted_is_mended_once(world).await;
}

/// One of the amounts that are limited: its limit's name, how a limit sets it and how a request asks for it.
struct Amount {
    limit_name: &'static str,
    limit: fn(Limits, u32) -> Limits,
    ask: fn(LaunchRequest, u32) -> LaunchRequest,
    used: fn(&Quota) -> i64,
}

const AMOUNTS: [Amount; 3] = [
    Amount {
        limit_name: "cpu_milli_limit",
        limit: |limits, most| limits.cpu(CpuMilli::from_u32(most)),
        ask: |request, amount| request.cpu(CpuMilli::from_u32(amount)),
        used: |quota| quota.cpu_milli.get(),
    },
    Amount {
        limit_name: "memory_mib_limit",
        limit: |limits, most| limits.memory(MemoryMib::from_u32(most)),
        ask: |request, amount| request.memory(MemoryMib::from_u32(amount)),
        used: |quota| quota.memory_mib.get(),
    },
    Amount {
        limit_name: "storage_mib_limit",
        limit: |limits, most| limits.storage(StorageMib::from_u32(most)),
        ask: |request, amount| request.storage(StorageMib::from_u32(amount)),
        used: |quota| quota.storage_mib.get(),
    },
];

/// An account with a node that has room for everything.
struct Account {
    user: UserId,
    node: NodeId,
}

impl Account {
    async fn new(world: &World) -> Self {
        let user = world.user().await;
        let node = NewNode::new(user, format!("node-{}", world.fresh()))
            .cpu(CpuMilli::from_u32(1_000_000))
            .memory(MemoryMib::from_u32(1_000_000))
            .storage(StorageMib::from_u32(1_000_000));
        Self { user, node: world.cloud.register_node(node).await.unwrap().id }
    }

    fn request(&self, world: &World) -> LaunchRequest {
        LaunchRequest::new(self.user, format!("i-{}", world.fresh())).on_node(self.node)
    }

    async fn ask(&self, world: &World, amount: &Amount, much: u32) -> Result<Entry<Instance>> {
        world.cloud.launch((amount.ask)(self.request(world), much)).await
    }

    async fn quota(&self, world: &World) -> Quota {
        world.cloud.repositories().quotas().require(self.user).await.unwrap().value
    }

    async fn limit(&self, world: &World, amount: &Amount, most: u32) {
        let limits = self.quota(world).await.limits();
        let set = world.cloud.set_limits(self.user, (amount.limit)(limits, most)).await.unwrap();
        assert_eq!(set.value, self.quota(world).await);
    }

    async fn usage(&self, world: &World) -> Usage {
        world.cloud.usage(self.user, UsagePages::default()).await.unwrap()
    }
}

/// Whether a launch was refused by just this.
fn refused<T: std::fmt::Debug>(answer: Result<T>, by: (&'static str, i64, i64, i64)) {
    match answer {
        Err(Error::QuotaExceeded { limit_name, limit, used, asked }) => {
            assert_eq!((limit_name, limit, used, asked), by);
        }
        other => panic!("{by:?} was to be refused: {other:?}"),
    }
}

async fn assert_clean(world: &World) {
    let report = world.cloud.audit().await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}

async fn each_limit_refuses_exactly_what_exceeds_it(world: &World) {
    for amount in &AMOUNTS {
        let account = Account::new(world).await;
        account.ask(world, amount, 2_000).await.unwrap();
        account.limit(world, amount, 3_000).await;
        refused(account.ask(world, amount, 1_001).await, (amount.limit_name, 3_000, 2_000, 1_001));
        // It is decided by the same code whether it is tried or done.
        let more = (amount.ask)(account.request(world), 1_001);
        refused(world.cloud.dry_run(&more).await, (amount.limit_name, 3_000, 2_000, 1_001));
        let last = account.ask(world, amount, 1_000).await.unwrap();
        account.ask(world, amount, 0).await.unwrap();
        refused(account.ask(world, amount, 1).await, (amount.limit_name, 3_000, 3_000, 1));
        world.cloud.delete(last.id).await.unwrap();
        world.cloud.delete(last.id).await.unwrap();
        assert_eq!((amount.used)(&account.quota(world).await), 2_000, "what it held came back once");
        account.limit(world, amount, 5_000).await;
        account.ask(world, amount, 3_000).await.unwrap();
        assert_eq!((amount.used)(&account.quota(world).await), 5_000);
        for other in AMOUNTS.iter().filter(|other| other.limit_name != amount.limit_name) {
            assert_eq!((other.used)(&account.quota(world).await), 0);
            account.ask(world, other, 7).await.unwrap();
        }
    }
    assert_clean(world).await;
}

async fn a_limit_below_use_takes_nothing_and_gives_nothing_until_enough_came_back(world: &World) {
    for amount in &AMOUNTS {
        let account = Account::new(world).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(account.ask(world, amount, 1_000).await.unwrap().id);
        }
        account.limit(world, amount, 1_500).await;
        let quota = account.quota(world).await;
        assert_eq!(((amount.used)(&quota), quota.instances), (3_000, 3), "nothing was taken away");
        refused(account.ask(world, amount, 1).await, (amount.limit_name, 1_500, 3_000, 1));
        // What is there goes on: it takes nothing more.
        world.cloud.stop(held[0]).await.unwrap();
        world.cloud.start(held[0]).await.unwrap();
        account.ask(world, amount, 0).await.unwrap();
        world.cloud.delete(held[0]).await.unwrap();
        refused(account.ask(world, amount, 1).await, (amount.limit_name, 1_500, 2_000, 1));
        world.cloud.delete(held[1]).await.unwrap();
        refused(account.ask(world, amount, 501).await, (amount.limit_name, 1_500, 1_000, 501));
        held.push(account.ask(world, amount, 500).await.unwrap().id);
        account.limit(world, amount, 0).await;
        for id in &held {
            world.cloud.delete(*id).await.unwrap();
        }
        assert_eq!((amount.used)(&account.quota(world).await), 0);
        refused(account.ask(world, amount, 1).await, (amount.limit_name, 0, 0, 1));
    }
    assert_clean(world).await;
}

/// Control planes with views of their own, as processes would have them, who all decide before one of them commits.
fn processes(world: &World, count: usize) -> Vec<Arc<ControlPlane>> {
    let options = || Options::default().ids(Arc::clone(&world.cloud.ids));
    let store: Arc<dyn Store> = Arc::new(Late(Arc::clone(world.cloud.store())));
    (0..count).map(|_| Arc::new(ControlPlane::with(Arc::clone(&store), options()))).collect()
}

async fn racing_launches_never_pass_a_limit(world: &World) {
    let account = Account::new(world).await;
    account.limit(world, &AMOUNTS[0], 10_000).await;
    let planes = processes(world, 3);
    let racing: Vec<_> = (0..24)
        .map(|at| {
            let plane = Arc::clone(&planes[at % planes.len()]);
            let request = account.request(world).id(world.id().into()).cpu(CpuMilli::from_u32(1_000));
            tokio::spawn(async move {
                loop {
                    match plane.launch(request.clone()).await {
                        Err(error) if error.is_retryable() => {}
                        answer => return answer,
                    }
                }
            })
        })
        .collect();
    let mut launched = Vec::new();
    for launch in racing {
        match launch.await.unwrap() {
            Ok(instance) => launched.push(instance.id),
            Err(Error::QuotaExceeded {
                limit_name: "cpu_milli_limit",
                limit: 10_000,
                used,
                asked: 1_000,
            }) => {
                assert_eq!(used, 10_000);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(launched.len(), 10);
    let quota = account.quota(world).await;
    assert_eq!((quota.cpu_milli.get(), quota.instances), (10_000, 10));
    assert_clean(world).await;
    // Half of it comes back while others want more.
    let deletes: Vec<_> = launched
        .split_off(5)
        .into_iter()
        .enumerate()
        .map(|(at, id)| {
            let plane = Arc::clone(&planes[at % planes.len()]);
            tokio::spawn(async move { plane.delete(id).await.map(drop) })
        })
        .collect();
    let racing: Vec<_> = (0..12)
        .map(|at| {
            let plane = Arc::clone(&planes[at % planes.len()]);
            let request = account.request(world).cpu(CpuMilli::from_u32(2_000));
            tokio::spawn(async move { plane.launch(request).await.map(drop) })
        })
        .collect();
    for delete in deletes {
        delete.await.unwrap().unwrap();
    }
    for launch in racing {
        drop(launch.await.unwrap());
    }
    let usage = account.usage(world).await;
    let held: i64 = usage.instances.entries.iter().map(|instance| instance.cpu_milli.get()).sum();
    assert_eq!(usage.quota.cpu_milli.get(), held);
    assert!((5_000..=10_000).contains(&held), "{held}");
    assert_clean(world).await;
}

async fn many_at_once_are_decided_as_one_after_the_other(world: &World) {
    for amount in &AMOUNTS {
        let account = Account::new(world).await;
        account.limit(world, amount, 3_000).await;
        let first = account.ask(world, amount, 2_000).await.unwrap().id;
        let launch = |id: InstanceId, much: u32| {
            Operation::Launch(Box::new((amount.ask)(account.request(world).id(id), much)))
        };
        let (second, third): (InstanceId, InstanceId) = (world.id().into(), world.id().into());
        let operations = vec![
            launch(world.id().into(), 1_001),
            Operation::Delete(first),
            launch(second, 3_000),
            launch(world.id().into(), 1),
            Operation::Delete(second),
            launch(third, 2_500),
            launch(world.id().into(), 501),
        ];
        let mut told = Vec::new();
        let outcomes = world
            .cloud
            .apply_many_with(operations, |_, decided| {
                told.push(decided.is_ok());
                Vec::new()
            })
            .await;
        let used: Vec<_> = outcomes
            .iter()
            .map(|outcome| match outcome {
                Ok(_) => None,
                Err(Error::QuotaExceeded { limit_name, used, asked, .. }) => {
                    assert_eq!(*limit_name, amount.limit_name);
                    Some((*used, *asked))
                }
                Err(other) => panic!("{other:?}"),
            })
            .collect();
        let refused = |used, asked| Some((used, asked));
        assert_eq!(
            used,
            [refused(2_000, 1_001), None, None, refused(3_000, 1), None, None, refused(2_500, 501)]
        );
        // Not only the store knows: who goes along with an operation is told before anything is committed.
        assert_eq!(told, outcomes.iter().map(Result::is_ok).collect::<Vec<_>>());
        assert_eq!((amount.used)(&account.quota(world).await), 2_500);
    }
    assert_clean(world).await;
}

async fn usage_is_what_the_live_instances_hold(world: &World) {
    let account = Account::new(world).await;
    let other = Account::new(world).await;
    other.ask(world, &AMOUNTS[0], 1_000).await.unwrap();
    let mut expected = Vec::new();
    for at in 1..=5 {
        let request = account
            .request(world)
            .cpu(CpuMilli::from_u32(at))
            .memory(MemoryMib::from_u32(at * 10))
            .storage(StorageMib::from_u32(at * 100));
        expected.push(world.cloud.launch(request).await.unwrap().id);
    }
    world.cloud.delete(expected.remove(1)).await.unwrap();
    world.cloud.stop(expected[0]).await.unwrap();
    let second = world.node(account.user).await;
    let (mut shown, mut after, mut sums) = (Vec::new(), None, (0, 0, 0));
    let quota = loop {
        let page = PageRequest { after, limit: 3 };
        let usage = world.cloud.usage(account.user, UsagePages::default().instances(page)).await.unwrap();
        let nodes: Vec<_> = usage.nodes.entries.iter().map(|node| node.id).collect();
        assert_eq!((nodes, usage.nodes.next), (vec![account.node, second], None));
        for instance in &usage.instances.entries {
            shown.push(instance.id);
            sums.0 += instance.cpu_milli.get();
            sums.1 += instance.memory_mib.get();
            sums.2 += instance.storage_mib.get();
        }
        after = usage.instances.next;
        if after.is_none() {
            break usage.quota;
        }
        assert!(usage.instances.entries.len() == 3);
    };
    shown.sort_unstable();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    assert_eq!((quota.cpu_milli.get(), quota.memory_mib.get(), quota.storage_mib.get()), sums);
    assert_eq!((sums, quota.instances, quota.nodes), ((13, 130, 1_300), 4, 2));
    let one = UsagePages::limit(1);
    let first = world.cloud.usage(account.user, one.clone()).await.unwrap();
    let next = PageRequest { after: first.nodes.next, limit: 1 };
    let rest = world.cloud.usage(account.user, one.clone().nodes(next)).await.unwrap();
    assert_eq!((first.nodes.entries[0].id, rest.nodes.entries[0].id), (account.node, second));
    let nobody = world.cloud.usage(world.id().into(), one).await;
    assert!(matches!(nobody, Err(Error::NotFound { kind: "quota", .. })), "{nobody:?}");
    let none = world.cloud.usage(account.user, UsagePages::limit(0)).await;
    assert!(none.is_err(), "a page of none");
}

async fn usage_is_shown_to_its_owner_and_to_administrators(world: &World) {
    let (account, stranger) = (Account::new(world).await, world.user().await);
    account.ask(world, &AMOUNTS[0], 1_000).await.unwrap();
    let admin = NewUser::new(format!("user-{}@example.org", world.fresh()), "Root").administrator();
    let admin = world.cloud.create_user(admin).await.unwrap().id;
    let usage = |caller: Caller| {
        let acting = world.cloud.acting(caller);
        async move { acting.usage(account.user, UsagePages::default()).await }
    };
    let own = usage(Caller::trusted(account.user)).await.unwrap();
    assert_eq!(own, account.usage(world).await);
    assert_eq!((own.instances.entries.len(), own.quota.cpu_milli.get()), (1, 1_000));
    assert_eq!(usage(Caller::trusted(admin)).await.unwrap(), own);
    let hidden = usage(Caller::trusted(stranger)).await;
    assert!(matches!(hidden, Err(Error::NotFound { kind: "user", .. })), "{hidden:?}");
    // A key has to be for each of the things that are shown.
    for (without, may) in [
        (None, true),
        (Some("quota"), false),
        (Some("instance"), false),
        (Some("compute_node"), false),
        (Some("training"), false),
        (Some("training_run"), false),
    ] {
        let shown = ["quota", "instance", "compute_node", "training", "training_run"];
        let scopes = shown.into_iter().filter(|kind| Some(*kind) != without);
        let scopes: Vec<_> = scopes.map(|kind| format!("read:{kind}")).collect();
        let request = NewApiKey::new("key", scopes.clone());
        let made = world.cloud.create_api_key(account.user, request).await.unwrap();
        let caller = world.cloud.authenticate(&made.secret, Origin::unknown()).await.unwrap();
        assert_eq!(usage(caller).await.is_ok(), may, "{scopes:?}");
    }
}

async fn a_counter_that_drifted_is_mended_once(world: &World) {
    let account = Account::new(world).await;
    let instance = account.ask(world, &AMOUNTS[0], 1_000).await.unwrap().id;
    // As in a file that was written before this was counted.
    let write = Write::record(&QUOTAS, account.user, "cpu_milli", -1_000);
    let batch = Batch::new(world.cloud.ids.next_id(), "drift").with(write);
    world.cloud.store().commit(batch).await.unwrap();
    account.limit(world, &AMOUNTS[0], 500).await;
    let answer = world.cloud.delete(instance).await;
    let rule = answer.as_ref().err().and_then(|error| match error {
        Error::Store(error) => error.refusal().map(|refusal| refusal.cause.clone()),
        _ => None,
    });
    assert_eq!(
        rule,
        Some(Cause::Invariant { rule: "quotas_cpu_milli_not_negative" }),
        "a use below nothing: {answer:?}"
    );
    let report = world.cloud.audit().await.unwrap();
    assert_eq!(report.drifts.len(), 1, "{report:?}");
    let repaired = world.cloud.repair(&report).await.unwrap();
    assert_eq!((repaired.mended, repaired.changed, repaired.impossible), (1, 0, 0));
    assert_eq!(account.quota(world).await.cpu_milli.get(), 1_000, "also above the limit");
    refused(account.ask(world, &AMOUNTS[0], 1).await, ("cpu_milli_limit", 500, 1_000, 1));
    assert_clean(world).await;
    assert_eq!(world.cloud.delete(instance).await.unwrap().state, InstanceState::Deleted);
    // The counter is what the report says once more, and it is not carried out again.
    world.cloud.repair(&report).await.unwrap();
    assert_eq!(account.quota(world).await.cpu_milli, CpuMilli::ZERO);
    assert_clean(world).await;
}
