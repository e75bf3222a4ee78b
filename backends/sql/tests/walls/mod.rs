//! What a database must refuse by itself, whoever writes to it: the second wall behind the store's own rules. Included
//! by the tests of the backends.
#![allow(dead_code, reason = "each test uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use apportion::ControlPlane;
use apportion::entity;
use apportion::id::{IdSource as _, TimeOrderedIds};
use apportion::plane::{LaunchRequest, NewNode, NewUser};
use apportion::ports::{Family, PortRanges, Protocol};
use apportion::store::{
    Batch, Column, Fixed, Index, Invariant, NewRow, Reference, Scan, Store, StoreExt as _, Table, Unique,
    Value, Write,
};
use apportion::time::{Clock, SystemClock};
use apportion_sql::Names;
use uuid::Uuid;

/// A table of an application beside those of the control plane.
pub(crate) static LODGERS: Table = Table::new(
    "lodgers",
    &[
        Column::uuid("id"),
        Column::text("name", 16),
        Column::int("guests").counter().default(Fixed::Int(0)),
        Column::text("room", 16).default(Fixed::Text("small")),
        Column::uuid("host_id").nullable(),
        Column::int("first_day").nullable(),
        Column::int("last_day").nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("lodgers_name", &["name"])])
.indexes(&[Index::new("lodgers_by_room", &["room", "guests"])])
.references(&[Reference::new("lodgers_host", &["host_id"], "users")])
.invariants(&[
    Invariant::at_least("lodgers_guests_least", "guests", 0),
    Invariant::at_most("lodgers_guests_most", "guests", 10),
    Invariant::one_of("lodgers_room", "room", &["small", "large"]),
    Invariant::not_above("lodgers_days", "first_day", "last_day"),
    Invariant::together_null("lodgers_stay", &["first_day", "last_day"]),
]);

/// The tables of the control plane, and one of the application's own.
pub(crate) fn tables() -> Vec<&'static Table> {
    entity::TABLES.iter().copied().chain([&LODGERS]).collect()
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

/// Puts something into every table that [`WALLS`] is about.
pub(crate) async fn fill(store: &Arc<dyn Store>) {
    let plane = ControlPlane::new(Arc::clone(store));
    let ada = plane.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap().id;
    plane.create_user(NewUser::new("bob@example.org", "Bob")).await.unwrap();
    let node = NewNode::new(ada, "one").gpus(2, "A100").ipv4_ports(PortRanges::tcp(1, 64).unwrap());
    plane.register_node(node).await.unwrap();
    let launch = LaunchRequest::new(ada, "first").gpus(1).ports(Family::Ipv4, Protocol::Tcp, 2);
    plane.launch(launch).await.unwrap();
    for (name, host) in [("carol", Some(ada.uuid())), ("dave", None)] {
        let lodger = NewRow::new(&LODGERS).set("id", next_id()).set("name", name).set("host_id", host);
        store.commit(Batch::new(next_id(), "lodge").with(Write::Insert(lodger))).await.unwrap();
    }
    assert!(plane.audit().await.unwrap().is_clean());
}

/// Changes something, as a store does that goes on working.
pub(crate) async fn work(store: &Arc<dyn Store>) {
    let carol = Scan::of(&LODGERS).by("lodgers_name").with("carol");
    let carol = store.scan(carol).await.unwrap().value.rows.pop().unwrap();
    let set = vec![("room", Value::from("large"))];
    let write = Write::update(&LODGERS, carol.key(), carol.revision(), set);
    store.commit(Batch::new(next_id(), "move").with(write)).await.unwrap();
    let moved = store.get(&LODGERS, carol.key()).await.unwrap().value.unwrap();
    assert_eq!((moved.text("room").unwrap(), moved.revision()), ("large", carol.revision() + 1));
}

fn next_id() -> Uuid {
    TimeOrderedIds::new(clock()).next_id()
}

