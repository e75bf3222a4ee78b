//! Images that are fetched, used, published and deleted. Those that are saved of instances are in `saved.rs`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::World;
use super::cut::Cut;
use super::saved;
use crate::entity::{
    CommandFilter, CommandKind, CommandState, Entry, Image, ImageId, ImageStatus, NodeId, PageRequest, UserId,
};
use crate::error::{Error, Result};
use crate::identity::Caller;
use crate::plane::{CommandLease, CommandOutcome, LaunchRequest, LoadedImage, NewImage, NodeSession, Shared};
use crate::time::Clock as _;

const LEASE: Duration = Duration::from_mins(1);

pub(super) async fn check_images(world: &World) {
    an_image_is_ready_when_the_agent_has_it(world).await;
    what_the_agent_cannot_fetch_has_failed_and_is_fetched_again(world).await;
    an_image_is_its_nodes_once(world).await;
    an_image_that_is_used_is_not_deleted_and_a_deleted_one_is_gone(world).await;
    nobody_launches_from_an_image_that_is_deleted_at_that_moment(world).await;
    who_has_a_grant_publishes_and_does_not_unpublish(world).await;
    Box::pin(who_fetches_with_a_grant_of_the_node_sees_and_uses_it(world)).await;
    Box::pin(saved::check_saved(world)).await;
}

/// A node with an agent, and its owner.
struct Host {
    owner: UserId,
    node: NodeId,
    session: NodeSession,
}

impl Host {
    async fn new(world: &World) -> Self {
        let owner = world.user().await;
        let node = world.node(owner).await;
        Self { owner, node, session: world.cloud.join_node(node).await.unwrap() }
    }

    async fn take(&self, world: &World) -> Vec<CommandLease> {
        world.cloud.take_commands(self.node, self.session, 10, LEASE).await.unwrap()
    }

    async fn take_one(&self, world: &World) -> CommandLease {
        let [one] = <[CommandLease; 1]>::try_from(self.take(world).await).unwrap();
        one
    }

    async fn fetch(&self, world: &World, url: &str) -> Entry<Image> {
        world.cloud.fetch_image(NewImage::new(self.node, url).name("one")).await.unwrap()
    }

    /// An image that is ready.
    async fn ready(&self, world: &World) -> ImageId {
        let number = world.fresh();
        let image = self.fetch(world, &format!("https://example.org/{number}")).await.id;
        let held = self.take_one(world).await;
        let loaded = CommandOutcome::loaded(&LoadedImage::new(format!("key-{number}")).size_mib(5)).unwrap();
        world.cloud.complete_command(&held, &loaded).await.unwrap();
        image
    }
}

async fn image(world: &World, id: ImageId) -> Entry<Image> {
    world.cloud.repositories().images().require(id).await.unwrap()
}

async fn launch(world: &World, owner: UserId, image: ImageId) -> Result<crate::entity::InstanceId> {
    let request = LaunchRequest::new(owner, format!("i-{}", world.fresh())).image(image);
    world.cloud.launch(request).await.map(|instance| instance.id)
}

async fn an_image_is_ready_when_the_agent_has_it(world: &World) {
    let host = Host::new(world).await;
    let fetched = host.fetch(world, "https://example.org/ubuntu:24.04").await;
    assert_eq!((fetched.status, fetched.published), (ImageStatus::Fetching, false));
    assert_eq!(host.fetch(world, "https://example.org/ubuntu:24.04").await, fetched, "it is being fetched");
    assert!(matches!(launch(world, host.owner, fetched.id).await, Err(Error::WrongState { .. })));
    assert!(matches!(world.cloud.publish_image(fetched.id).await, Err(Error::WrongState { .. })));
    assert!(matches!(world.cloud.delete_image(fetched.id).await, Err(Error::WrongState { .. })));
    let held = host.take_one(world).await;
    let (kind, subject) = (held.command.kind, held.command.subject_id);
    assert_eq!((kind, subject), (CommandKind::LoadImage, Some(fetched.id.uuid())));
    assert_eq!(held.command.payload.as_deref(), Some("{\"url\":\"https://example.org/ubuntu:24.04\"}"));
    for nonsense in ["", "pulled", "{}", "{\"key\":\"\"}", "{\"key\":\"a\",\"more\":1}"] {
        let answer = world.cloud.complete_command(&held, &CommandOutcome::Done(nonsense.into())).await;
        assert!(matches!(answer, Err(Error::Invalid { .. })), "{nonsense:?} gave {answer:?}");
    }
    assert_eq!(image(world, fetched.id).await, fetched);
    let loaded = CommandOutcome::loaded(&LoadedImage::new("sha256:0123").size_mib(77)).unwrap();
    world.cloud.complete_command(&held, &loaded).await.unwrap();
    world.cloud.complete_command(&held, &loaded).await.unwrap();
    let ready = image(world, fetched.id).await;
    assert_eq!(
        (ready.status, ready.key.as_deref(), ready.size_mib),
        (ImageStatus::Ready, Some("sha256:0123"), Some(77))
    );
    launch(world, host.owner, fetched.id).await.unwrap();
}

