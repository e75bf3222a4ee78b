//! Instances that an agent makes, stops, starts and removes.

use super::World;
use super::machine::{LEASE, Machine, gpus, instance};
use super::resize;
use crate::amount::GpuMilli;
use crate::entity::{
    BindingState, CommandFilter, CommandKind, CommandState, DesiredState, Entity as _, GPU_BINDINGS,
    GpuBinding, InstanceId, InstanceState, PageRequest,
};
use crate::error::Error;
use crate::machine::InstanceSpec;
use crate::plane::CommandOutcome;
use crate::store::{Scan, StoreExt as _};

pub(super) async fn check_instances(world: &World) {
    an_instance_is_what_its_agent_says_and_what_is_wanted_is_kept_apart(world).await;
    the_agent_is_told_what_to_make(world).await;
    what_is_wanted_while_the_agent_is_busy_is_done_after(world).await;
    what_is_not_begun_is_withdrawn_and_what_is_begun_is_removed(world).await;
    what_cannot_be_made_gives_everything_back(world).await;
    what_cannot_be_done_is_wanted_no_longer_and_can_be_asked_again(world).await;
    what_cannot_be_done_stands_in_no_removals_way(world).await;
    an_old_command_undoes_nothing(world).await;
    Box::pin(resize::check_resize(world)).await;
    an_agent_killed_at_any_step_of_create_and_delete_leaks_nothing(world).await;
}

async fn states(world: &World, id: InstanceId) -> (InstanceState, DesiredState) {
    let instance = instance(world, id).await;
    (instance.state, instance.desired)
}

async fn bindings(world: &World, id: InstanceId) -> Vec<BindingState> {
    let held_by = Scan::of(&GPU_BINDINGS).by("gpu_bindings_instance").with(id);
    let rows = world.cloud.store().scan_all(held_by).await.unwrap();
    rows.iter().map(|row| GpuBinding::from_row(row).unwrap().state).collect()
}

async fn an_instance_is_what_its_agent_says_and_what_is_wanted_is_kept_apart(world: &World) {
    use DesiredState as Want;
    let mut machine = Machine::new(world).await;
    let launched = machine.launch(world).await;
    let id = launched.id;
    assert_eq!((launched.state, launched.desired), (InstanceState::Requested, Want::Running));
    assert_eq!(bindings(world, id).await, [BindingState::Reserved]);
    for refused in [world.cloud.stop(id).await, world.cloud.start(id).await] {
        assert!(matches!(refused, Err(Error::WrongState { kind: "instance", .. })), "{refused:?}");
    }
    let held = machine.take(world).await.pop().unwrap();
    assert_eq!(states(world, id).await.0, InstanceState::Creating);
    let made = machine.execute(&held.command);
    world.cloud.complete_command(&held, &made).await.unwrap();
    assert_eq!(states(world, id).await, (InstanceState::Running, Want::Running));
    assert_eq!(bindings(world, id).await, [BindingState::Bound]);
    assert!(instance(world, id).await.key.is_some());

    let stopping = world.cloud.stop(id).await.unwrap();
    assert_eq!((stopping.state, stopping.desired), (InstanceState::Running, Want::Stopped));
    assert_eq!(world.cloud.stop(id).await.unwrap(), stopping, "it is under way");
    machine.work(world).await;
    assert_eq!(states(world, id).await, (InstanceState::Stopped, Want::Stopped));
    let stopped = world.cloud.stop(id).await.unwrap();
    assert_eq!(stopped.revision, instance(world, id).await.revision, "it is stopped");
    world.cloud.start(id).await.unwrap();
    assert_eq!(states(world, id).await, (InstanceState::Stopped, Want::Running));
    machine.work(world).await;
    assert_eq!(states(world, id).await, (InstanceState::Running, Want::Running));

    let deleting = world.cloud.delete(id).await.unwrap();
    assert_eq!((deleting.state, deleting.desired), (InstanceState::Deleting, Want::Deleted));
    assert_eq!(world.cloud.delete(id).await.unwrap(), deleting, "it is under way");
    assert_eq!(bindings(world, id).await, [BindingState::Releasing]);
    assert!(gpus(world, machine.node).await.iter().any(|gpu| gpu.used_milli == GpuMilli::from_u32(500)));
    machine.work(world).await;
    assert_eq!(states(world, id).await, (InstanceState::Deleted, Want::Deleted));
    machine.is_empty(world, "it was deleted").await;
}

