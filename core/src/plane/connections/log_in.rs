//! Logging in, and signing up, through an account at a provider.

use super::super::accounts::by_email;
use super::super::decided::Decided;
use super::super::login::LoggedIn;
use super::super::refusals::Refusal;
use super::super::security::{next_epoch, verification_of};
use super::super::session_ends::session_event;
use super::super::sessions::may_act;
use super::super::users::Happened;
use super::{ControlPlane, Message, ProviderAccount};
use crate::entity::{
    CONNECTIONS, DisplayName, Entity as _, Entry, Limits, SessionState, USER_ACCESS, USERS, User, UserId,
    VerificationKind,
};
use crate::error::{Error, Result};
use crate::identity::Origin;
use crate::store::{Answer, Query, Row, Write};

/// What came of a login through a provider.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogInThrough {
    /// There is a session. The messages have to be mailed: they tell of an account that was linked by its address.
    LoggedIn(LoggedIn, Vec<Message>),
    /// The account is nobody's. Whoever has an account of another kind logs in by that, and links this one; others sign up, see
    /// [`ControlPlane::sign_up_through`].
    NoAccount,
}

/// Whom an account lets in, and how that was found.
struct Found {
    user: UserId,
    /// The connection, as it was read; none where it is made by this login.
    connection: Option<Row>,
}

impl ControlPlane {
    /// Logs in whoever has this account at a provider. What the host has to have done before: a login there that the provider
    /// has confirmed to the host itself, for this very attempt (`OpenID` Connect Core 1.0, section 3.1.3.7, or RFC 9700).
    ///
    /// A second factor is asked for as after a password. An account that is linked to nobody is linked to the user of its
    /// address where the provider vouches for that, the user has confirmed it, and
    /// [`ConnectionPolicy`](crate::identity::ConnectionPolicy) names the provider; and otherwise lets nobody in.
    ///
    /// # Errors
    /// `Invalid` for a name or id that is none; `Unauthenticated` where the user is suspended or not activated.
    #[tracing::instrument(skip_all)]
    pub async fn log_in_through(&self, account: ProviderAccount, origin: Origin) -> Result<LogInThrough> {
        account.check()?;
        let (account, origin) = (&account, &origin);
        let Some(found) = self.found_by(account).await? else {
            return Ok(LogInThrough::NoAccount);
        };
        // What is changed once the login succeeds has to be there before.
        self.ensure_source(found.user, &origin.source()).await?;
        let user = found.user;
        let answer = self.decided("user.log_in", "login", || async move {
            match self.found_by(account).await? {
                Some(found) if found.user == user => self.decide_log_in_through(account, origin, found).await,
                // It was unlinked, or linked to somebody else, meanwhile.
                _ => Ok(Decided::Done(Some(LogInThrough::NoAccount))),
            }
        });
        let Some(answer) = answer.await? else {
            self.note_refusal_from(Refusal::of_user("user.log_in", user), origin).await;
            return Err(Error::Unauthenticated);
        };
        Ok(answer)
    }

    /// The user of an account, by the connection or by the address.
    async fn found_by(&self, account: &ProviderAccount) -> Result<Option<Found>> {
        if let Some(row) = self.store.read(vec![account.find()]).await?.into_rows().pop() {
            return Ok(Some(Found { user: row.id("user_id")?, connection: Some(row) }));
        }
        let Some(email) = account.vouched(&self.identity.connections) else { return Ok(None) };
        let Some(row) = self.store.read(vec![by_email(&email)]).await?.into_rows().pop() else {
            return Ok(None);
        };
        // Who has not confirmed the address may have signed up with somebody else's.
        Ok(row.bool("activated")?.then_some(Found { user: row.id("id")?, connection: None }))
    }

