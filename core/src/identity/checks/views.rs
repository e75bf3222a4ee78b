//! What a caller is shown is what they may see, page by page and counted, whoever owns it and whatever was granted.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;

use super::World;
use super::access::Set;
use super::accounts::signed_up;
use crate::access::Operation;
use crate::entity::{
    Access, Action, ComputeNodeFilter, Entity, EntityKind, GpuFilter, ImageFilter, InstanceFilter,
    InstanceState, ListPage, LogFilter, PageRequest, PortMapFilter, TrainingFilter, UserFilter, UserId,
};
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::plane::{Acting, NewApiKey, NewRole, Shared, Thing};
use crate::store::PageCursor;
use crate::time::Clock as _;

pub(super) async fn check_views(world: &World) {
    let people = People::new(world).await;
    for (who, caller) in people.callers(world).await {
        what_is_listed_is_what_may_be_read(world, &who, world.cloud.acting(caller)).await;
    }
    who_may_see_nothing_is_refused(world, people.users[0]).await;
    a_cursor_of_something_else_is_refused(world, people.users[0]).await;
}

/// Some users who own something and were granted something.
struct People {
    users: Vec<UserId>,
}

impl People {
    async fn new(world: &World) -> Self {
        let (mut users, mut sets) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let user = signed_up(world).await.id;
            for _ in 0..2 {
                sets.push(Set::new(world, user).await);
            }
            users.push(user);
        }
        // Instances on the nodes of others, as the host may place them.
        for (at, user) in users.iter().enumerate() {
            for set in sets.iter().skip(at).step_by(2) {
                world.instance(*user, set.node).await;
            }
        }
        let soon = world.clock.now().plus(Duration::from_mins(1));
        for (at, user) in users.iter().enumerate() {
            for (number, set) in sets.iter().enumerate() {
                // A fixed mixture: about half of it is granted, and a third of that has ended.
                let what = match (at * 7 + number * 5) % 6 {
                    0 => Shared::Node(set.node),
                    1 => Shared::Image(set.image),
                    2 => Shared::Instance(set.instance),
                    _ => continue,
                };
                let end = (number % 3 == 0).then_some(soon);
                match world.cloud.share(*user, what, end).await {
                    Ok(_) | Err(Error::WrongState { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
        world.clock.advance(Duration::from_mins(2));
        Self { users }
    }

    async fn callers(&self, world: &World) -> Vec<(String, Caller)> {
        let mut callers = Vec::new();
        for (at, user) in self.users.iter().enumerate() {
            callers.push((format!("owner {at}"), Caller::trusted(*user)));
        }
        let nobody = signed_up(world).await.id;
        callers.push(("somebody who owns nothing".into(), Caller::trusted(nobody)));
        let operator = signed_up(world).await.id;
        let role =
            world.cloud.create_role(NewRole::new(format!("viewer-{}", world.next()))).await.unwrap().id;
        for kind in [EntityKind::Instance, EntityKind::Image, EntityKind::User] {
            world.cloud.allow(role, Action::Read, kind, Access::Any).await.unwrap();
        }
        world.cloud.give_role(operator, role).await.unwrap();
        callers.push(("somebody with a role".into(), Caller::trusted(operator)));
        let key = world.cloud.create_api_key(self.users[1], NewApiKey::new("ci", ["read:*"])).await.unwrap();
        let by_key = world.cloud.check_api_key(&key.secret, super::login::source()).await.unwrap();
        callers.push(("an owner by a key".into(), by_key));
        callers.push(("the application".into(), Caller::system()));
        callers
    }
}

/// The ids of every page of so many.
async fn pages<E: Entity, F>(limit: u32, page: impl Fn(PageRequest) -> F) -> Vec<Uuid>
where
    F: Future<Output = Result<ListPage<E>>>,
{
    let (mut ids, mut request) = (Vec::new(), PageRequest::default().limit(limit));
    loop {
        let listed = page(request.clone()).await.unwrap();
        assert!(listed.entries.len() <= usize::try_from(limit).unwrap());
        ids.extend(
            listed
                .entries
                .iter()
                .map(|entry| entry.to_row().as_inserted().unwrap().id::<()>("id").unwrap().uuid()),
        );
        request.after = listed.next;
        if request.after.is_none() {
            return ids;
        }
    }
}

/// Those of all ids that the caller may see.
async fn seen(
    acting: &Acting,
    operation: Operation,
    all: &[Uuid],
    thing: impl Fn(Uuid) -> Thing,
) -> Vec<Uuid> {
    let mut seen = BTreeSet::new();
    for id in all {
        if acting.may(operation, thing(*id)).await.unwrap() {
            seen.insert(*id);
        }
    }
    seen.into_iter().collect()
}

async fn what_is_listed_is_what_may_be_read(world: &World, who: &str, acting: Acting) {
    let (acting, all) = (&acting, world.cloud.repositories());
    /// Compares the pages of three sizes, and the count, with what may be read of everything.
    macro_rules! compare {
        ($repository:ident, $list:ident, $count:ident, $filter:ty, $operation:ident, $thing:ident) => {{
            let every = pages(1000, |page| all.$repository().list(<$filter>::default(), page)).await;
            let may = seen(acting, Operation::$operation, &every, |id| Thing::$thing(id.into())).await;
            for limit in [1, 3, 1000] {
                let listed = pages(limit, |page| acting.$list(<$filter>::default(), page)).await;
                assert_eq!(listed, may, "{who} is shown other {} by {limit}", stringify!($repository));
            }
            let count = acting.$count(<$filter>::default()).await.unwrap();
            assert_eq!((count.rows, count.capped), (u64::try_from(may.len()).unwrap(), false), "{who}");
        }};
    }
    compare!(compute_nodes, list_nodes, count_nodes, ComputeNodeFilter, ReadNode, Node);
    compare!(gpus, list_gpus, count_gpus, GpuFilter, ReadGpu, Gpu);
    compare!(images, list_images, count_images, ImageFilter, ReadImage, Image);
    compare!(instances, list_instances, count_instances, InstanceFilter, ReadInstance, Instance);
    compare!(trainings, list_trainings, count_trainings, TrainingFilter, ReadTraining, Training);
    compare!(users, list_users, count_users, UserFilter, ReadUser, Account);

    // A filter takes away from what is seen, and adds nothing.
    let running = || InstanceFilter { states: vec![InstanceState::Running], ..InstanceFilter::default() };
    let every = pages(1000, |page| all.instances().list(running(), page)).await;
    let may = seen(acting, Operation::ReadInstance, &every, |id| Thing::Instance(id.into())).await;
    assert_eq!(pages(2, |page| acting.list_instances(running(), page)).await, may, "{who}");
    let published = || ImageFilter { published: Some(true), node_id: None };
    let every = pages(1000, |page| all.images().list(published(), page)).await;
    let may = seen(acting, Operation::ReadImage, &every, |id| Thing::Image(id.into())).await;
    assert_eq!(pages(2, |page| acting.list_images(published(), page)).await, may, "{who}");

    ports(world, who, acting).await;
    logs(world, who, acting).await;
}

async fn ports(world: &World, who: &str, acting: &Acting) {
    let all = world.cloud.repositories();
    for node in pages(1000, |page| all.compute_nodes().list(ComputeNodeFilter::default(), page)).await {
        let of = || PortMapFilter { node_id: Some(node.into()), ..PortMapFilter::default() };
        let every = pages(1000, |page| all.port_maps().list(of(), page)).await;
        let may = seen(acting, Operation::ReadPort, &every, |id| Thing::Port(id.into())).await;
        let listed = pages(2, |page| acting.list_ports(node.into(), page)).await;
        assert_eq!(
            listed.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
            may,
            "{who}"
        );
        assert_eq!(listed.len(), may.len(), "{who}");
    }
}

async fn logs(world: &World, who: &str, acting: &Acting) {
    let Some(user) = acting.caller().user() else { return };
    let mut may = BTreeSet::new();
    let mut page = PageRequest::default().limit(1000);
    loop {
        let listed =
            world.cloud.repositories().logs().list(LogFilter::default(), page.clone()).await.unwrap();
        for line in &listed.entries {
            if line.actor_id == Some(user) || line.subject_id == Some(user.uuid()) {
                may.insert(line.id.uuid());
            }
        }
        page.after = listed.next;
        if page.after.is_none() {
            break;
        }
    }
    let may: Vec<_> = may.into_iter().rev().collect();
    for limit in [2, 1000] {
        assert_eq!(pages(limit, |page| acting.list_logs(LogFilter::default(), page)).await, may, "{who}");
    }
    let count = acting.count_logs(LogFilter::default()).await.unwrap();
    assert_eq!(count.rows, u64::try_from(may.len()).unwrap(), "{who}");
}

async fn who_may_see_nothing_is_refused(world: &World, user: UserId) {
    let key = world.cloud.create_api_key(user, NewApiKey::new("ci", ["read:image"])).await.unwrap();
    let caller = world.cloud.check_api_key(&key.secret, super::login::source()).await.unwrap();
    let acting = world.cloud.acting(caller);
    let listed = acting.list_instances(InstanceFilter::default(), PageRequest::default()).await;
    assert!(matches!(listed, Err(Error::Denied { action: "instance.read" })));
    assert!(matches!(acting.count_nodes(ComputeNodeFilter::default()).await, Err(Error::Denied { .. })));
    acting.list_images(ImageFilter::default(), PageRequest::default()).await.unwrap();
}

async fn a_cursor_of_something_else_is_refused(world: &World, user: UserId) {
    let acting = world.cloud.acting(Caller::trusted(user));
    for text in ["\"00ff\"", "\"zz\"", "\"\""] {
        let cursor: PageCursor = serde_json::from_str(text).unwrap();
        let listed = acting.list_instances(InstanceFilter::default(), PageRequest::after(cursor)).await;
        assert!(matches!(listed, Err(Error::Invalid { .. })), "{text}");
    }
    for limit in [0, 1001] {
        let page = PageRequest::default().limit(limit);
        assert!(matches!(
            acting.list_nodes(ComputeNodeFilter::default(), page).await,
            Err(Error::Invalid { .. })
        ));
    }
}