async fn the_agent_is_told_what_to_make(world: &World) {
    let machine = Machine::new(world).await;
    let request = machine.request(world).payload("{\"command\":[\"sleep\"]}");
    let launched = world.cloud.launch(request).await.unwrap();
    let held = machine.take(world).await.pop().unwrap();
    assert_eq!(
        (held.command.kind, held.command.subject_id),
        (CommandKind::CreateInstance, Some(launched.id.uuid()))
    );
    let spec = InstanceSpec::parse(held.command.payload.as_deref().unwrap()).unwrap();
    assert_eq!((spec.instance, spec.name.as_str()), (launched.id, launched.name.as_str()));
    assert_eq!(
        (spec.cpu_milli, spec.memory_mib, spec.storage_mib),
        (launched.cpu_milli, launched.memory_mib, launched.storage_mib)
    );
    assert_eq!(spec.payload.as_deref(), Some("{\"command\":[\"sleep\"]}"));
    let ports = world.cloud.repositories().instances().ports(launched.id).await.unwrap();
    let mut numbers: Vec<u16> = ports.iter().map(|port| port.port).collect();
    let mut told: Vec<u16> = spec.ports.iter().map(|port| port.port).collect();
    numbers.sort_unstable();
    told.sort_unstable();
    assert_eq!((told.len(), told), (2, numbers));
    let [gpu] = <[_; 1]>::try_from(spec.gpus.clone()).unwrap();
    assert_eq!(gpu.milli, GpuMilli::from_u32(500));
    assert!(gpu.key.as_ref().is_some_and(|key| machine.gpus.contains(key)), "{spec:?}");
    let done = CommandOutcome::Failed(String::new());
    world.cloud.complete_command(&held, &done).await.unwrap();
}

async fn what_is_wanted_while_the_agent_is_busy_is_done_after(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    world.cloud.stop(id).await.unwrap();
    let held = machine.take(world).await.pop().unwrap();
    // Wanted otherwise while the agent stops it: it is stopped, and started again.
    world.cloud.start(id).await.unwrap();
    let outcome = machine.execute(&held.command);
    world.cloud.complete_command(&held, &outcome).await.unwrap();
    assert_eq!(states(world, id).await, (InstanceState::Stopped, DesiredState::Running));
    let next = machine.take(world).await.pop().unwrap();
    assert_eq!(next.command.kind, CommandKind::StartInstance);
    // Deleted while the agent starts it: it is started, and removed.
    world.cloud.delete(id).await.unwrap();
    assert_eq!(machine.take(world).await, [], "one thing at a time");
    let outcome = machine.execute(&next.command);
    world.cloud.complete_command(&next, &outcome).await.unwrap();
    assert_eq!(states(world, id).await.0, InstanceState::Deleting);
    machine.work(world).await;
    assert_eq!(states(world, id).await.0, InstanceState::Deleted);
    machine.is_empty(world, "it was deleted while it started").await;
}

async fn what_is_not_begun_is_withdrawn_and_what_is_begun_is_removed(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.launch(world).await.id;
    assert_eq!(world.cloud.delete(id).await.unwrap().state, InstanceState::Deleted);
    machine.is_empty(world, "nobody had begun it").await;
    assert_eq!(machine.take(world).await, []);
    // Begun, and the agent died: it is not made any more, and what there may be of it is removed.
    let id = machine.launch(world).await.id;
    let held = machine.take(world).await.pop().unwrap();
    machine.execute(&held.command);
    assert_eq!(world.cloud.delete(id).await.unwrap().state, InstanceState::Deleting);
    world.clock.advance(LEASE * 2);
    assert_eq!(machine.take(world).await, [], "what is to be deleted is not made");
    let [removal] = <[_; 1]>::try_from(machine.take(world).await).unwrap();
    assert_eq!(removal.command.kind, CommandKind::DeleteInstance);
    let late = machine.execute(&held.command);
    assert!(world.cloud.complete_command(&held, &late).await.is_err(), "it was withdrawn");
    let outcome = machine.execute(&removal.command);
    world.cloud.complete_command(&removal, &outcome).await.unwrap();
    assert_eq!(states(world, id).await.0, InstanceState::Deleted);
    machine.is_empty(world, "it was removed").await;
}

