//! Something that a user has to prove: [`Verification`].

use async_trait::async_trait;
use serde::Serialize;

use super::field::entity;
use super::text::{Email, SecretText, text_enum};
use super::user::UserId;
use super::verification_try::VERIFICATION_TRIES;
use super::{Entity, Entry, ListPage, PageRequest, Repositories};
use crate::error::{Error, Result};
use crate::id::Id;
use crate::store::{Column, Index, Invariant, Reference, Scan, Table, Unique, Write};
use crate::time::Timestamp;

/// The id of a [`Verification`].
pub type VerificationId = Id<Verification>;

/// A code that somebody has to give: one that was mailed, or the one that an authenticator shows (TOTP, RFC 6238).
///
/// The `secret` of a mailed code is a keyed hash of it; that of an authenticator is encrypted under the key of the
/// host. How often it was tried, and the last time step that was accepted, are in
/// [`VerificationTry`](super::VerificationTry).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The id, chosen by the caller.
    pub id: VerificationId,
    /// What it is for: `type` in the diagram.
    pub kind: VerificationKind,
    /// What it proves: a user's id, or an address in lower case; at most 128 bytes.
    pub target: String,
    /// The user that it goes with; none where there is no user yet.
    pub user_id: Option<UserId>,
    /// See above; at most 1,024 bytes.
    #[serde(skip)]
    pub secret: SecretText,
    /// The hash function of the code.
    pub algorithm: TotpAlgorithm,
    /// How many characters the code has, 4 to 10 of an authenticator and 4 to 32 of a mail.
    pub digits: u32,
    /// How long a code is good, in seconds.
    pub period: u32,
    /// The characters that a code is made of, each once; 10 to 64 of them in ASCII.
    pub char_set: String,
    /// The address that a change of address asks for.
    pub new_email: Option<Email>,
    /// When it ends; an authenticator does not.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

text_enum!(
    /// What a verification is for.
    VerificationKind, "kind" {
        /// An invitation to an address that has no user yet.
        Onboarding = "onboarding",
        /// A forgotten password.
        ResetPassword = "reset-password",
        /// A new address, proved before it counts.
        ChangeEmail = "change-email",
        /// The second factor of a login.
        TwoFactor = "2fa",
        /// A second factor that is being set up, and does not count yet.
        TwoFactorPending = "2fa-verify",
    }
);

text_enum!(
    /// The hash function under an HMAC, by the names of RFC 6238.
    TotpAlgorithm, "algorithm" {
        /// SHA-1: what most authenticator apps know.
        Sha1 = "SHA-1",
        /// SHA-256.
        Sha256 = "SHA-256",
        /// SHA-512.
        Sha512 = "SHA-512",
    }
);

/// The table of [`Verification`].
pub static VERIFICATIONS: Table = Table::new(
    "verifications",
    &[
        Column::uuid("id"),
        Column::text("kind", 32),
        Column::text("target", 128).immutable(),
        Column::uuid("user_id").nullable().immutable(),
        Column::text("secret", 1024).secret(),
        Column::text("algorithm", 16).immutable(),
        Column::int("digits").immutable(),
        Column::int("period").immutable(),
        Column::text("char_set", 64).immutable(),
        Column::text("new_email", 100).nullable().immutable(),
        Column::time("expires_at").nullable(),
        Column::time("created_at").immutable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("verifications_target", &["target", "kind"])])
.indexes(&[Index::new("verifications_expires_at", &["expires_at"])])
.references(&[Reference::new("verifications_user", &["user_id"], "users")])
.invariants(&[
    Invariant::one_of("verifications_kind", "kind", VerificationKind::TEXTS),
    Invariant::one_of("verifications_algorithm", "algorithm", TotpAlgorithm::TEXTS),
    Invariant::at_least("verifications_digits_at_least_four", "digits", 4),
    Invariant::at_most("verifications_digits_at_most_32", "digits", 32),
    Invariant::at_least("verifications_period_positive", "period", 1),
]);

entity!(Verification, "verification", VERIFICATIONS {
    fixed: id, target, user_id, algorithm, digits, period, char_set, new_email, created_at;
    plain: kind, secret, expires_at;
});

/// Which verifications a list gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerificationFilter {
    /// Only those of this user.
    pub user_id: Option<UserId>,
}

/// Where [`Verification`]s are kept: made, and checked, by the operations.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait VerificationRepository: Send + Sync {
    /// The one with this id.
    async fn get(&self, id: VerificationId) -> Result<Option<Entry<Verification>>>;

    /// The one with this id, or `NotFound`.
    async fn require(&self, id: VerificationId) -> Result<Entry<Verification>> {
        self.get(id).await?.ok_or_else(|| Error::not_found(Verification::KIND, id))
    }

    /// The one for a target and a purpose.
    async fn find(&self, target: &str, kind: VerificationKind) -> Result<Option<Entry<Verification>>>;

    /// Deletes the one that still has this revision.
    async fn delete(&self, id: VerificationId, revision: i64) -> Result<()>;

    /// A page, in the order of ids.
    async fn list(&self, filter: VerificationFilter, page: PageRequest) -> Result<ListPage<Verification>>;
}

#[async_trait]
impl VerificationRepository for Repositories {
    async fn get(&self, id: VerificationId) -> Result<Option<Entry<Verification>>> {
        self.get_entry(id).await
    }

    async fn find(&self, target: &str, kind: VerificationKind) -> Result<Option<Entry<Verification>>> {
        let scan = Scan::of(&VERIFICATIONS).by("verifications_target");
        self.find_entry(scan.with(target).with(kind.as_str())).await
    }

    async fn delete(&self, id: VerificationId, revision: i64) -> Result<()> {
        let batch = self.batch(&VERIFICATIONS, "delete").with(Write::delete(&VERIFICATION_TRIES, id, 1));
        self.commit::<Verification>(batch.with(Write::delete(&VERIFICATIONS, id, revision))).await
    }

    async fn list(&self, filter: VerificationFilter, page: PageRequest) -> Result<ListPage<Verification>> {
        let scan = Scan::of(&VERIFICATIONS);
        let scan = match filter.user_id {
            Some(user) => scan.by("verifications_user").with(user),
            None => scan,
        };
        self.list_entries(scan, page).await
    }
}

impl Repositories {
    /// The repository of [`Verification`]s.
    pub fn verifications(&self) -> &dyn VerificationRepository {
        self
    }
}
