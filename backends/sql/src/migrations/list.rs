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
    entity!("postgres", "0019_passwords", ["passwords"]),
    entity!("postgres", "0020_sessions", ["sessions"]),
    entity!("postgres", "0021_session_uses", ["session_uses"]),
    entity!("postgres", "0022_api_keys", ["api_keys"]),
    entity!("postgres", "0023_api_key_uses", ["api_key_uses"]),
    entity!("postgres", "0024_ssh_keys", ["ssh_keys"]),
    entity!("postgres", "0025_verifications", ["verifications"]),
    entity!("postgres", "0026_verification_tries", ["verification_tries"]),
    entity!("postgres", "0027_confirmation_tries", ["confirmation_tries"]),
    entity!("postgres", "0028_recovery_codes", ["recovery_codes"]),
    entity!("postgres", "0029_connections", ["connections"]),
    entity!("postgres", "0030_login_ways", ["login_ways"]),
    entity!("postgres", "0031_login_throttles", ["login_throttles"]),
    entity!("postgres", "0032_login_rates", ["login_rates"]),
    entity!("postgres", "0033_roles", ["roles"]),
    entity!("postgres", "0034_permissions", ["permissions"]),
    entity!("postgres", "0035_role_permissions", ["role_permissions"]),
    entity!("postgres", "0036_user_roles", ["user_roles"]),
    entity!("postgres", "0037_managed_compute_nodes", ["managed_compute_nodes"]),
    entity!("postgres", "0038_managed_images", ["managed_images"]),
    entity!("postgres", "0039_administrations", ["administrations"]),
    entity!("postgres", "0040_log_seals", ["log_seals"]),
    entity!("postgres", "0041_audit_heads", ["audit_heads"]),
    entity!("postgres", "0042_refusal_counts", ["refusal_counts"]),
    entity!("postgres", "0043_managed_instances_expiry", ["managed_instances"]),
    entity!("postgres", "0044_logs_outcome", ["logs"]),
    entity!("postgres", "0045_logs_actor", ["logs"]),
    entity!("postgres", "0046_node_heartbeats", ["node_heartbeats"]),
    entity!("postgres", "0047_commands", ["commands"]),
    entity!("postgres", "0048_quotas_amounts", ["quotas"]),
    entity!("postgres", "0049_quotas_amounts_counted", ["quotas"]),
    entity!("postgres", "0050_instances_desired", ["instances"]),
    entity!("postgres", "0051_instances_desired_of_old", ["instances"]),
    entity!("postgres", "0052_instances_by_agent", ["instances"]),
    entity!("postgres", "0053_instances_command", ["instances"]),
    entity!("postgres", "0054_images_command", ["images"]),
    entity!("postgres", "0055_gpus_key", ["gpus"]),
    entity!("postgres", "0056_node_lifecycles_has_agent", ["node_lifecycles"]),
    entity!("postgres", "0057_foreign_instances", ["foreign_instances"]),
    entity!("postgres", "0058_port_maps_foreign", ["port_maps"]),
    entity!("postgres", "0059_gpus_gone_quarantined", ["gpus"]),
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
    entity!("sqlite", "0019_passwords", ["passwords"]),
    entity!("sqlite", "0020_sessions", ["sessions"]),
    entity!("sqlite", "0021_session_uses", ["session_uses"]),
    entity!("sqlite", "0022_api_keys", ["api_keys"]),
    entity!("sqlite", "0023_api_key_uses", ["api_key_uses"]),
    entity!("sqlite", "0024_ssh_keys", ["ssh_keys"]),
    entity!("sqlite", "0025_verifications", ["verifications"]),
    entity!("sqlite", "0026_verification_tries", ["verification_tries"]),
    entity!("sqlite", "0027_confirmation_tries", ["confirmation_tries"]),
    entity!("sqlite", "0028_recovery_codes", ["recovery_codes"]),
    entity!("sqlite", "0029_connections", ["connections"]),
    entity!("sqlite", "0030_login_ways", ["login_ways"]),
    entity!("sqlite", "0031_login_throttles", ["login_throttles"]),
    entity!("sqlite", "0032_login_rates", ["login_rates"]),
    entity!("sqlite", "0033_roles", ["roles"]),
    entity!("sqlite", "0034_permissions", ["permissions"]),
    entity!("sqlite", "0035_role_permissions", ["role_permissions"]),
    entity!("sqlite", "0036_user_roles", ["user_roles"]),
    entity!("sqlite", "0037_managed_compute_nodes", ["managed_compute_nodes"]),
    entity!("sqlite", "0038_managed_images", ["managed_images"]),
    entity!("sqlite", "0039_administrations", ["administrations"]),
    entity!("sqlite", "0040_log_seals", ["log_seals"]),
    entity!("sqlite", "0041_audit_heads", ["audit_heads"]),
    entity!("sqlite", "0042_refusal_counts", ["refusal_counts"]),
    entity!("sqlite", "0043_managed_instances_expiry", ["managed_instances"]),
    entity!("sqlite", "0044_logs_outcome", ["logs"]),
    entity!("sqlite", "0045_logs_actor", ["logs"]),
    entity!("sqlite", "0046_node_heartbeats", ["node_heartbeats"]),
    entity!("sqlite", "0047_commands", ["commands"]),
    entity!("sqlite", "0048_quotas_amounts", ["quotas"]),
    entity!("sqlite", "0049_quotas_amounts_counted", ["quotas"]),
    entity!("sqlite", "0050_instances_desired", ["instances"]),
    entity!("sqlite", "0051_instances_desired_of_old", ["instances"]),
    entity!("sqlite", "0052_instances_by_agent", ["instances"]),
    entity!("sqlite", "0053_instances_command", ["instances"]),
    entity!("sqlite", "0054_images_command", ["images"]),
    entity!("sqlite", "0055_gpus_key", ["gpus"]),
    entity!("sqlite", "0056_node_lifecycles_has_agent", ["node_lifecycles"]),
    entity!("sqlite", "0057_foreign_instances", ["foreign_instances"]),
    entity!("sqlite", "0058_port_maps_foreign", ["port_maps"]),
    entity!("sqlite", "0059_gpus_gone_quarantined", ["gpus"]),
];