async fn what_cannot_be_made_gives_everything_back(world: &World) {
    let machine = Machine::new(world).await;
    let id = machine.launch(world).await.id;
    let held = machine.take(world).await.pop().unwrap();
    let why = format!("no such image \0 {}", "x".repeat(2000));
    let refused = world.cloud.complete_command(&held, &CommandOutcome::Failed(why)).await;
    assert!(refused.is_err(), "no text has a NUL: {refused:?}");
    world.cloud.complete_command(&held, &CommandOutcome::Failed("ü".repeat(1000))).await.unwrap();
    let failed = instance(world, id).await;
    assert_eq!(
        (failed.state, failed.status_info.as_deref()),
        (InstanceState::Failed, Some("ü".repeat(512).as_str()))
    );
    machine.is_empty(world, "it could not be made").await;
    let nonsense = machine.launch(world).await.id;
    let held = machine.take(world).await.pop().unwrap();
    for bad in ["", "{}", "{\"key\":\"\"}", "{\"key\":\"a\",\"ipv4\":\"1.2.3\"}"] {
        let answer = world.cloud.complete_command(&held, &CommandOutcome::Done(bad.into())).await;
        assert!(matches!(answer, Err(Error::Invalid { .. })), "{bad}: {answer:?}");
    }
    assert_eq!(states(world, nonsense).await.0, InstanceState::Creating);
    world.cloud.complete_command(&held, &CommandOutcome::Failed(String::new())).await.unwrap();
    machine.is_empty(world, "nor could this").await;
}

async fn what_cannot_be_done_is_wanted_no_longer_and_can_be_asked_again(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    world.cloud.stop(id).await.unwrap();
    let held = machine.take(world).await.pop().unwrap();
    world.cloud.complete_command(&held, &CommandOutcome::Failed("it hangs".into())).await.unwrap();
    assert_eq!(states(world, id).await, (InstanceState::Running, DesiredState::Running));
    assert_eq!(instance(world, id).await.status_info.as_deref(), Some("it hangs"));
    // Tried too often: parked, for somebody to look at; then tried again.
    world.cloud.stop(id).await.unwrap();
    let mut last = None;
    for _ in 0..5 {
        last = machine.take(world).await.pop();
        world.clock.advance(LEASE * 2);
    }
    assert_eq!(machine.take(world).await, []);
    assert_eq!(states(world, id).await.1, DesiredState::Running);
    let parked = last.unwrap().command.id;
    world.cloud.retry_command(parked).await.unwrap();
    assert_eq!(states(world, id).await.1, DesiredState::Stopped);
    machine.work(world).await;
    assert_eq!(states(world, id).await.0, InstanceState::Stopped);
    // A removal that cannot be done frees nothing, and is asked for again.
    world.cloud.delete(id).await.unwrap();
    let held = machine.take(world).await.pop().unwrap();
    world.cloud.complete_command(&held, &CommandOutcome::Failed("busy".into())).await.unwrap();
    assert_eq!(states(world, id).await.0, InstanceState::Deleting);
    assert_eq!(bindings(world, id).await, [BindingState::Releasing], "silence frees nothing");
    assert_eq!(machine.take(world).await, []);
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    machine.is_empty(world, "it was asked again").await;
}

async fn what_cannot_be_done_stands_in_no_removals_way(world: &World) {
    let mut machine = Machine::new(world).await;
    // Deleted while its agent stops it, which then fails.
    let stopping = machine.running(world).await;
    world.cloud.stop(stopping).await.unwrap();
    let held = machine.take(world).await.pop().unwrap();
    world.cloud.delete(stopping).await.unwrap();
    world.cloud.complete_command(&held, &CommandOutcome::Failed("it hangs".into())).await.unwrap();
    machine.work(world).await;
    assert_eq!(states(world, stopping).await.0, InstanceState::Deleted);
    // Deleted after it was tried to be made too often.
    let making = machine.launch(world).await.id;
    for _ in 0..5 {
        machine.take(world).await;
        world.clock.advance(LEASE * 2);
    }
    world.cloud.delete(making).await.unwrap();
    assert_eq!(machine.take(world).await, [], "it is given up, and its removal asked for");
    machine.work(world).await;
    assert_eq!(states(world, making).await.0, InstanceState::Deleted);
    machine.is_empty(world, "both were deleted").await;
}