async fn what_the_agent_cannot_fetch_has_failed_and_is_fetched_again(world: &World) {
    let host = Host::new(world).await;
    let id = host.ready(world).await;
    world.cloud.publish_image(id).await.unwrap();
    let url = image(world, id).await.url.clone().unwrap();
    assert_eq!(host.fetch(world, &url).await.status, ImageStatus::Fetching);
    let held = host.take_one(world).await;
    world.cloud.complete_command(&held, &CommandOutcome::Failed("no such tag".into())).await.unwrap();
    let failed = image(world, id).await;
    assert_eq!(
        (failed.status, failed.published),
        (ImageStatus::Failed, true),
        "fetching again unpublishes nothing"
    );
    assert!(matches!(launch(world, host.owner, id).await, Err(Error::WrongState { .. })));
    // One that is tried too often has failed, too, and is being fetched where somebody wants it tried again.
    host.fetch(world, &url).await;
    let mut last = None;
    for _ in 0..5 {
        last = Some(host.take_one(world).await.command.id);
        world.clock.advance(LEASE * 2);
    }
    assert_eq!(host.take(world).await, []);
    assert_eq!(image(world, id).await.status, ImageStatus::Failed);
    world.cloud.retry_command(last.unwrap()).await.unwrap();
    assert_eq!(image(world, id).await.status, ImageStatus::Fetching);
    let held = host.take_one(world).await;
    let loaded = CommandOutcome::loaded(&LoadedImage::new(format!("key-{}", world.fresh()))).unwrap();
    world.cloud.complete_command(&held, &loaded).await.unwrap();
    assert_eq!(image(world, id).await.status, ImageStatus::Ready);
}

