//! Who may do what, over rows.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::World;
use crate::access::Operation;
use crate::access::matrix::{
    Actor, GOLDEN, Relation, asked_of_a_node, asked_of_an_account, asked_of_the_cloud, rendered,
};
use crate::amount::CpuMilli;
use crate::entity::{
    Access, AccessState, Action, ApiKey, ApiKeyId, ApiKeyKind, ApiKeyUse, DisplayName, Entity as _,
    EntityKind, Entry, GpuFilter, GpuId, Image, ImageId, ImageStatus, InstanceId, MediaType, NodeId,
    PageRequest, PortMapFilter, PortMapId, QUOTAS, RunId, SecretText, Session, SessionState, SessionUse,
    TrainingId, TrainingImageId, UserAccess, UserId,
};
use crate::error::Error;
use crate::id::Id;
use crate::identity::{Caller, Origin, Via};
use crate::plane::checks::waiting_run;
use crate::plane::{LaunchRequest, NewNode, NewRole, NewTraining, NewTrainingImage, NewUser, Shared, Thing};
use crate::ports::{Family, PortRanges, Protocol};
use crate::store::Write;
use crate::time::Clock as _;

pub(super) async fn check_access(world: &World) {
    the_matrix_is_the_one_that_was_agreed_on(world, false).await;
    world.cloud.seed_roles().await.unwrap();
    world.cloud.seed_roles().await.unwrap();
    the_matrix_is_the_one_that_was_agreed_on(world, true).await;
    what_may_not_be_seen_is_what_is_not_there(world).await;
    what_has_ended_lets_nobody_do_anything(world).await;
    what_was_taken_back_lets_nobody_do_anything_afterwards(world).await;
    a_role_that_was_taken_lets_nobody_do_anything_afterwards(world).await;
    who_was_demoted_does_nothing_afterwards(world).await;
    one_launches_where_one_may(world).await;
    what_several_things_are_authorized_by_is_guarded_once(world).await;
    an_image_that_is_not_there_is_refused_as_one_that_is_hidden(world).await;
}

/// Something of a user on a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set {
    owner: UserId,
    pub(super) node: NodeId,
    gpu: GpuId,
    pub(super) image: ImageId,
    published: ImageId,
    pub(super) instance: InstanceId,
    port: PortMapId,
    training: TrainingId,
    training_image: TrainingImageId,
    run: RunId,
}

impl Set {
    pub(super) async fn new(world: &World, owner: UserId) -> Self {
        let node = NewNode::new(owner, format!("set-{}", world.next()))
            .cpu(CpuMilli::from_u32(64_000))
            .gpus(1, "A100")
            .ipv4_ports(PortRanges::tcp(63_000, 63_009).unwrap());
        let node = world.cloud.register_node(node).await.unwrap().id;
        let gpus = GpuFilter { node_id: Some(node), ..GpuFilter::default() };
        let gpus = world.cloud.repositories().gpus().list(gpus, PageRequest::default()).await.unwrap();
        let (instance, port) = Self::instance(world, owner, node).await;
        let image = Self::image(world, node, false).await;
        let published = Self::image(world, node, true).await;
        let (training, training_image, run) = Self::training(world, owner).await;
        let gpu = gpus.entries[0].id;
        Self { owner, node, gpu, image, published, instance, port, training, training_image, run }
    }

    async fn training(world: &World, owner: UserId) -> (TrainingId, TrainingImageId, RunId) {
        let training = NewTraining::new(owner, "set", "ohwx");
        let training = world.cloud.create_training(training).await.unwrap().id;
        let image = NewTrainingImage::new(training, "set.png", MediaType::Png, 1);
        let image = world.cloud.announce_image(image).await.unwrap().id;
        let queue = world.cloud.default_queue().await.unwrap().id;
        let run = waiting_run((world.fresh().into(), owner), training, queue, world.clock.now());
        let writes = vec![Write::Insert(run.to_row()), Write::record(&QUOTAS, owner, "runs", 1)];
        world.commit(writes).await.unwrap();
        (training, image, run.id)
    }

    async fn instance(world: &World, owner: UserId, node: NodeId) -> (InstanceId, PortMapId) {
        let request = LaunchRequest::new(owner, format!("set-{}", world.next())).on_node(node);
        let request = request.ports(Family::Ipv4, Protocol::Tcp, 1);
        let instance = world.cloud.launch(request).await.unwrap().id;
        let of = PortMapFilter { instance_id: Some(instance), ..PortMapFilter::default() };
        let ports = world.cloud.repositories().port_maps().list(of, PageRequest::default()).await.unwrap();
        (instance, ports.entries[0].id)
    }

