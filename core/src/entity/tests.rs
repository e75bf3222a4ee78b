//! What holds of every entity: its mapping fits its table, and a row that does not fit it is corrupt.

mod rules;
mod walks;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use super::samples::{Samples, each_sample};
use super::*;
use crate::id::{IdSource, TimeOrderedIds};
use crate::store::memory::MemoryStore;
use crate::store::{Check, Column, Kind, Role};
use crate::time::{ManualClock, Timestamp};

fn samples() -> [Samples; 2] {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_780_315_200_000_000)));
    let ids = TimeOrderedIds::seeded(clock, 1);
    [Samples::full(|| ids.next_id()), Samples::bare(|| ids.next_id())]
}

fn is_key(table: &Table, column: &Column) -> bool {
    table.key.contains(&column.name)
}

/// The row that a store would give back, with some columns replaced.
fn row<E: Entity>(entity: &E, replaced: &[(&str, Value)]) -> Row {
    let new = entity.to_row();
    let value = |name: &str| {
        let replaced = replaced.iter().find(|(column, _)| *column == name).map(|(_, value)| value);
        replaced.or_else(|| new.values.iter().find(|(column, _)| *column == name).map(|(_, value)| value))
    };
    let values = E::TABLE.columns.iter().map(|column| value(column.name).unwrap().clone()).collect();
    Row::from_parts(E::TABLE, values, 1, 1).unwrap()
}

#[test]
fn the_tables_make_a_schema_and_each_is_listed_once() {
    MemoryStore::new(TABLES, Arc::new(ManualClock::new(Timestamp::EPOCH))).unwrap();
    let names: BTreeSet<_> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(names.len(), TABLES.len());
    let mut mapped = 0;
    each_sample!(samples()[0], entity => {
        mapped += 1;
        assert!(names.contains(table_of(entity).name));
    });
    assert_eq!(mapped, TABLES.len());
}

fn table_of<E: Entity>(_: &E) -> &'static Table {
    E::TABLE
}

#[test]
fn every_column_has_its_field_and_every_field_the_right_to_change_that_its_column_says() {
    fn check<E: Entity>(entity: &E) {
        let table = E::TABLE;
        let mut kept: Vec<_> = entity.to_row().values.iter().map(|(column, _)| *column).collect();
        kept.sort_unstable();
        let mut declared: Vec<_> = table.columns.iter().map(|column| column.name).collect();
        declared.sort_unstable();
        assert_eq!(kept, declared, "{}", table.name);

        let changed: BTreeSet<_> = entity.plain().into_iter().map(|(column, _)| column).collect();
        let may_change = |column: &&Column| matches!(column.role, Role::Plain | Role::Secret);
        let may: BTreeSet<_> = (table.columns.iter().filter(may_change))
            .filter(|column| !is_key(table, column))
            .map(|column| column.name)
            .collect();
        assert_eq!(changed, may, "{}", table.name);
    }
    each_sample!(samples()[0], entity => check(entity));
}

#[test]
fn the_samples_give_every_field_and_leave_out_every_field() {
    fn check<E: Entity>(entity: &E, full: bool) {
        for (column, value) in entity.to_row().values {
            let declared = E::TABLE.columns.iter().find(|declared| declared.name == column).unwrap();
            assert_eq!(value.is_null(), declared.nullable && !full, "{}.{column}", E::TABLE.name);
        }
    }
    each_sample!(samples()[0], entity => check(entity, true));
    each_sample!(samples()[1], entity => check(entity, false));
}

#[test]
fn every_entity_is_read_from_its_row_as_it_was() {
    fn check<E: Entity + Debug>(entity: &E) {
        assert_eq!(&E::from_row(&row(entity, &[])).unwrap(), entity);
    }
    for samples in samples() {
        each_sample!(samples, entity => check(entity));
    }
}