async fn an_image_is_its_nodes_once(world: &World) {
    let host = Host::new(world).await;
    let first = host.ready(world).await;
    let key = image(world, first).await.key.clone().unwrap();
    let second = host.fetch(world, "https://example.org/another-name").await.id;
    let held = host.take_one(world).await;
    let loaded = CommandOutcome::loaded(&LoadedImage::new(key)).unwrap();
    world.cloud.complete_command(&held, &loaded).await.unwrap();
    assert_eq!(image(world, second).await.status, ImageStatus::Failed, "it is the first one by another name");
    assert_eq!(image(world, first).await.status, ImageStatus::Ready);
    let fetches: Vec<_> = (0..8)
        .map(|_| {
            let (cloud, node) = (Arc::clone(&world.cloud), host.node);
            tokio::spawn(
                async move { cloud.fetch_image(NewImage::new(node, "https://example.org/raced")).await },
            )
        })
        .collect();
    let mut ids = BTreeSet::new();
    for fetch in fetches {
        ids.insert(fetch.await.unwrap().unwrap().id);
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(host.take(world).await.len(), 1, "it is fetched once");
    let empty = world.cloud.fetch_image(NewImage::new(host.node, " ")).await;
    assert!(matches!(empty, Err(Error::Invalid { .. })));
    let nowhere =
        world.cloud.fetch_image(NewImage::new(NodeId::new(world.id()), "https://example.org/x")).await;
    assert!(matches!(nowhere, Err(Error::NotFound { .. })));
}

async fn an_image_that_is_used_is_not_deleted_and_a_deleted_one_is_gone(world: &World) {
    let (host, guest) = (Host::new(world).await, world.user().await);
    let id = host.ready(world).await;
    world.cloud.share(guest, Shared::Image(id), None).await.unwrap();
    let instance = launch(world, host.owner, id).await.unwrap();
    let used = world.cloud.delete_image(id).await;
    assert!(matches!(used, Err(Error::StillUsed { kind: "image", by: "instances" })), "{used:?}");
    world.cloud.delete(instance).await.unwrap();
    world.cloud.delete_image(id).await.unwrap();
    assert_eq!(world.cloud.repositories().images().get(id).await.unwrap(), None);
    assert_eq!(world.cloud.grants_of(Shared::Image(id)).await.unwrap(), []);
    assert!(matches!(world.cloud.delete_image(id).await, Err(Error::NotFound { .. })));
    let held = host.take_one(world).await;
    assert_eq!((held.command.kind, held.command.subject_id), (CommandKind::DeleteImage, Some(id.uuid())));
    world.cloud.complete_command(&held, &CommandOutcome::Done(String::new())).await.unwrap();
}

async fn nobody_launches_from_an_image_that_is_deleted_at_that_moment(world: &World) {
    let host = Host::new(world).await;
    for _ in 0..10 {
        let id = host.ready(world).await;
        let cloud = Arc::clone(&world.cloud);
        let request = LaunchRequest::new(host.owner, format!("i-{}", world.fresh())).image(id);
        let launching = tokio::spawn(async move { cloud.launch(request).await });
        let deleted = world.cloud.delete_image(id).await;
        let launched = launching.await.unwrap();
        let there = world.cloud.repositories().images().get(id).await.unwrap().is_some();
        assert_eq!((launched.is_ok(), deleted.is_ok()), (there, !there), "{launched:?} and {deleted:?}");
        for held in host.take(world).await {
            let outcome = match held.command.kind {
                CommandKind::CreateInstance => CommandOutcome::Failed("it is not to be".into()),
                _ => CommandOutcome::Done(String::new()),
            };
            world.cloud.complete_command(&held, &outcome).await.unwrap();
        }
    }
}

async fn who_has_a_grant_publishes_and_does_not_unpublish(world: &World) {
    let (host, guest, neighbour) = (Host::new(world).await, world.user().await, world.user().await);
    let id = host.ready(world).await;
    let acting = |user| world.cloud.acting(Caller::trusted(user));
    world.cloud.share(neighbour, Shared::Node(host.node), None).await.unwrap();
    assert!(matches!(acting(neighbour).image(id).await, Err(Error::NotFound { .. })), "it is not published");
    assert!(matches!(acting(guest).publish_image(id).await, Err(Error::NotFound { .. })));
    world.cloud.share(guest, Shared::Image(id), None).await.unwrap();
    acting(guest).publish_image(id).await.unwrap();
    acting(neighbour).image(id).await.unwrap();
    assert!(matches!(acting(guest).unpublish_image(id).await, Err(Error::Denied { .. })));
    assert!(matches!(acting(neighbour).delete_image(id).await, Err(Error::Denied { .. })));
    acting(host.owner).unpublish_image(id).await.unwrap();
    let theirs = NewImage::new(host.node, "https://example.org/of-a-neighbour");
    acting(neighbour).fetch_image(theirs.clone()).await.unwrap();
    assert!(matches!(acting(guest).fetch_image(theirs).await, Err(Error::NotFound { .. })));
    acting(guest).delete_image(id).await.unwrap();
    let queued = CommandFilter { node_id: Some(host.node), state: Some(CommandState::Queued) };
    let queued = world.cloud.repositories().commands().list(queued, PageRequest::default()).await.unwrap();
    assert_eq!(queued.entries.len(), 2, "one is fetched, and one removed");
}

async fn who_fetches_with_a_grant_of_the_node_sees_and_uses_it(world: &World) {
    let host = Host::new(world).await;
    let (one, other, third) = (world.user().await, world.user().await, world.user().await);
    for guest in [one, other, third] {
        world.cloud.share(guest, Shared::Node(host.node), None).await.unwrap();
    }
    let acting = |user| world.cloud.acting(Caller::trusted(user));
    let granted = async |image| {
        let grants = world.cloud.grants_of(Shared::Image(image)).await.unwrap();
        grants.into_iter().map(|grant| grant.user).collect::<BTreeSet<_>>()
    };
    let new = |name: &str| NewImage::new(host.node, format!("https://example.org/{name}"));
    let fetched = acting(one).fetch_image(new("of-one")).await.unwrap();
    assert_eq!(granted(fetched.id).await, BTreeSet::from([one]));
    assert_eq!(acting(one).image(fetched.id).await.unwrap(), fetched);
    assert!(matches!(acting(other).image(fetched.id).await, Err(Error::NotFound { .. })));
    // While it is being fetched, who wants it too gets it too, and it is fetched once.
    for guest in [one, other, other] {
        assert_eq!(acting(guest).fetch_image(new("of-one")).await.unwrap(), fetched);
    }
    assert_eq!(granted(fetched.id).await, BTreeSet::from([one, other]));
    let held = host.take_one(world).await;
    let loaded = CommandOutcome::loaded(&LoadedImage::new(format!("key-{}", world.fresh()))).unwrap();
    world.cloud.complete_command(&held, &loaded).await.unwrap();
    for guest in [one, other] {
        let request = LaunchRequest::new(guest, format!("i-{}", world.fresh())).image(fetched.id);
        acting(guest).launch(request).await.unwrap();
    }
    host.take(world).await;
    // What is published needs no grant, and neither does who owns the node.
    let own = acting(host.owner).fetch_image(new("of-the-owner")).await.unwrap();
    assert_eq!(granted(own.id).await, BTreeSet::new());
    world.cloud.publish_image(fetched.id).await.unwrap();
    acting(third).fetch_image(new("of-one")).await.unwrap();
    assert_eq!(granted(fetched.id).await, BTreeSet::from([one, other]));
    // A grant that has ended is none.
    let soon = world.clock.now().plus(LEASE);
    world.cloud.unpublish_image(fetched.id).await.unwrap();
    world.cloud.share(one, Shared::Image(fetched.id), Some(soon)).await.unwrap();
    world.clock.advance(LEASE);
    assert!(matches!(acting(one).image(fetched.id).await, Err(Error::NotFound { .. })));
    acting(one).fetch_image(new("of-one")).await.unwrap();
    acting(one).image(fetched.id).await.unwrap();
    // Whose grant of the node is taken meanwhile fetches nothing.
    let (cloud, node) = (Arc::clone(&world.cloud), host.node);
    let revoked = async move { cloud.revoke(third, Shared::Node(node)).await.unwrap() };
    let raced = world.over(Arc::new(Cut::after(&world.cloud.store, usize::MAX).raced_by(revoked)));
    let refused = raced.acting(Caller::trusted(third)).fetch_image(new("too-late")).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
}