    async fn image(world: &World, node_id: NodeId, published: bool) -> ImageId {
        let (at, id) = (world.clock.now(), world.fresh().into());
        let image = Image {
            id,
            node_id,
            name: None,
            status: ImageStatus::Ready,
            command_id: None,
            key: Some(id.to_string()),
            url: None,
            remote: None,
            size_mib: None,
            os_hint: None,
            description: None,
            published,
            native_timestamp: at,
            created_at: at,
            updated_at: at,
        };
        world.cloud.repositories().images().create(image).await.unwrap().id
    }
}

/// What is there to ask of, for everybody.
struct Things {
    plain: Set,
    granted: Set,
    ended: Set,
}

impl Things {
    async fn new(world: &World) -> Self {
        let owner = world.user().await.id;
        let plain = Set::new(world, owner).await;
        let granted = Set::new(world, owner).await;
        let ended = Set::new(world, owner).await;
        Self { plain, granted, ended }
    }

    /// The thing that an operation is asked of.
    fn of(&self, own: Set, operation: Operation, relation: Relation, shared: &[Set; 2]) -> Thing {
        if asked_of_the_cloud(operation) {
            return Thing::Cloud;
        }
        let set = match relation {
            Relation::Own => own,
            Relation::Foreign | Relation::Missing => self.plain,
            Relation::Granted => shared[0],
            Relation::Expired => shared[1],
            Relation::NodeGranted | Relation::Published => self.granted,
            Relation::NodeExpired => self.ended,
        };
        // A grant of a node is the grant of what is asked of a node.
        let node_set = match relation {
            Relation::Granted => self.granted,
            Relation::Expired => self.ended,
            _ => set,
        };
        let published = relation == Relation::Published;
        let missing = |thing: Thing| {
            let id = Uuid::from_u128(0x0001_9e83_0e1a_7004_9eae_143c_b46f_7cd0);
            match thing {
                _ if relation != Relation::Missing => thing,
                Thing::Account(_) => Thing::Account(Id::new(id)),
                Thing::Node(_) => Thing::Node(Id::new(id)),
                Thing::Gpu(_) => Thing::Gpu(Id::new(id)),
                Thing::Image(_) => Thing::Image(Id::new(id)),
                Thing::Instance(_) => Thing::Instance(Id::new(id)),
                Thing::Port(_) => Thing::Port(Id::new(id)),
                Thing::Training(_) => Thing::Training(Id::new(id)),
                Thing::TrainingImage(_) => Thing::TrainingImage(Id::new(id)),
                Thing::Run(_) => Thing::Run(Id::new(id)),
                other => other,
            }
        };
        missing(if asked_of_an_account(operation) {
            Thing::Account(set.owner)
        } else if asked_of_a_node(operation) {
            Thing::Node(node_set.node)
        } else {
            match operation.kind() {
                EntityKind::Gpu => Thing::Gpu(node_set.gpu),
                EntityKind::Image => Thing::Image(if published { set.published } else { set.image }),
                EntityKind::PortMap => Thing::Port(set.port),
                EntityKind::Training if of_an_image(operation) => Thing::TrainingImage(set.training_image),
                EntityKind::Training => Thing::Training(set.training),
                EntityKind::TrainingRun if operation == Operation::SubmitRun => Thing::Training(set.training),
                EntityKind::TrainingRun => Thing::Run(set.run),
                _ => Thing::Instance(set.instance),
            }
        })
    }
}

/// Whether it is asked of an image of a training.
const fn of_an_image(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::ReadTrainingImage
            | Operation::ConfirmTrainingImage
            | Operation::CaptionTrainingImage
            | Operation::DeleteTrainingImage
    )
}

/// A caller by a session that is there.
async fn by_session(world: &World, user: UserId) -> Caller {
    let (id, at) = (world.fresh().into(), world.clock.now());
    let session = Session {
        id,
        user_id: user,
        state: SessionState::Full,
        token_hash: SecretText::new(id.to_string()),
        expires_at: at.plus(Duration::from_hours(1)),
        verified_at: None,
        ip: None,
        agent: None,
        created_at: at,
        updated_at: at,
    };
    let last_use = SessionUse { session_id: id, last_used_at: at };
    world.commit(vec![Write::Insert(session.to_row()), Write::Insert(last_use.to_row())]).await.unwrap();
    Caller::of(Via::Session { user, session: id, verified_at: None }, Origin::unknown())
}

