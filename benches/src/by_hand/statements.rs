//! The statements of a launch that is written by hand.

use chrono::{DateTime, Utc};
use sqlx_core::query::{Query, query};
use sqlx_core::query_as::{QueryAs, query_as};
use sqlx_core::query_scalar::{QueryScalar, query_scalar};
use sqlx_postgres::{PgArguments, Postgres};
use uuid::Uuid;

/// What a launch takes of processor time and memory.
const AMOUNT: i64 = 10;
/// What a launch takes of a GPU.
const MILLI: i64 = 10;

pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;
/// A statement that gives one value.
pub(super) type Asks<'q, T> = QueryScalar<'q, Postgres, T, PgArguments>;

/// What is asked for.
pub(super) struct Asked<'t> {
    pub(super) nth: usize,
    pub(super) owner: Uuid,
    pub(super) id: Uuid,
    /// What the record of the launch holds.
    pub(super) changes: &'t [u8],
}

/// Where it goes.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) node: Uuid,
    pub(super) gpu: Uuid,
}

/// The nodes and their GPUs.
pub(super) fn nodes<'q>() -> QueryAs<'q, Postgres, (Uuid, Vec<Uuid>), PgArguments> {
    query_as("SELECT node_id, array_agg(id ORDER BY slot) FROM gpus GROUP BY node_id ORDER BY node_id")
}

/// Locks the access of whoever asks, where it is active.
pub(super) fn access<'q>(owner: Uuid) -> Asks<'q, i64> {
    query_scalar("SELECT revision FROM user_access WHERE user_id = $1 AND state = 'active' FOR SHARE")
        .bind(owner)
}

/// Locks the state of a node, where it is active.
pub(super) fn active<'q>(node: Uuid) -> Asks<'q, i64> {
    query_scalar("SELECT revision FROM node_lifecycles WHERE node_id = $1 AND state = 'active' FOR SHARE")
        .bind(node)
}

/// Gives the records that have none their positions in the feed, in the order in which they arrived. For one at a time.
pub(super) fn stamp<'q>() -> Statement<'q> {
    query(
        "WITH n AS (SELECT batch, row_number() OVER (ORDER BY arrival) AS k FROM kernel_feed WHERE position IS NULL), \
         s AS (UPDATE kernel_feed f SET position = h.position + n.k FROM n, kernel_head h \
         WHERE f.batch = n.batch AND h.id = 1 RETURNING f.position, f.batch), \
         l AS (SELECT position, batch FROM s ORDER BY position DESC LIMIT 1) \
         UPDATE kernel_head h SET position = l.position, batch = l.batch FROM l WHERE h.id = 1",
    )
}

/// Whether every record has its position, without gaps.
pub(super) fn in_order<'q>() -> Asks<'q, bool> {
    query_scalar("SELECT count(*) = max(position) FROM kernel_feed")
}

/// Finds a node with room, the first that nobody else is putting something on, and locks it. All that is asked for is of
/// one size, so that what a node has left of its GPUs one of them has.
pub(super) fn find<'q>() -> Asks<'q, Uuid> {
    query_scalar(
        "SELECT l.node_id FROM node_ledgers l JOIN node_lifecycles s ON s.node_id = l.node_id \
         WHERE s.state = 'active' AND l.cpu_milli + $1 <= l.cpu_milli_total \
         AND l.memory_mib + $2 <= l.memory_mib_total AND l.gpu_milli + $3 <= l.gpu_milli_total \
         LIMIT 1 FOR UPDATE OF l SKIP LOCKED FOR SHARE OF s",
    )
    .bind(AMOUNT)
    .bind(AMOUNT)
    .bind(MILLI)
}

/// Charges a node, where it has room.
pub(super) fn ledger<'q>(node: Uuid) -> Statement<'q> {
    query(
        "UPDATE node_ledgers SET instances = instances + 1, cpu_milli = cpu_milli + $2, \
         memory_mib = memory_mib + $3, gpu_milli = gpu_milli + $4, version = version + 1 \
         WHERE node_id = $1 AND cpu_milli + $2 <= cpu_milli_total \
         AND memory_mib + $3 <= memory_mib_total AND gpu_milli + $4 <= gpu_milli_total",
    )
    .bind(node)
    .bind(AMOUNT)
    .bind(AMOUNT)
    .bind(MILLI)
}

/// Takes a share of a GPU, where it has one left.
pub(super) fn take<'q>(gpu: Uuid) -> Asks<'q, Uuid> {
    query_scalar(
        "UPDATE gpus SET used_milli = used_milli + $2, version = version + 1 \
         WHERE id = $1 AND health = 'healthy' AND used_milli + $2 <= 1000 RETURNING id",
    )
    .bind(gpu)
    .bind(MILLI)
}

