//! What is decided of what is brought in, over given rows.

mod kept;
mod many;
mod refused;
mod there;

use std::sync::Arc;

use super::item::{ImportedInstance, ImportedPort};
use super::nodes::{ImportedGpu, ImportedNode};
use super::users::ImportedUser;
use super::{Decision, Item, Known};
use crate::ControlPlane;
use crate::amount::GpuMilli;
use crate::entity::{
    ComputeNode, DisplayName, Email, Entity, Image, ImageStatus, InstanceName, NodeLifecycle, NodeName,
    NodeState, User,
};
use crate::error::{Error, Result};
use crate::ports::{Family, Protocol};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, NewRow, Write};
use crate::time::{ManualClock, Timestamp};

/// When all of it is decided, and when what is brought in was made, unless a test says otherwise.
const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const LATE: Timestamp = Timestamp::from_micros(1_700_000_000_000_001);
const EARLY: Timestamp = Timestamp::from_micros(1_600_000_000_000_000);

const OWNER: u128 = 1;
const NODE: u128 = 2;
const IMAGE: u128 = 3;
const GPU: u128 = 4;
const INSTANCE: u128 = 5;

fn id<T>(number: u128) -> crate::id::Id<T> {
    uuid::Uuid::from_u128(number).into()
}

fn user() -> ImportedUser {
    let email = Email::new("ada@example.org").unwrap();
    ImportedUser::new(User::new(id(OWNER), email, DisplayName::new("Ada").unwrap(), NOW))
}

fn node() -> ImportedNode {
    let mut profile = ComputeNode::new(id(NODE), id(OWNER), NodeName::new("one").unwrap(), NOW);
    profile.gpu_model = Some("H100".into());
    ImportedNode::new(profile).gpu(gpu(0)).gpu(gpu(1))
}

fn gpu(slot: u32) -> ImportedGpu {
    ImportedGpu::new(id(GPU + 100 * u128::from(slot)), slot, "H100", NOW)
}

fn image() -> Image {
    Image {
        id: id(IMAGE),
        node_id: id(NODE),
        name: None,
        status: ImageStatus::Ready,
        command_id: None,
        key: Some("sha256:0".into()),
        url: None,
        remote: None,
        size_mib: None,
        os_hint: None,
        description: None,
        published: false,
        native_timestamp: NOW,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn instance() -> ImportedInstance {
    let name = InstanceName::new("aa").unwrap();
    ImportedInstance::new(id(INSTANCE), id(OWNER), id(NODE), name, NOW)
        .key("c")
        .gpus([id(GPU)], GpuMilli::WHOLE)
        .port(ImportedPort::new(Family::Ipv4, Protocol::Tcp, 22, NOW))
}

fn lifecycle(state: NodeState, has_agent: bool) -> NewRow {
    NodeLifecycle { node_id: id(NODE), state, has_agent }.to_row()
}

fn plane() -> ControlPlane {
    let store = MemoryStore::new(crate::entity::TABLES, Arc::new(ManualClock::new(NOW))).unwrap();
    ControlPlane::new(Arc::new(store))
}

fn known(rows: impl IntoIterator<Item = NewRow>) -> Known {
    let rows = rows.into_iter().map(|row| row.as_inserted().unwrap());
    Known { rows: rows.map(|row| ((row.table().name, row.key()), row)).collect(), counted: false }
}

/// Decides over these rows and those that nearly all are decided on.
fn decided<I: Item>(item: &I, rows: impl IntoIterator<Item = NewRow>) -> Result<Decision> {
    let all = [lifecycle(NodeState::Active, false), image().to_row()].into_iter().chain(rows);
    // It is not there itself.
    let all = all.filter(|row| row.table.name != I::Entity::TABLE.name);
    item.decide(&plane(), &known(all), NOW)
}

/// The batch that brings these in.
fn batch<I: Item>(items: &[I], rows: &[NewRow]) -> Batch {
    let parts = items.iter().map(|item| match decided(item, rows.iter().cloned()).unwrap() {
        Decision::Make(parts) => parts,
        Decision::WasThere => panic!("it was there"),
    });
    plane().import_batch::<I>(parts.collect(), &mut known([]), NOW)
}

/// The entities of a kind that a batch inserts.
fn inserted<E: Entity>(batch: &Batch) -> Vec<E> {
    let of_kind = |write: &Write| match write {
        Write::Insert(row) if row.table.name == E::TABLE.name => {
            Some(E::from_row(&row.as_inserted().unwrap()).unwrap())
        }
        _ => None,
    };
    batch.writes.iter().filter_map(of_kind).collect()
}

/// The field for which it is refused; nothing where it is not.
fn refused_field<I: Item>(item: &I) -> String {
    match decided(item, []) {
        Ok(_) => String::new(),
        Err(Error::Invalid { field, .. }) => field,
        Err(error) => error.to_string(),
    }
}