/// The id of an API key that is there.
async fn key_of(world: &World, user: UserId, scopes: &[&str], node_id: Option<NodeId>) -> ApiKeyId {
    let (id, at) = (world.fresh().into(), world.clock.now());
    let key = ApiKey {
        id,
        user_id: user,
        name: DisplayName::new("key").unwrap(),
        kind: if node_id.is_some() { ApiKeyKind::NodeAgent } else { ApiKeyKind::User },
        hint: "apk_0000".into(),
        hash: SecretText::new(id.to_string()),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        node_id,
        replaces_id: None,
        expires_at: None,
        created_at: at,
        updated_at: at,
    };
    let last_use = ApiKeyUse { api_key_id: id, last_used_at: None };
    world.commit(vec![Write::Insert(key.to_row()), Write::Insert(last_use.to_row())]).await.unwrap();
    id
}

async fn what_has_ended_lets_nobody_do_anything(world: &World) {
    let user = world.user().await;
    let id = user.id;
    let mut user = user;
    user.value.activated = true;
    world.cloud.repositories().users().update(user).await.unwrap();
    let node = world.node(id).await;
    let instance = world.instance(id, node).await;
    let session = by_session(world, id).await;
    let key = key_of(world, id, &["*:*"], None).await;
    let by_key = Caller::of(Via::ApiKey { user: id, key, scopes: vec!["*:*".into()] }, Origin::unknown());
    let (by_session, by_key) = (world.cloud.acting(session.clone()), world.cloud.acting(by_key));
    by_session.stop(instance).await.unwrap();
    by_key.start(instance).await.unwrap();
    world.cloud.end_session(id, session.session().unwrap()).await.unwrap();
    world.cloud.revoke_api_key(id, key).await.unwrap();
    for acting in [by_session, by_key] {
        let refused = acting.stop(instance).await;
        assert!(matches!(refused, Err(Error::Unauthenticated)), "{refused:?}");
    }
}

/// A user of a kind, with things of their own and grants of others', and as whom they ask.
async fn actor(
    world: &World,
    actor: Actor,
    things: &Things,
    shared: &[Set; 2],
    round: bool,
) -> (Caller, Set) {
    let cloud = &world.cloud;
    let administrator = matches!(actor, Actor::Administrator | Actor::ReadingKey);
    let mut new = NewUser::new(format!("actor-{}@example.org", world.next()), "Ada");
    if administrator {
        new = new.administrator();
    }
    let mut user = cloud.create_user(new).await.unwrap();
    let id = user.id;
    if actor != Actor::NotActivated {
        user.value.activated = true;
        cloud.repositories().users().update(user).await.unwrap();
    }
    let own = Set::new(world, id).await;
    let end = Some(world.clock.now().plus(Duration::from_mins(1)));
    for (what, end) in [
        (Shared::Node(things.granted.node), None),
        (Shared::Node(things.ended.node), end),
        (Shared::Image(shared[0].image), None),
        (Shared::Image(shared[1].image), end),
        (Shared::Instance(shared[0].instance), None),
        (Shared::Instance(shared[1].instance), end),
    ] {
        cloud.share(id, what, end).await.unwrap();
    }
    let allowed: &[_] = match actor {
        Actor::UserWithRole => &[
            (Action::Share, EntityKind::PortMap, Access::Own),
            (Action::Share, EntityKind::Role, Access::Own),
        ],
        Actor::Operator => &[
            (Action::Read, EntityKind::Instance, Access::Any),
            (Action::Operate, EntityKind::Instance, Access::Any),
        ],
        _ => &[],
    };
    if !allowed.is_empty() {
        let role = cloud.create_role(NewRole::new(format!("matrix-{}", world.next()))).await.unwrap().id;
        for (action, entity, access) in allowed {
            cloud.allow(role, *action, *entity, *access).await.unwrap();
        }
        cloud.give_role(id, role).await.unwrap();
    }
    if actor == Actor::Suspended {
        let access = cloud.repositories().user_access().require(id).await.unwrap();
        let suspended = UserAccess { user_id: id, state: AccessState::Suspended };
        cloud.repositories().user_access().update(Entry::new(suspended, access.revision)).await.unwrap();
    }
    let scopes = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let via = match actor {
        Actor::System => Via::System,
        Actor::ReadingKey => {
            let key = key_of(world, id, &["read:*"], None).await;
            Via::ApiKey { user: id, key, scopes: scopes(&["read:*"]) }
        }
        Actor::LaunchingKey => {
            let key = key_of(world, id, &["*:instance", "use:compute_node"], None).await;
            Via::ApiKey { user: id, key, scopes: scopes(&["*:instance", "use:compute_node"]) }
        }
        Actor::NodeAgent => {
            let key = key_of(world, id, &[], Some(own.node)).await;
            Via::NodeAgent { owner: id, key, node: own.node }
        }
        // A host's own way to know somebody counts as much as a session.
        _ if round && actor != Actor::NotActivated => Via::Trusted { user: id },
        _ => return (by_session(world, id).await, own),
    };
    (Caller::of(via, Origin::unknown()), own)
}