#[test]
fn a_value_that_no_writer_makes_is_corrupt_and_names_table_and_column() {
    fn refused<E: Entity + Debug>(entity: &E, name: &'static str, value: &Value) {
        let read = E::from_row(&row(entity, &[(name, value.clone())]));
        let Err(StoreError::Corrupt { table, key, column, .. }) = read else {
            panic!("{}.{name} = {value:?} was read as {read:?}", E::TABLE.name);
        };
        assert_eq!((table.as_str(), column.as_str()), (E::TABLE.name, name));
        assert!(key.is_some());
    }
    fn check<E: Entity + Debug>(entity: &E) {
        for column in E::TABLE.columns {
            let other_kind = if column.kind == Kind::Bool { Value::Int(1) } else { Value::Bool(true) };
            refused(entity, column.name, &other_kind);
            if !column.nullable {
                refused(entity, column.name, &Value::Null);
            }
        }
        for rule in E::TABLE.invariants {
            match rule.check {
                Check::OneOf(column, _) => refused(entity, column, &"neither".into()),
                Check::AtLeast(column, 0) => refused(entity, column, &Value::Int(-1)),
                _ => {}
            }
        }
    }
    each_sample!(samples()[0], entity => check(entity));
}

/// A file that an older build wrote holds the columns in the order in which they were declared then.
#[test]
fn columns_are_only_ever_added_at_the_end_of_a_table() {
    let golden = include_str!("tests/columns.txt");
    let declared: Vec<String> = TABLES
        .iter()
        .map(|table| {
            let columns = table.columns.iter().map(|column| column.name);
            format!("{}: {}", table.name, columns.collect::<Vec<_>>().join(" "))
        })
        .collect();
    for line in golden.lines() {
        let of_table = |declared: &&String| declared.split(':').next() == line.split(':').next();
        let now = declared.iter().find(of_table).map_or("", String::as_str);
        let grown = now.strip_prefix(line).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        assert!(grown, "{line}\nbecame\n{now}");
    }
    let mut complete: Vec<&str> = golden.lines().collect();
    let mut declared: Vec<&str> = declared.iter().map(String::as_str).collect();
    complete.sort_unstable();
    declared.sort_unstable();
    assert_eq!(complete, declared, "what is new is to be told in core/src/entity/tests/columns.txt");
}

#[test]
fn the_stored_texts_of_every_enum_are_these_and_the_rules_say_so() {
    let expected: [(&Table, &str, &[&str]); 27] = [
        (&USERS, "permission", &["administrator", "user"]),
        (&USER_ACCESS, "state", &["active", "suspended"]),
        (&COMPUTE_NODES, "gpu_driver", &["cuda", "rocm"]),
        (&NODE_LIFECYCLES, "state", &["initializing", "active", "draining", "cordoned", "unknown", "dead"]),
        (&GPUS, "health", &["healthy", "quarantined", "gone"]),
        (&IMAGES, "status", &["fetching", "ready", "failed"]),
        (
            &INSTANCES,
            "state",
            &["requested", "creating", "running", "stopped", "deleting", "deleted", "failed", "lost"],
        ),
        (&INSTANCES, "desired", &["running", "stopped", "deleted"]),
        (&INSTANCES, "network_mode", &["host", "bridge"]),
        (&GPU_BINDINGS, "state", &["reserved", "bound", "releasing", "released"]),
        (&PORT_MAPS, "family", &["ipv4", "ipv6"]),
        (&PORT_MAPS, "protocol", &["tcp", "udp"]),
        (&LOGS, "outcome", &["done", "refused"]),
        (&SESSIONS, "state", &["awaiting_second_factor", "full"]),
        (&API_KEYS, "kind", &["user", "node_agent"]),
        (&VERIFICATIONS, "kind", &["onboarding", "reset-password", "change-email", "2fa", "2fa-verify"]),
        (&VERIFICATIONS, "algorithm", &["SHA-1", "SHA-256", "SHA-512"]),
        (&PERMISSIONS, "access", &["own", "any"]),
        (
            &COMMANDS,
            "kind",
            &[
                "create_instance",
                "start_instance",
                "stop_instance",
                "delete_instance",
                "load_image",
                "delete_image",
                "save_image",
                "ping",
            ],
        ),
        (&COMMANDS, "state", &["queued", "leased", "done", "failed", "parked"]),
        (&TRAINING_IMAGES, "media_type", &["image/png", "image/jpeg", "image/webp"]),
        (&TRAINING_IMAGES, "state", &["intended", "uploaded", "resized"]),
        (
            &TRAINING_RUNS,
            "state",
            &[
                "queued",
                "preparing",
                "waiting_for_gpu",
                "starting",
                "training",
                "uploading",
                "completed",
                "failed",
                "aborted",
                "stalled",
            ],
        ),
        (
            &TRAINING_RUNS,
            "cause",
            &[
                "crashed",
                "invalid",
                "hardware",
                "worker_lost",
                "not_begun",
                "no_progress",
                "not_prepared",
                "no_gpus",
                "not_uploaded",
                "not_rented",
                "preempted",
                "requested",
            ],
        ),
        (&TRAINING_RUN_IMAGES, "media_type", &["image/png", "image/jpeg", "image/webp"]),
        (&GPU_LEASES, "state", &["reserved", "bound", "releasing", "released"]),
        (&RENTALS, "state", &["renting", "rented", "releasing", "released", "failed", "lost"]),
    ];
    let mut declared = Vec::new();
    for table in TABLES {
        for rule in table.invariants {
            if let Check::OneOf(column, texts) = rule.check {
                declared.push((table.name, column, texts));
            }
        }
    }
    assert_eq!(declared, expected.map(|(table, column, texts)| (table.name, column, texts)));
}

