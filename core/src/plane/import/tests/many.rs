//! How many items become how many batches.

use super::*;
use crate::amount::{CpuMilli, MemoryMib, StorageMib};
use crate::entity::{ADMINISTRATIONS, Administration, LogFilter, PageRequest, UserPermission};
use crate::plane::import::Imported;

/// What the lines say of the imports of this operation, in the order in which they were made.
async fn lines(plane: &ControlPlane, operation: &str) -> Vec<String> {
    let lines = plane.repositories().logs().list(LogFilter::default(), PageRequest::default()).await.unwrap();
    let mut told: Vec<_> = lines.entries.iter().filter(|line| line.title == operation).collect();
    told.sort_by_key(|line| line.id);
    told.iter().map(|line| line.description.clone().unwrap()).collect()
}

fn users(many: u128) -> Vec<ImportedUser> {
    let one = |number: u128| {
        let email = Email::new(format!("user-{number}@example.org")).unwrap();
        ImportedUser::new(User::new(id(1000 + number), email, DisplayName::new("Ada").unwrap(), NOW))
    };
    (0..many).map(one).collect()
}

#[tokio::test]
async fn many_items_are_a_line_for_each_two_hundred_and_fifty() {
    let plane = plane();
    let users = users(1001);
    let answers = plane.import_users(&users).await;
    assert!(answers.len() == 1001 && answers.iter().all(|it| matches!(it, Ok(Imported::New))));
    let full = "250 of users";
    assert_eq!(lines(&plane, "user.import").await, [full, full, full, full, "1 of users"]);
    assert!(plane.repositories().users().get(users[1000].user.id).await.unwrap().is_some());
}

#[tokio::test]
async fn items_of_more_writes_than_a_batch_may_have_become_several() {
    let plane = plane();
    let mut limitless = user();
    limitless.user.activated = true;
    assert!(plane.import_users(&[limitless]).await[0].is_ok());
    assert!(plane.import_nodes(&[node()]).await[0].is_ok());
    let one = |number: u16| {
        let mut one = instance();
        (one.id, one.name) =
            (id(1000 + u128::from(number)), InstanceName::new(format!("i-{number}")).unwrap());
        (one.key, one.gpu_milli) = (Some(format!("c-{number}")), GpuMilli::from_u32(1));
        let port = |at| ImportedPort::new(Family::Ipv4, Protocol::Tcp, 1 + 64 * number + at, NOW);
        one.ports = (0..64).map(port).collect();
        one
    };
    let all: Vec<ImportedInstance> = (0..70).map(one).collect();
    let answers = plane.import_instances(&all).await;
    assert!(answers.iter().all(|it| matches!(it, Ok(Imported::New))), "{answers:?}");
    let told = lines(&plane, "instance.import").await;
    assert_eq!(told.len(), 2, "each is in as large a batch as may be: {told:?}");
}

#[test]
fn a_batch_has_no_more_writes_than_its_items_are_said_to_have() {
    let (cpu, memory, storage) = (CpuMilli::from_u32(1), MemoryMib::from_u32(1), StorageMib::from_u32(1));
    let mut one = instance().holds(cpu, memory, storage);
    one.gpus.extend((100..110).map(id));
    let Decision::Make(parts) = decided(&one, []).unwrap() else { panic!("it is new") };
    // And the line.
    assert_eq!(batch(&[one], &[]).writes.len(), parts.writes() + 1);
}

#[test]
fn the_first_batch_with_administrators_makes_their_count_and_those_behind_add_to_it() {
    let mut administrator = user();
    administrator.user.permission = UserPermission::Administrator;
    let mut known = known([]);
    let mut written = Vec::new();
    for many in [0, 2, 1] {
        let parts = (0..many).map(|_| match decided(&administrator, []).unwrap() {
            Decision::Make(parts) => parts,
            Decision::WasThere => panic!("it is new"),
        });
        let made = plane().import_batch::<ImportedUser>(parts.collect(), &mut known, NOW);
        let first =
            inserted::<Administration>(&made).iter().map(|row| row.administrators).collect::<Vec<_>>();
        let more = format!("{:?}", Write::record(&ADMINISTRATIONS, Administration::ID, "administrators", 1));
        written.push((first, made.writes.iter().any(|write| format!("{write:?}") == more)));
    }
    assert_eq!(written, [(vec![], false), (vec![2], false), (vec![], true)]);
}