async fn the_matrix_is_the_one_that_was_agreed_on(world: &World, round: bool) {
    let things = Things::new(world).await;
    let mut shared = [things.plain; 2];
    for set in &mut shared {
        (set.instance, set.port) = Set::instance(world, set.owner, set.node).await;
        set.image = Set::image(world, set.node, false).await;
    }
    let mut actors = Vec::new();
    for kind in Actor::ALL {
        actors.push((*kind, actor(world, *kind, &things, &shared, round).await));
    }
    world.clock.advance(Duration::from_mins(2));
    let mut decisions = Vec::new();
    for (kind, (caller, own)) in actors {
        let acting = world.cloud.acting(caller);
        for operation in Operation::ALL {
            for relation in Relation::ALL {
                let thing = things.of(own, *operation, *relation, &shared);
                let decision = acting.decision(*operation, thing).await.unwrap();
                decisions.push((kind, *operation, *relation, decision));
            }
        }
    }
    let text = rendered(&decisions);
    for (line, expected) in text.lines().zip(GOLDEN.lines()) {
        assert_eq!(line, expected, "in the matrix over rows");
    }
    assert_eq!(text.len(), GOLDEN.len());
}

async fn what_may_not_be_seen_is_what_is_not_there(world: &World) {
    let (stranger, owner) = (world.user().await.id, world.user().await.id);
    let set = Set::new(world, owner).await;
    let acting = world.cloud.acting(Caller::trusted(stranger));
    let there = acting.stop(set.instance).await.unwrap_err();
    world.cloud.delete(set.instance).await.unwrap();
    let missing: InstanceId = Id::new(Uuid::from_u128(set.instance.uuid().as_u128() ^ 1));
    let absent = acting.stop(missing).await.unwrap_err();
    let same = |text: String| text.replace(&missing.to_string(), &set.instance.to_string());
    assert_eq!(format!("{there:?} {there}"), same(format!("{absent:?} {absent}")));
    assert!(matches!(there, Error::NotFound { kind: "instance", .. }), "{there:?}");
}

async fn what_was_taken_back_lets_nobody_do_anything_afterwards(world: &World) {
    let (guest, owner) = (world.user().await.id, world.user().await.id);
    let node = world.node(owner).await;
    let instance = world.instance(owner, node).await;
    let what = Shared::Instance(instance);
    for _ in 0..30 {
        world.cloud.share(guest, what, None).await.unwrap();
        nothing_is_done_after(world, guest, instance, world.cloud.revoke(guest, what)).await;
    }
}

async fn a_role_that_was_taken_lets_nobody_do_anything_afterwards(world: &World) {
    let (operator, owner) = (world.user().await.id, world.user().await.id);
    let node = world.node(owner).await;
    let instance = world.instance(owner, node).await;
    let role = world.cloud.create_role(NewRole::new(format!("race-{}", world.next()))).await.unwrap().id;
    world.cloud.allow(role, Action::Operate, EntityKind::Instance, Access::Any).await.unwrap();
    for _ in 0..30 {
        world.cloud.give_role(operator, role).await.unwrap();
        nothing_is_done_after(world, operator, instance, world.cloud.take_role(operator, role)).await;
    }
}

async fn who_was_demoted_does_nothing_afterwards(world: &World) {
    let (operator, owner) = (world.user().await.id, world.user().await.id);
    let node = world.node(owner).await;
    let instance = world.instance(owner, node).await;
    for _ in 0..30 {
        world.cloud.promote(operator).await.unwrap();
        let demoting = async { world.cloud.demote(operator).await.map(drop) };
        nothing_is_done_after(world, operator, instance, demoting).await;
    }
}