    async fn decide_log_in_through(
        &self,
        account: &ProviderAccount,
        origin: &Origin,
        found: Found,
    ) -> Result<Decided<Option<LogInThrough>>> {
        let user = found.user;
        let queries = vec![
            Query::Get { table: &USER_ACCESS, key: user.into() },
            Query::Get { table: &USERS, key: user.into() },
            verification_of(&user.to_string(), VerificationKind::TwoFactor),
        ];
        let reads = self.store.read(queries).await?;
        let now = reads.now;
        let mut rows = reads.answers.into_iter().map(Answer::into_row);
        let mut next = || rows.next().flatten();
        let (Some(access), Some(kept)) = (next(), next()) else {
            return Ok(Decided::Done(Some(LogInThrough::NoAccount)));
        };
        if !may_act(&access, &kept)? {
            return Ok(Decided::Done(None));
        }
        let state = if next().is_some() { SessionState::AwaitingSecondFactor } else { SessionState::Full };
        let mut new = self.new_session_from(origin, user, state, None, now);
        let mut batch = self.batch_for("user.log_in", user.uuid());
        let mut messages = Vec::new();
        if let Some(row) = &found.connection {
            batch.push(Write::guard(&CONNECTIONS, row.key(), row.revision()));
        } else {
            self.check_room(&self.ways_of(user).await?)?;
            // The address by which it is linked is still that of the user.
            batch.push(Write::guard(&USERS, user, kept.revision()));
            let connection = self.add_connection(&mut batch, user, account, now);
            let to = User::from_row(&kept)?.email;
            messages.push(Message::AccountLinked { to, provider: connection.provider_name });
        }
        batch.push(next_epoch(&access)?);
        batch.writes.extend(self.room_for(user, state).await?);
        batch.writes.append(&mut new.writes);
        let how = match state {
            SessionState::Full => {
                batch.writes.extend(self.login_succeeded(user, &origin.source(), now));
                format!("through {}", account.provider)
            }
            SessionState::AwaitingSecondFactor => {
                format!("through {}, awaiting the second factor", account.provider)
            }
        };
        batch.push(self.log_from(origin, session_event("user.log_in", user, new.session.id, &how), now));
        let logged_in = LoggedIn::new(new.session, new.token);
        Ok(Decided::Commit(Some(LogInThrough::LoggedIn(logged_in, messages)), batch))
    }

    /// Signs somebody up through an account at a provider that vouches for its address: a user without a password, who logs in
    /// through it.
    ///
    /// # Errors
    /// `Invalid` for a name that is none, or an address that the provider does not vouch for, or without
    /// [`ConnectionPolicy`](crate::identity::ConnectionPolicy) taking its word: then [`ControlPlane::sign_up`] and
    /// [`ControlPlane::link`] are the way. Otherwise somebody could keep an account for the owner of the address to come. `AlreadyExists` where the address or the account is
    /// somebody's.
    #[tracing::instrument(skip_all)]
    pub async fn sign_up_through(
        &self,
        account: ProviderAccount,
        name: impl Into<String> + Send,
        limits: Limits,
    ) -> Result<Entry<User>> {
        account.check()?;
        let name = DisplayName::new(name)?;
        let email = account.vouched(&self.identity.connections);
        let email =
            email.ok_or_else(|| Error::invalid("email", "nobody vouches for one whose word counts"))?;
        let (account, name, email) = (&account, &name, &email);
        self.decided("user.sign_up", User::KIND, || async move {
            let reads = self.store.read(vec![account.find(), by_email(email)]).await?;
            let now = reads.now;
            let mut taken = reads.answers.into_iter().map(Answer::into_row);
            for (kind, key) in [("connection", "provider"), ("user", "email")] {
                if taken.next().flatten().is_some() {
                    return Err(Error::AlreadyExists { kind, key });
                }
            }
            let mut user = User::new(self.new_id().into(), email.clone(), name.clone(), now);
            user.activated = true;
            let mut batch = self.batch_for("user.sign_up", user.id.uuid());
            batch.writes.extend(user.creation(limits));
            self.add_connection(&mut batch, user.id, account, now);
            let how = format!("through {}", account.provider);
            batch.push(self.log(Happened::of_user("user.sign_up", user.id, &how), now));
            Ok(Decided::Commit(Entry::new(user, 1), batch))
        })
        .await
    }
}