async fn an_old_command_undoes_nothing(world: &World) {
    let mut machine = Machine::new(world).await;
    let id = machine.running(world).await;
    world.cloud.stop(id).await.unwrap();
    for _ in 0..5 {
        machine.take(world).await;
        world.clock.advance(LEASE * 2);
    }
    machine.take(world).await;
    let filter = CommandFilter { node_id: Some(machine.node), state: Some(CommandState::Parked) };
    let parked = world.cloud.repositories().commands().list(filter, PageRequest::default()).await.unwrap();
    let parked = parked.entries.first().unwrap().id;
    // Stopped and started meanwhile by others.
    world.cloud.stop(id).await.unwrap();
    machine.work(world).await;
    let again = world.cloud.retry_command(parked).await;
    assert!(matches!(again, Err(Error::WrongState { kind: "command", .. })), "{again:?}");
    world.cloud.delete(id).await.unwrap();
    machine.work(world).await;
    assert!(world.cloud.retry_command(parked).await.is_err());
    // The same of images: a fetch that was given up, beside one that succeeded.
    let url = format!("https://example.org/{}", world.fresh());
    let image = world.cloud.fetch_image(crate::plane::NewImage::new(machine.node, &url)).await.unwrap().id;
    let mut old = None;
    for _ in 0..5 {
        old = machine.take(world).await.pop();
        world.clock.advance(LEASE * 2);
    }
    assert_eq!(machine.take(world).await, []);
    world.cloud.fetch_image(crate::plane::NewImage::new(machine.node, &url)).await.unwrap();
    let old = old.unwrap();
    assert!(world.cloud.retry_command(old.command.id).await.is_err(), "a newer one is under way");
    machine.work(world).await;
    let kept = world.cloud.repositories().images().require(image).await.unwrap();
    assert_eq!(kept.status, crate::entity::ImageStatus::Ready);
    assert!(world.cloud.retry_command(old.command.id).await.is_err(), "it is there");
}

/// Where an agent can die while it makes or removes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Before it has taken the command.
    Queued,
    /// Behind it.
    Taken,
    /// When the container is there, and does not run.
    Made,
    /// When all is done, and nobody knows.
    Executed,
    /// When it is answered, and the agent does not know that.
    Answered,
}

const STEPS: [Step; 5] = [Step::Queued, Step::Taken, Step::Made, Step::Executed, Step::Answered];

async fn an_agent_killed_at_any_step_of_create_and_delete_leaks_nothing(world: &World) {
    for (kind, step) in [CommandKind::CreateInstance, CommandKind::DeleteInstance]
        .into_iter()
        .flat_map(|kind| STEPS.map(|step| (kind, step)))
    {
        let mut machine = Machine::new(world).await;
        let creates = kind == CommandKind::CreateInstance;
        let id = if creates {
            machine.launch(world).await.id
        } else {
            let id = machine.running(world).await;
            world.cloud.delete(id).await.unwrap();
            id
        };
        die_at(world, &mut machine, kind, step).await;
        let why = format!("{kind} at {step:?}");
        machine.restart(world).await;
        machine.work(world).await;
        machine.report(world).await.unwrap();
        let quiet = machine.report(world).await.unwrap();
        assert_eq!(quiet.changed, 0, "{why}: another report changes nothing");
        if creates {
            let made = instance(world, id).await;
            assert_eq!(made.state, InstanceState::Running, "{why}");
            assert_eq!(machine.containers.keys().collect::<Vec<_>>(), [made.key.as_ref().unwrap()], "{why}");
            world.cloud.delete(id).await.unwrap();
            machine.work(world).await;
        }
        assert_eq!(states(world, id).await.0, InstanceState::Deleted, "{why}");
        machine.report(world).await.unwrap();
        machine.is_empty(world, &why).await;
    }
}

async fn die_at(world: &World, machine: &mut Machine, kind: CommandKind, step: Step) {
    if step == Step::Queued {
        return;
    }
    let held = machine.take(world).await.pop().unwrap();
    assert_eq!(held.command.kind, kind);
    match step {
        Step::Queued | Step::Taken => {}
        Step::Made if kind == CommandKind::CreateInstance => {
            machine.make(&InstanceSpec::parse(held.command.payload.as_deref().unwrap()).unwrap());
        }
        // To remove begins with stopping.
        Step::Made => machine.containers.values_mut().for_each(|container| container.runs = false),
        Step::Executed => drop(machine.execute(&held.command)),
        Step::Answered => {
            let outcome = machine.execute(&held.command);
            world.cloud.complete_command(&held, &outcome).await.unwrap();
        }
    }
}