/// Starts and stops an instance beside what takes the right to do so, and asserts that it stays as it was when that returned.
async fn nothing_is_done_after(
    world: &World,
    actor: UserId,
    instance: InstanceId,
    taking: impl Future<Output = crate::error::Result<()>>,
) {
    let acting = Arc::new(world.cloud.acting(Caller::trusted(actor)));
    let tasks: Vec<_> = (0..4)
        .map(|at| {
            let acting = Arc::clone(&acting);
            tokio::spawn(async move {
                if at % 2 == 0 { acting.stop(instance).await } else { acting.start(instance).await }
            })
        })
        .collect();
    taking.await.unwrap();
    let taken = world.cloud.repositories().instances().require(instance).await.unwrap();
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) | Err(Error::NotFound { .. } | Error::Conflict { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    let later = world.cloud.repositories().instances().require(instance).await.unwrap();
    assert_eq!(later, taken, "something was done after the right was taken back");
}

async fn one_launches_where_one_may(world: &World) {
    let (guest, owner) = (world.user().await.id, world.user().await.id);
    let node = world.node(owner).await;
    let acting = world.cloud.acting(Caller::trusted(guest));
    let launch = || LaunchRequest::new(guest, format!("guest-{}", world.next()));
    let nowhere = acting.launch(launch()).await;
    assert!(matches!(nowhere, Err(Error::NoCapacity(_))), "{nowhere:?}");
    let hidden = acting.launch(launch().on_node(node)).await;
    assert!(matches!(hidden, Err(Error::NotFound { kind: "compute_node", .. })), "{hidden:?}");
    world.cloud.share(guest, Shared::Node(node), None).await.unwrap();
    let launched = acting.launch(launch()).await.unwrap();
    assert_eq!((launched.owner_id, launched.node_id), (guest, Some(node)));
    acting.launch(launch().on_node(node)).await.unwrap();
    let for_another = acting.launch(LaunchRequest::new(owner, "not-mine").on_node(node)).await;
    assert!(matches!(for_another, Err(Error::NotFound { kind: "user", .. })), "{for_another:?}");
    acting.delete(launched.id).await.unwrap();
    let about = crate::entity::LogFilter { subject_id: Some(launched.id.uuid()), ..Default::default() };
    let lines = world.cloud.repositories().logs().list(about, PageRequest::default()).await.unwrap().entries;
    assert!(lines.len() == 2 && lines.iter().all(|line| line.actor_id == Some(guest)), "{lines:?}");
}

async fn what_several_things_are_authorized_by_is_guarded_once(world: &World) {
    let (guest, owner) = (world.user().await.id, world.user().await.id);
    let set = Set::new(world, owner).await;
    let named = || format!("once-{}", world.next());
    let administrator = NewUser::new(format!("{}@example.org", named()), "Ada").administrator();
    let administrator = world.cloud.create_user(administrator).await.unwrap().id;
    let for_guest = LaunchRequest::new(guest, named()).on_node(set.node);
    world.cloud.acting(Caller::trusted(administrator)).launch(for_guest).await.unwrap();
    world.cloud.share(guest, Shared::Node(set.node), None).await.unwrap();
    let published = LaunchRequest { image: Some(set.published), ..LaunchRequest::new(guest, named()) };
    world.cloud.acting(Caller::trusted(guest)).launch(published).await.unwrap();
}

async fn an_image_that_is_not_there_is_refused_as_one_that_is_hidden(world: &World) {
    let (stranger, owner) = (world.user().await.id, world.user().await.id);
    let hidden = Set::new(world, owner).await.image;
    let missing: ImageId = Id::new(Uuid::from_u128(hidden.uuid().as_u128() ^ 1));
    let acting = world.cloud.acting(Caller::trusted(stranger));
    for of in [owner, stranger] {
        let mut answers = Vec::new();
        for image in [hidden, missing] {
            let request = LaunchRequest { image: Some(image), ..LaunchRequest::new(of, "hidden") };
            let refused = acting.launch(request).await.unwrap_err();
            answers.push(format!("{refused:?} {refused}").replace(&image.to_string(), ""));
        }
        assert_eq!(answers[0], answers[1]);
    }
}