/// Takes a share of the fullest GPU of a node that has one left.
pub(super) fn take_of<'q>(node: Uuid) -> Asks<'q, Uuid> {
    query_scalar(
        "UPDATE gpus SET used_milli = used_milli + $2, version = version + 1 WHERE id = (SELECT id FROM gpus \
         WHERE node_id = $1 AND health = 'healthy' AND used_milli + $2 <= 1000 \
         ORDER BY used_milli DESC, slot LIMIT 1) RETURNING id",
    )
    .bind(node)
    .bind(MILLI)
}

impl<'t> Asked<'t> {
    /// A limit is part of what charges it. The account is the caller's own, so that nobody waits for it.
    pub(super) fn quota(&self) -> Statement<'t> {
        query(
            "UPDATE quotas SET instances = instances + 1, gpu_milli = gpu_milli + $2, cpu_milli = cpu_milli + $3, \
             memory_mib = memory_mib + $4, version = version + 1 \
             WHERE account_id = $1 AND instances + 1 <= instance_limit \
             AND (gpu_milli_limit IS NULL OR gpu_milli + $2 <= gpu_milli_limit) \
             AND (cpu_milli_limit IS NULL OR cpu_milli + $3 <= cpu_milli_limit) \
             AND (memory_mib_limit IS NULL OR memory_mib + $4 <= memory_mib_limit)",
        )
        .bind(self.owner)
        .bind(MILLI)
        .bind(AMOUNT)
        .bind(AMOUNT)
    }

    pub(super) fn instance(&self, to: Place, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO instances (id, owner_id, name, live_name, node_id, last_node_id, state, cpu_milli, \
             memory_mib, storage_mib, gpu_count, gpu_milli, network_mode, request_fingerprint, created_at, \
             updated_at, revision, version) \
             VALUES ($1, $2, $3, $3, $4, $4, 'running', $5, $6, 0, 1, $7, 'bridge', $8, $9, $9, 1, 1)",
        )
        .bind(self.id)
        .bind(self.owner)
        .bind(format!("instance-{}", self.nth))
        .bind(to.node)
        .bind(AMOUNT)
        .bind(AMOUNT)
        .bind(MILLI)
        .bind(self.id.simple().to_string())
        .bind(now)
    }

    pub(super) fn binding(&self, to: Place, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO gpu_bindings (id, gpu_id, instance_id, held_by, milli, state, created_at, revision, \
             version) VALUES ($1, $2, $3, $3, $4, 'bound', $5, 1, 1)",
        )
        .bind(id)
        .bind(to.gpu)
        .bind(self.id)
        .bind(MILLI)
        .bind(now)
    }

    /// Takes a port, where it is free.
    pub(super) fn port(&self, to: Place, port: i64, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO port_maps (id, node_id, instance_id, family, protocol, port, created_at, revision, \
             version) VALUES ($1, $2, $3, 'ipv4', 'tcp', $4, $5, 1, 1) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(to.node)
        .bind(self.id)
        .bind(port)
        .bind(now)
    }

    pub(super) fn grant(&self, to: Place, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO managed_instances (id, user_id, node_id, instance_id, created_at, revision, version) \
             VALUES ($1, $2, $3, $4, $5, 1, 1)",
        )
        .bind(id)
        .bind(self.owner)
        .bind(to.node)
        .bind(self.id)
        .bind(now)
    }

    pub(super) fn log(&self, to: Place, id: Uuid, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO logs (id, title, description, actor_id, subject_kind, subject_id, timestamp, revision, \
             version) VALUES ($1, 'instance.launch', $2, $3, 'instance', $4, $5, 1, 1)",
        )
        .bind(id)
        .bind(format!("instance-{} on node {}", self.nth, to.node))
        .bind(self.owner)
        .bind(self.id)
        .bind(now)
    }

    pub(super) fn receipt(&self, now: DateTime<Utc>) -> Statement<'t> {
        query("INSERT INTO kernel_receipts (batch, at, fingerprint) VALUES ($1, $2, $1)")
            .bind(self.id)
            .bind(now)
    }

    pub(super) fn record(&self, now: DateTime<Utc>) -> Statement<'t> {
        query(
            "INSERT INTO kernel_feed (batch, arrival, place, at, actor, operation, fingerprint, changes) \
             VALUES ($1, nextval('kernel_arrivals'), 1, $2, $3, 'instance.launch', $1, $4)",
        )
        .bind(self.id)
        .bind(now)
        .bind(self.owner)
        .bind(self.changes)
    }
}
