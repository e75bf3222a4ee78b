//! The files in their order.

use super::Migration;

macro_rules! migration {
    ($dialect:literal, $name:literal, [$($table:literal),*], $kernel:literal) => {
        Migration {
            name: $name,
            tables: &[$($table),*],
            kernel: $kernel,
            sql: include_str!(concat!("../../migrations/", $dialect, "/", $name, ".sql")),
        }
    };
}

macro_rules! kernel {
    ($dialect:literal, $name:literal, $tables:tt) => {
        migration!($dialect, $name, $tables, true)
    };
}

macro_rules! entity {
    ($dialect:literal, $name:literal, $tables:tt) => {
        migration!($dialect, $name, $tables, false)
    };
}

pub(super) const POSTGRES: &[Migration] = &[
    kernel!(
        "postgres",
        "0001_kernel",
        ["kernel_receipts", "kernel_feed", "kernel_head", "kernel_migrations", "kernel_meta"]
    ),
    kernel!("postgres", "0002_feed_consumers", ["feed_consumers"]),
    entity!("postgres", "0003_users", ["users"]),
    entity!("postgres", "0004_user_access", ["user_access"]),
    entity!("postgres", "0005_login_retries", ["login_retries"]),
    entity!("postgres", "0006_quotas", ["quotas"]),
    entity!("postgres", "0007_compute_nodes", ["compute_nodes"]),
    entity!("postgres", "0008_node_lifecycles", ["node_lifecycles"]),
    entity!("postgres", "0009_node_ledgers", ["node_ledgers"]),
    entity!("postgres", "0010_gpus", ["gpus"]),
    entity!("postgres", "0011_images", ["images"]),
    entity!("postgres", "0012_instances", ["instances"]),
    entity!("postgres", "0013_gpu_bindings", ["gpu_bindings"]),
    entity!("postgres", "0014_port_maps", ["port_maps"]),
    entity!("postgres", "0015_managed_instances", ["managed_instances"]),
    entity!("postgres", "0016_logs", ["logs"]),
    entity!("postgres", "0017_test_as", ["test_as"]),
    entity!("postgres", "0018_test_bs", ["test_bs"]),
];

pub(super) const SQLITE: &[Migration] = &[
    kernel!(
        "sqlite",
        "0001_kernel",
        ["kernel_receipts", "kernel_feed", "kernel_head", "kernel_migrations", "kernel_meta"]
    ),
    kernel!("sqlite", "0002_feed_consumers", ["feed_consumers"]),
    entity!("sqlite", "0003_users", ["users"]),
    entity!("sqlite", "0004_user_access", ["user_access"]),
    entity!("sqlite", "0005_login_retries", ["login_retries"]),
    entity!("sqlite", "0006_quotas", ["quotas"]),
    entity!("sqlite", "0007_compute_nodes", ["compute_nodes"]),
    entity!("sqlite", "0008_node_lifecycles", ["node_lifecycles"]),
    entity!("sqlite", "0009_node_ledgers", ["node_ledgers"]),
    entity!("sqlite", "0010_gpus", ["gpus"]),
    entity!("sqlite", "0011_images", ["images"]),
    entity!("sqlite", "0012_instances", ["instances"]),
    entity!("sqlite", "0013_gpu_bindings", ["gpu_bindings"]),
    entity!("sqlite", "0014_port_maps", ["port_maps"]),
    entity!("sqlite", "0015_managed_instances", ["managed_instances"]),
    entity!("sqlite", "0016_logs", ["logs"]),
    entity!("sqlite", "0017_test_as", ["test_as"]),
    entity!("sqlite", "0018_test_bs", ["test_bs"]),
];
