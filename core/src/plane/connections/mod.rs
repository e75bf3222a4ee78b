//! Connections: accounts at providers through which a user logs in.
//!
//! The SDK talks to no provider: the host has done that, and says what came of it as a [`ProviderAccount`]. `log_in.rs` lets
//! somebody in by one.

mod log_in;

pub use log_in::LogInThrough;

use super::ControlPlane;
use super::accounts::{Message, one_way_more};
use super::decided::Decided;
use super::security::{next_epoch, shut};
use super::users::Happened;
use crate::entity::{
    CONNECTIONS, Connection, ConnectionId, Email, Entity as _, Entry, LOGIN_WAYS, LoginWays, PASSWORDS,
    Password, SessionId, USER_ACCESS, UserId,
};
use crate::error::{Error, Result};
use crate::identity::ConnectionPolicy;
use crate::store::{Answer, Batch, Change, Is, MAX_PAGE, Query, Row, Scan, StoreError, Test, Write};
use crate::time::Timestamp;

/// An account at a provider, as the provider has just vouched for it to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderAccount {
    /// The provider, such as `github`: 1 to 64 lower-case letters, digits, `-` and `_`.
    pub provider: String,
    /// What the provider calls the account, and never gives to another: 1 to 256 bytes. Not a name that may be changed.
    pub id: String,
    /// The address of the account, where the provider gives one.
    pub email: Option<String>,
    /// Whether the provider has made sure that it is theirs.
    pub verified: bool,
}

impl ProviderAccount {
    /// An account of which no address is known.
    pub fn new(provider: impl Into<String>, id: impl Into<String>) -> Self {
        Self { provider: provider.into(), id: id.into(), email: None, verified: false }
    }

    /// With an address that the provider has made sure of.
    pub fn verified_email(mut self, email: impl Into<String>) -> Self {
        (self.email, self.verified) = (Some(email.into()), true);
        self
    }

    /// With an address that somebody has written there.
    pub fn unverified_email(mut self, email: impl Into<String>) -> Self {
        (self.email, self.verified) = (Some(email.into()), false);
        self
    }

    /// The address, where a provider vouches for it whose word counts.
    fn vouched(&self, policy: &ConnectionPolicy) -> Option<Email> {
        let counts = self.verified && policy.vouching.contains(&self.provider);
        self.email.as_deref().filter(|_| counts).and_then(|email| Email::new(email).ok())
    }

    fn check(&self) -> Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if self.provider.is_empty() || self.provider.len() > 64 || !self.provider.chars().all(plain) {
            return Err(Error::invalid(
                "provider",
                "1 to 64 lower-case letters, digits, - and _ are expected",
            ));
        }
        if self.id.is_empty() || self.id.len() > 256 || self.id.contains(char::is_control) {
            return Err(Error::invalid(
                "provider_id",
                "1 to 256 bytes without control characters are expected",
            ));
        }
        Ok(())
    }

    fn find(&self) -> Query {
        let scan = Scan::of(&CONNECTIONS).by("connections_provider");
        Query::Scan(scan.with(self.provider.as_str()).with(self.id.as_str()).limit(1))
    }
}

/// What is read before a way in is added or taken away.
struct Ways {
    access: Row,
    counted: u32,
    connections: Vec<Row>,
    now: Timestamp,
}

impl ControlPlane {
    /// Links an account at a provider to a user, who logs in through it from then on. The same again changes nothing.
    ///
    /// # Errors
    /// `Invalid` for a name or id that is none; `AlreadyExists` where the account is somebody else's; `QuotaExceeded` where the
    /// user has as many connections as [`ConnectionPolicy`] allows.
    #[tracing::instrument(skip_all)]
    pub async fn link(&self, user: UserId, account: ProviderAccount) -> Result<Entry<Connection>> {
        account.check()?;
        let account = &account;
        self.decided("connection.link", Connection::KIND, || async move {
            let kept = self.store.read(vec![account.find()]).await?.into_rows().pop();
            if let Some(row) = kept {
                let kept = Connection::from_row(&row)?;
                if kept.user_id != user {
                    return Err(Error::AlreadyExists { kind: Connection::KIND, key: "provider" });
                }
                return Ok(Decided::Done(Entry::new(kept, row.revision())));
            }
            let ways = self.ways_of(user).await?;
            self.check_room(&ways)?;
            let mut batch = self.batch_for("connection.link", user.uuid());
            let connection = self.add_connection(&mut batch, user, account, ways.now);
            batch.push(next_epoch(&ways.access)?);
            Ok(Decided::Commit(Entry::new(connection, 1), batch))
        })
        .await
    }

    /// The connections of a user, in the order of ids.
    #[tracing::instrument(skip_all)]
    pub async fn list_connections(&self, user: UserId) -> Result<Vec<Entry<Connection>>> {
        let rows = self.ways_of(user).await?.connections;
        let listed: std::result::Result<_, StoreError> =
            rows.iter().map(|row| Ok(Entry::new(Connection::from_row(row)?, row.revision()))).collect();
        Ok(listed?)
    }