#[test]
fn every_text_of_an_enum_is_read_printed_and_serialized_as_itself() {
    macro_rules! check {
        ($($name:ident),+) => {$(
            assert_eq!($name::ALL.len(), $name::TEXTS.len());
            for (one, text) in $name::ALL.iter().zip($name::TEXTS) {
                assert_eq!((one.as_str(), one.to_string().as_str()), (*text, *text));
                assert_eq!(text.parse::<$name>().unwrap(), *one);
                assert_eq!(serde_json::to_value(one).unwrap(), *text);
                assert_eq!(serde_json::from_value::<$name>((*text).into()).unwrap(), *one);
            }
            assert!($name::parse("").is_none() && "NEITHER".parse::<$name>().is_err());
        )+};
    }
    check!(UserPermission, AccessState, GpuDriver, NodeState, NodeEvent, GpuHealth, ImageStatus);
    check!(
        DesiredState,
        InstanceState,
        InstanceEvent,
        NetworkMode,
        BindingState,
        LogOutcome,
        SessionState,
        ApiKeyKind
    );
    check!(ImageEvent, BindingEvent, CommandKind, CommandState, CommandEvent);
    check!(VerificationKind, TotpAlgorithm, Action, EntityKind, Access);
    check!(MediaType, TrainingImageState, TrainingImageEvent, RunState, RunEvent, RunCause, RentalState);
    check!(RentalEvent);
}

#[test]
fn what_is_serialized_is_read_back_and_holds_no_secret() {
    fn check<E: Debug + PartialEq + serde::Serialize + serde::de::DeserializeOwned>(entity: &E) {
        let json = serde_json::to_string(entity).unwrap();
        assert_eq!(&serde_json::from_str::<E>(&json).unwrap(), entity, "{json}");
    }
    for samples in samples() {
        let Samples { node, instance, gpu, image, binding, port, .. } = &samples;
        check(node);
        check(instance);
        check(gpu);
        check(image);
        check(binding);
        check(port);
        check(&samples.training);
        check(&samples.run);
        check(&samples.status);
        check(&samples.lease);
        check(&samples.rental);
        let user = format!("{} {:?}", serde_json::to_string(&samples.user).unwrap(), samples.user);
        assert!(!user.contains("\"code\""), "{user}");
        assert!(!user.contains("email_confirmation_hash\":"), "{user}");
    }
}

#[test]
fn a_node_is_a_gpu_node_where_it_has_gpus_of_a_known_driver() {
    let [full, bare] = samples();
    assert!(full.node.gpu() && full.node.available_as_gpu_node());
    assert!(!bare.node.gpu() && !bare.node.available_as_gpu_node());
    for (driver, model, usable) in [
        (Some(GpuDriver::Rocm), Some("MI300X"), true),
        (None, Some("H100"), false),
        (Some(GpuDriver::Cuda), None, false),
    ] {
        let node =
            ComputeNode { gpu_driver: driver, gpu_model: model.map(str::to_owned), ..bare.node.clone() };
        assert_eq!(node.available_as_gpu_node(), usable, "{driver:?} {model:?}");
    }
}
