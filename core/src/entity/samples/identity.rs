//! What somebody is known by, and what they may.
#![expect(clippy::unwrap_used, reason = "these texts are valid")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{AT, Ids, LATER, Samples, some};
use crate::entity::{
    Access, Action, ApiKey, ApiKeyKind, ApiKeyUse, ConfirmationTry, Connection, DisplayName, EntityKind,
    LoginRate, LoginThrottle, LoginWays, Password, Permission, RecoveryCode, Role, RolePermission,
    SecretText, Session, SessionState, SessionUse, SshKey, TotpAlgorithm, UserRole, Verification,
    VerificationKind, VerificationTry,
};

/// Gives what of identity and access may be empty.
pub(super) fn fill(samples: &mut Samples) {
    samples.session.state = SessionState::Full;
    samples.session.verified_at = Some(LATER);
    samples.session.ip = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));
    samples.session.agent = some("browser");
    samples.api_key.kind = ApiKeyKind::NodeAgent;
    samples.api_key.node_id = Some(samples.node.id);
    samples.api_key.replaces_id = Some(samples.api_key.id);
    samples.api_key.expires_at = Some(LATER);
    samples.api_key_use.last_used_at = Some(LATER);
    samples.verification.kind = VerificationKind::ChangeEmail;
    samples.verification.user_id = Some(samples.user.id);
    samples.verification.new_email = Some(samples.user.email.clone());
    samples.verification.expires_at = Some(LATER);
    samples.connection.email = Some(samples.user.email.clone());
    samples.login_throttle.failed_at = Some(LATER);
    samples.login_throttle.succeeded_at = Some(LATER);
    samples.role.description = some("operators");
    samples.permission.description = some("may");
}

pub(super) fn password(ids: &Ids) -> Password {
    let &Ids { user_id, .. } = ids;
    Password { user_id, hash: SecretText::new("$argon2id$v=19$"), updated_at: AT }
}

pub(super) fn session(ids: &Ids) -> Session {
    let &Ids { user_id, session_id, .. } = ids;
    Session {
        id: session_id,
        user_id,
        state: SessionState::AwaitingSecondFactor,
        token_hash: SecretText::new(session_id.to_string()),
        expires_at: LATER,
        verified_at: None,
        ip: None,
        agent: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn session_use(ids: &Ids) -> SessionUse {
    let &Ids { session_id, .. } = ids;
    SessionUse { session_id, last_used_at: AT }
}

pub(super) fn api_key(ids: &Ids) -> ApiKey {
    let &Ids { user_id, api_key_id, .. } = ids;
    ApiKey {
        id: api_key_id,
        user_id,
        name: DisplayName::new("laptop").unwrap(),
        kind: ApiKeyKind::User,
        hint: "apk_0123".into(),
        hash: SecretText::new(api_key_id.to_string()),
        scopes: vec!["*:*".into()],
        node_id: None,
        replaces_id: None,
        expires_at: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn api_key_use(ids: &Ids) -> ApiKeyUse {
    let &Ids { api_key_id, .. } = ids;
    ApiKeyUse { api_key_id, last_used_at: None }
}

pub(super) fn ssh_key(ids: &Ids) -> SshKey {
    let &Ids { user_id, ssh_key_id, .. } = ids;
    SshKey {
        id: ssh_key_id.into(),
        user_id,
        name: DisplayName::new("laptop").unwrap(),
        key: "ssh-ed25519 AAAA".into(),
        algorithm: "ssh-ed25519".into(),
        fingerprint: format!("SHA256:{user_id}"),
        created_at: AT,
    }
}

pub(super) fn verification(ids: &Ids) -> Verification {
    let &Ids { user_id, verification_id, .. } = ids;
    Verification {
        id: verification_id,
        kind: VerificationKind::TwoFactor,
        target: user_id.to_string(),
        user_id: None,
        secret: SecretText::new("sealed secret"),
        algorithm: TotpAlgorithm::Sha1,
        digits: 6,
        period: 30,
        char_set: "0123456789".into(),
        new_email: None,
        expires_at: None,
        created_at: AT,
    }
}

pub(super) fn verification_try(ids: &Ids) -> VerificationTry {
    let &Ids { verification_id, .. } = ids;
    VerificationTry { verification_id, attempts: 0, last_step: -1, window: 0 }
}

pub(super) fn confirmation_try(ids: &Ids) -> ConfirmationTry {
    let &Ids { user_id, .. } = ids;
    ConfirmationTry { user_id, attempts: 2 }
}

pub(super) fn recovery_code(ids: &Ids) -> RecoveryCode {
    let &Ids { user_id, recovery_id, .. } = ids;
    RecoveryCode { id: recovery_id, user_id, hash: SecretText::new(recovery_id.to_string()), created_at: AT }
}

pub(super) fn connection(ids: &Ids) -> Connection {
    let &Ids { user_id, connection_id, .. } = ids;
    Connection {
        id: connection_id.into(),
        user_id,
        provider_name: "github".into(),
        provider_id: user_id.to_string(),
        email: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn login_ways(ids: &Ids) -> LoginWays {
    let &Ids { user_id, .. } = ids;
    LoginWays { user_id, ways: 2 }
}

pub(super) fn login_throttle(ids: &Ids) -> LoginThrottle {
    let &Ids { user_id, .. } = ids;
    LoginThrottle { user_id, source: "192.0.2.7".into(), failures: 0, failed_at: None, succeeded_at: None }
}

pub(super) fn login_rate(ids: &Ids) -> LoginRate {
    let &Ids { user_id, .. } = ids;
    LoginRate { user_id, window: 29_671_920, tries: 3 }
}

pub(super) fn role(ids: &Ids) -> Role {
    let &Ids { role_id, .. } = ids;
    Role { id: role_id, name: format!("role-{role_id}"), description: None, created_at: AT, updated_at: AT }
}

pub(super) fn permission(ids: &Ids) -> Permission {
    let &Ids { permission_id, .. } = ids;
    let (action, entity, access) = next_permission();
    Permission {
        id: permission_id,
        action,
        entity,
        access,
        description: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn role_permission(ids: &Ids) -> RolePermission {
    let &Ids { role_id, permission_id, .. } = ids;
    RolePermission { role_id, permission_id, created_at: AT }
}

pub(super) fn user_role(ids: &Ids) -> UserRole {
    let &Ids { user_id, role_id, .. } = ids;
    UserRole { user_id, role_id, created_at: AT }
}

/// What a permission says: another one for each sample of a process, until there is none left.
fn next_permission() -> (Action, EntityKind, Access) {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let at = MADE.fetch_add(1, Ordering::Relaxed);
    let of = |all: usize, below: usize| (at / below) % all;
    let pick = (of(Action::ALL.len(), 1), of(EntityKind::ALL.len(), Action::ALL.len()));
    let access = of(Access::ALL.len(), Action::ALL.len() * EntityKind::ALL.len());
    #[expect(clippy::indexing_slicing, reason = "each is within its list")]
    (Action::ALL[pick.0], EntityKind::ALL[pick.1], Access::ALL[access])
}