    /// Takes a connection away. Sessions that were begun through it stay.
    ///
    /// # Errors
    /// `NotFound` for one that is not the user's; `WrongState` where it is the last way in: without a password, and without
    /// another connection, nobody could log in any more.
    #[tracing::instrument(skip_all)]
    pub async fn unlink(&self, user: UserId, id: ConnectionId) -> Result<()> {
        self.decided("connection.unlink", Connection::KIND, || async move {
            let ways = self.ways_of(user).await?;
            let row = ways.connections.iter().find(|row| row.key() == id.into());
            let row = row.ok_or_else(|| Error::not_found(Connection::KIND, id))?;
            let provider = row.text("provider_name")?.to_owned();
            let mut batch = self.batch_for("connection.unlink", user.uuid());
            batch.push(Write::delete(&CONNECTIONS, id, row.revision()));
            batch.push(one_way_less(user, ways.counted, "unlinking it")?);
            batch.push(next_epoch(&ways.access)?);
            batch.push(self.log(of_connection("connection.unlink", user, id, &provider), ways.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Takes the password of a user away, who logs in through a connection from then on. Every session but `keep` ends.
    ///
    /// The answer has to be mailed to the user.
    ///
    /// # Errors
    /// `NotFound` where there is no password; `WrongState` where it is the last way in.
    #[tracing::instrument(skip_all)]
    pub async fn remove_password(&self, user: UserId, keep: Option<SessionId>) -> Result<Vec<Message>> {
        self.decided("password.remove", Password::KIND, || async move {
            let ways = self.ways_of(user).await?;
            let secured = self.secured(user).await?;
            let kept = secured.password.as_ref();
            let kept = kept.ok_or_else(|| Error::not_found(Password::KIND, user))?;
            let mut batch = self.batch_for("password.remove", user.uuid());
            batch.push(Write::delete(&PASSWORDS, user, kept.revision()));
            batch.push(one_way_less(user, ways.counted, "removing it")?);
            batch.writes.extend(shut(&secured.sessions, keep, &secured.access)?);
            batch.push(self.log(Happened::of_user("password.remove", user, ""), secured.now));
            Ok(Decided::Commit(vec![Message::PasswordRemoved { to: secured.user.email }], batch))
        })
        .await
    }

    async fn ways_of(&self, user: UserId) -> Result<Ways> {
        let connections = Scan::of(&CONNECTIONS).by("connections_user").with(user).limit(MAX_PAGE);
        let queries = vec![
            Query::Get { table: &USER_ACCESS, key: user.into() },
            Query::Get { table: &LOGIN_WAYS, key: user.into() },
            Query::Scan(connections),
        ];
        let reads = self.store.read(queries).await?;
        let mut answers = reads.answers.into_iter();
        let access = answers.next().and_then(Answer::into_row);
        let access = access.ok_or_else(|| Error::not_found("user", user))?;
        let ways = answers.next().and_then(Answer::into_row);
        let ways = ways.as_ref().map(LoginWays::from_row).transpose()?.map_or(0, |row| row.ways);
        let connections = answers.next().map(Answer::into_rows).unwrap_or_default();
        Ok(Ways { access, counted: ways, connections, now: reads.now })
    }

    fn check_room(&self, ways: &Ways) -> Result<()> {
        let (used, limit) = (ways.connections.len(), self.identity.connections.per_user);
        if u32::try_from(used).is_ok_and(|used| used < limit) {
            return Ok(());
        }
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        Err(Error::QuotaExceeded { limit_name: "connections", limit: limit.into(), used, asked: 1 })
    }

    /// Adds a connection to a batch, which has to raise the epoch or to make the user.
    fn add_connection(
        &self,
        batch: &mut Batch,
        user_id: UserId,
        account: &ProviderAccount,
        now: Timestamp,
    ) -> Connection {
        let connection = Connection {
            id: self.new_id().into(),
            user_id,
            provider_name: account.provider.clone(),
            provider_id: account.id.clone(),
            email: account.email.as_deref().and_then(|email| Email::new(email).ok()),
            created_at: now,
            updated_at: now,
        };
        batch.push(Write::Insert(connection.to_row()));
        batch.writes.extend(one_way_more(user_id));
        let happened = of_connection("connection.link", user_id, connection.id, &connection.provider_name);
        batch.push(self.log(happened, now));
        connection
    }
}

/// The write that counts one way in less, of so many: the last one is not taken, however many take one at once.
fn one_way_less(user: UserId, ways: u32, event: &'static str) -> Result<Write> {
    if ways < 2 {
        let allowed = vec!["linking another one", "setting a password"];
        return Err(Error::WrongState { kind: "login way", state: "the last one", event, allowed });
    }
    let others = vec![Test::new("ways", Is::Ge(2_i64.into()))];
    Ok(Write::patch(&LOGIN_WAYS, user, others, vec![("ways", Change::Add(-1))]))
}

fn of_connection<'h>(
    operation: &'static str,
    user: UserId,
    connection: ConnectionId,
    provider: &'h str,
) -> Happened<'h> {
    Happened {
        operation,
        actor: Some(user.uuid()),
        kind: Connection::KIND,
        subject: connection.uuid(),
        description: provider,
    }
}
