//! Accounts, with their limits and what is logged of them; and the two entities of tests.
#![expect(clippy::unwrap_used, reason = "these texts are valid")]

use std::net::{IpAddr, Ipv6Addr};

use super::{AT, Ids, LATER, Samples, some};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    AccessState, Administration, AuditHead, DisplayName, Email, Limits, Log, LogOutcome, LogSeal,
    LoginRetries, Quota, RefusalCount, SecretText, TestA, TestB, User, UserAccess, UserPermission,
};

/// Gives what of accounts may be empty.
pub(super) fn fill(samples: &mut Samples) {
    let Samples { user, quota, log, test_a, test_b, .. } = samples;
    user.phone = some("+81 3 1234 5678");
    user.permission = UserPermission::Administrator;
    user.activated = true;
    user.email_confirmation_hash = Some(SecretText::new(user.id.to_string()));
    user.email_confirmation_expires = Some(LATER);
    user.code_confirmation = Some(SecretText::new("code"));
    user.code_confirmation_expires = Some(LATER);
    user.updated_at = LATER;
    (quota.instances, quota.nodes, quota.gpu_milli) = (1, 1, GpuMilli::from_u32(500));
    quota.gpu_milli_limit = Some(GpuMilli::from_u32(4000));
    (quota.cpu_milli, quota.cpu_milli_limit) = (CpuMilli::from_u32(1500), Some(CpuMilli::from_u32(64_000)));
    (quota.memory_mib, quota.memory_mib_limit) =
        (MemoryMib::from_u32(2048), Some(MemoryMib::from_u32(1 << 18)));
    (quota.storage_mib, quota.storage_mib_limit) =
        (StorageMib::from_u32(10_240), Some(StorageMib::from_u32(1 << 20)));
    log.outcome = LogOutcome::Refused;
    log.description = some("web");
    log.host = some("api-1");
    log.ip = Some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    log.actor_id = Some(user.id);
    log.subject_kind = some("instance");
    log.subject_id = Some(samples.instance.id.uuid());
    for (title, description) in
        [(&mut test_a.title, &mut test_a.description), (&mut test_b.title, &mut test_b.description)]
    {
        (*title, *description) = (some("title"), some("description"));
    }
    test_a.big_int = Some(-crate::store::MAX_INT);
    test_b.test_a_id = Some(test_a.id);
}

pub(super) fn user(ids: &Ids) -> User {
    let &Ids { user_id, .. } = ids;
    User::new(
        user_id,
        Email::new(format!("{user_id}@Example.org")).unwrap(),
        DisplayName::new("Ada").unwrap(),
        AT,
    )
}

pub(super) fn access(ids: &Ids) -> UserAccess {
    let &Ids { user_id, .. } = ids;
    UserAccess { user_id, state: AccessState::Active }
}

pub(super) fn retries(ids: &Ids) -> LoginRetries {
    let &Ids { user_id, .. } = ids;
    LoginRetries { user_id, retry_count: 3 }
}

pub(super) fn quota(ids: &Ids) -> Quota {
    let &Ids { user_id, .. } = ids;
    Quota::unused(user_id, Limits::default())
}

pub(super) fn administration(ids: &Ids) -> Administration {
    let &Ids { number, .. } = ids;
    Administration { id: format!("{number:016x}"), administrators: 1 }
}

pub(super) fn log(ids: &Ids) -> Log {
    let &Ids { log_id, .. } = ids;
    Log {
        id: log_id,
        title: "instance.launch".into(),
        description: None,
        host: None,
        ip: None,
        actor_id: None,
        subject_kind: None,
        subject_id: None,
        timestamp: AT,
        outcome: LogOutcome::Done,
    }
}

pub(super) fn log_seal(ids: &Ids) -> LogSeal {
    let &Ids { log_id, number, .. } = ids;
    LogSeal { sequence: number + 1, log_id, position: 7, hash: "ab".repeat(32) }
}

pub(super) fn audit_head(ids: &Ids) -> AuditHead {
    let &Ids { session_id, number, .. } = ids;
    AuditHead {
        id: format!("{number:016x}"),
        count: 1,
        hash: "ab".repeat(32),
        position: 7,
        batch: session_id.uuid(),
        sealed_at: AT,
    }
}

pub(super) fn refusal_count(ids: &Ids) -> RefusalCount {
    let &Ids { log_id, .. } = ids;
    RefusalCount { log_id, refusals: 40 }
}

pub(super) fn test_a(ids: &Ids) -> TestA {
    let &Ids { test_a_id, .. } = ids;
    TestA { id: test_a_id, title: None, description: None, big_int: None, timestamp: AT }
}

pub(super) fn test_b(ids: &Ids) -> TestB {
    let &Ids { test_b_id, .. } = ids;
    TestB { id: test_b_id.into(), title: None, description: None, timestamp: AT, test_a_id: None }
}