/// What refuses a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wall {
    /// The CHECK of an invariant of this name.
    Check(&'static str),
    /// The index of a unique key of this name, on these columns.
    Unique(&'static str, &'static str),
    /// The foreign key of a reference of this name.
    Reference(&'static str),
}

/// Statements that nobody may run, and what refuses them. `{name}` is a table, `{?}` an id that nothing has.
pub(crate) const WALLS: [(&str, Wall); 26] = [
    ("UPDATE {lodgers} SET guests = -1", Wall::Check("lodgers_guests_least")),
    ("UPDATE {lodgers} SET guests = 11", Wall::Check("lodgers_guests_most")),
    ("UPDATE {lodgers} SET room = 'cellar'", Wall::Check("lodgers_room")),
    ("UPDATE {lodgers} SET first_day = 9, last_day = 8", Wall::Check("lodgers_days")),
    ("UPDATE {lodgers} SET first_day = 9", Wall::Check("lodgers_stay")),
    ("UPDATE {lodgers} SET name = 'carol'", Wall::Unique("lodgers_name", "name")),
    ("UPDATE {lodgers} SET host_id = {?}", Wall::Reference("lodgers_host")),
    ("DELETE FROM {users} WHERE email = 'ada@example.org'", Wall::Reference("")),
    ("UPDATE {users} SET email = 'ada@example.org'", Wall::Unique("users_email", "email")),
    ("UPDATE {quotas} SET instances = -1", Wall::Check("quotas_instances_not_negative")),
    ("UPDATE {quotas} SET gpu_milli = -1", Wall::Check("quotas_gpu_milli_not_negative")),
    ("UPDATE {quotas} SET cpu_milli = -1", Wall::Check("quotas_cpu_milli_not_negative")),
    ("UPDATE {quotas} SET storage_mib_limit = -1", Wall::Check("quotas_storage_mib_limit_not_negative")),
    ("UPDATE {node_ledgers} SET cpu_milli = -1", Wall::Check("node_ledgers_cpu_not_negative")),
    ("UPDATE {node_ledgers} SET instances = -1", Wall::Check("node_ledgers_instances_not_negative")),
    ("UPDATE {gpus} SET used_milli = 1001", Wall::Check("gpus_used_at_most_whole")),
    ("UPDATE {gpus} SET used_milli = used_milli - 1001", Wall::Check("gpus_used_not_negative")),
    ("UPDATE {gpus} SET health = 'fine'", Wall::Check("gpus_health")),
    ("UPDATE {gpus} SET slot = 7", Wall::Unique("gpus_node_slot", "node_id, slot")),
    ("UPDATE {gpus} SET node_id = {?}", Wall::Reference("gpus_node")),
    ("DELETE FROM {gpus}", Wall::Reference("")),
    ("UPDATE {port_maps} SET port = 80", Wall::Unique("port_maps_slot", "node_id, family, protocol, port")),
    ("UPDATE {port_maps} SET port = port + 65536", Wall::Check("port_maps_port_at_most_65535")),
    ("UPDATE {port_maps} SET family = 'ipv5'", Wall::Check("port_maps_family")),
    ("UPDATE {port_maps} SET instance_id = {?}", Wall::Reference("port_maps_instance")),
    ("DELETE FROM {compute_nodes}", Wall::Reference("")),
];

/// The text of a statement of [`WALLS`]. `nobody` is an id that nothing has.
pub(crate) fn text(sql: &str, names: &Names, nobody: &str) -> String {
    let sql = sql.replace("{?}", nobody);
    let (before, rest) = sql.split_once('{').unwrap();
    let (table, after) = rest.split_once('}').unwrap();
    format!("{before}{}{after}", names.table(table))
}

/// What a later build would have done to a database that this one may still use. `{name}` is a table.
pub(crate) const LATER: [&str; 4] = [
    "INSERT INTO {kernel_migrations} VALUES ('9999_later', 'x', {now})",
    "ALTER TABLE {lodgers} ADD COLUMN floor bigint",
    "CREATE TABLE {attics} (id bigint)",
    "UPDATE {lodgers} SET floor = 3",
];
