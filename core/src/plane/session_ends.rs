//! Sessions are given another token, listed, and ended.

use std::collections::HashMap;

use super::ControlPlane;
use super::decided::Decided;
use super::login::LoggedIn;
use super::retry::{Retry, lost_race};
use super::security::{ended, sessions_of, shut};
use super::sessions::{LiveSession, NewSession};
use super::users::Happened;
use crate::entity::{
    Entity as _, Entry, SESSION_USES, SESSIONS, SecretText, Session, SessionId, SessionState, USER_ACCESS,
    UserId,
};
use crate::error::{Error, Result};
use crate::identity::Origin;
use crate::store::{Is, PageCursor, Row, Scan, StoreExt as _, Test, Write};
use crate::time::Timestamp;

/// A session that has not ended, with its last use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenSession {
    /// The session.
    pub session: Entry<Session>,
    /// When it was last used, as coarsely as [`SessionPolicy`](crate::identity::SessionPolicy) says.
    pub last_used_at: Timestamp,
}

/// The sessions that are purged in one batch.
const PURGED_AT_ONCE: u32 = 100;

impl ControlPlane {
    /// Gives a session another token and another id: for when what it may do changes. The old token is worth nothing from
    /// then on; the session ends when it would have ended.
    ///
    /// # Errors
    /// `Unauthenticated` as by [`ControlPlane::check_session`].
    #[tracing::instrument(skip_all)]
    pub async fn rotate_session(&self, token: &SecretText) -> Result<LoggedIn> {
        self.decided("session.rotate", Session::KIND, || async move {
            let live = self.live(token, SessionState::Full).await?;
            let NewSession { session, token, writes } = self.rotated(&live, live.session.verified_at);
            let mut batch = self.batch_for("session.rotate", session.user_id.uuid());
            batch.push(Write::guard(&USER_ACCESS, session.user_id, live.access.revision()));
            batch.writes.extend(writes);
            let happened = session_event("session.rotate", session.user_id, session.id, "");
            batch.push(self.log(happened, live.now));
            Ok(Decided::Commit(LoggedIn::new(session, token), batch))
        })
        .await
    }

    /// A full session in place of this one, which its writes end: for a batch that changes what the session may do. It ends
    /// when the old one would have ended, and is of the same login.
    pub(super) fn rotated(&self, old: &LiveSession, verified_at: Option<Timestamp>) -> NewSession {
        let mut origin = old.session.ip.map_or_else(Origin::unknown, Origin::ip);
        origin.agent.clone_from(&old.session.agent);
        let mut new =
            self.new_session_from(&origin, old.session.user_id, SessionState::Full, verified_at, old.now);
        new.session.expires_at = old.session.expires_at;
        // The row was made before the time was known.
        if let Some(row) = new.writes.first_mut() {
            *row = Write::Insert(new.session.to_row());
        }
        new.writes.extend(old.end());
        new
    }

    /// The sessions of a user that have not ended, the oldest first; those that await a second factor are among them.
    pub async fn list_sessions(&self, user: UserId) -> Result<Vec<OpenSession>> {
        let reads = self.store.read(vec![sessions_of(user)]).await?;
        let rows = reads.into_rows();
        let keys = rows.iter().map(|row| (&SESSION_USES, row.key())).collect();
        let last = self.store.get_many(keys).await?;
        let mut open = Vec::with_capacity(rows.len());
        for (row, recorded) in rows.iter().zip(last.value) {
            // One that was ended meanwhile has no use any more.
            let Some(recorded) = recorded else { continue };
            let session = Entry::new(Session::from_row(row)?, row.revision());
            let last_used_at = recorded.time("last_used_at")?;
            if !self.identity.sessions.is_over(session.expires_at, last_used_at, last.now) {
                open.push(OpenSession { session, last_used_at });
            }
        }
        open.sort_by_key(|one| (one.session.created_at, one.session.id));
        Ok(open)
    }

    /// Ends a session of a user.
    ///
    /// # Errors
    /// `NotFound` where there is none, or where it is somebody else's.
    #[tracing::instrument(skip(self))]
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<()> {
        self.decided("session.end", Session::KIND, || async move {
            let read = self.store.get(&SESSIONS, session).await?;
            let row = own(read.value.as_ref(), user, session)?;
            let mut batch = self.batch_for("session.end", user.uuid());
            batch.writes.extend(ended([row]));
            batch.push(self.log(session_event("session.end", user, session, ""), read.now));
            Ok(Decided::Commit((), batch))
        })
        .await
    }

    /// Ends every session of a user but `keep`, and says how many. A login that is decided at this moment is decided again, so
    /// a session that is there afterwards was made afterwards.
    ///
    /// # Errors
    /// `NotFound` where `keep` is no session of the user: then none is ended.
    #[tracing::instrument(skip(self))]
    pub async fn end_other_sessions(&self, user: UserId, keep: SessionId) -> Result<usize> {
        self.end_sessions(user, Some(keep)).await
    }

    /// Ends every session of a user, and says how many. As for others, none that was decided before is there afterwards.
    #[tracing::instrument(skip(self))]
    pub async fn end_all_sessions(&self, user: UserId) -> Result<usize> {
        self.end_sessions(user, None).await
    }

    async fn end_sessions(&self, user: UserId, keep: Option<SessionId>) -> Result<usize> {
        self.decided("session.end_all", Session::KIND, || async move {
            // The epoch is read before the sessions, and a login raises it: so one that is not seen here is a conflict.
            let access = self.store.get(&USER_ACCESS, user).await?.value;
            let access = access.ok_or_else(|| Error::not_found("user", user))?;
            let reads = self.store.read(vec![sessions_of(user)]).await?;
            let now = reads.now;
            let rows = reads.into_rows();
            let mut batch = self.batch_for("session.end_all", user.uuid());
            if let Some(keep) = keep {
                let kept = rows.iter().find(|row| row.key() == keep.into());
                let kept = own(kept, user, keep)?;
                batch.push(Write::guard(&SESSIONS, keep, kept.revision()));
            }
            let others = rows.len() - usize::from(keep.is_some());
            batch.writes.extend(shut(&rows, keep, &access)?);
            let told = format!("{others} sessions");
            batch.push(self.log(Happened::of_user("session.end_all", user, &told), now));
            Ok(Decided::Commit(others, batch))
        })
        .await
    }

    /// Deletes what is left of at most `limit` sessions that have ended by themselves, and says of how many. Any number of
    /// processes may do so at the same time; it is enough that one does so now and then, since nothing is authenticated by them.
    ///
    /// Those past their end are found by an index; for those that were not used, every session is looked at.
    #[tracing::instrument(skip(self))]
    pub async fn purge_sessions(&self, limit: usize) -> Result<usize> {
        let mut purged = 0;
        let mut retry = Retry::new("session.purge", &*self.ids, &*self.metrics);
        for idle in [false, true] {
            let mut after = None;
            while purged < limit {
                let left = u32::try_from(limit - purged).unwrap_or(u32::MAX).min(PURGED_AT_ONCE);
                let (rows, next, now) = self.over(idle, after.clone(), left).await?;
                match self.purge(&rows, now).await {
                    Ok(()) => purged += rows.len(),
                    // Somebody else purges, too: from the same place on there is less to do now.
                    Err(error) if error.is_retryable() => {
                        retry.again().await?;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                after = next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(purged)
    }

    /// Some sessions past their end, or unused for too long.
    async fn over(
        &self,
        idle: bool,
        after: Option<PageCursor>,
        limit: u32,
    ) -> Result<(Vec<Row>, Option<PageCursor>, Timestamp)> {
        use std::ops::Bound::{Included, Unbounded};
        let now = self.store.read(Vec::new()).await?.now;
        if !idle {
            let past = Scan::of(&SESSIONS).by("sessions_expires_at").range(Unbounded, Included(now.into()));
            let page = self.store.scan(past.after(after).limit(limit)).await?.value;
            return Ok((page.rows, page.next, now));
        }
        let unused = Is::Le(now.minus(self.identity.sessions.idle).into());
        let unused = Scan::of(&SESSION_USES).test(Test::new("last_used_at", unused));
        let page = self.store.scan(unused.after(after).limit(limit)).await?.value;
        let keys = page.rows.iter().map(|used| (&SESSIONS, used.key())).collect();
        let sessions = self.store.get_many(keys).await?.value;
        Ok((sessions.into_iter().flatten().collect(), page.next, now))
    }

    async fn purge(&self, rows: &[Row], now: Timestamp) -> Result<()> {
        // Only how many of whom is logged: each of them was logged when it was made.
        let mut of: HashMap<UserId, usize> = HashMap::new();
        for row in rows {
            *of.entry(row.id("user_id")?).or_default() += 1;
        }
        if of.is_empty() {
            return Ok(());
        }
        let mut batch = self.batch("session.purge");
        batch.writes.extend(ended(rows));
        for (user, sessions) in of {
            let happened = Happened {
                operation: "session.purge",
                actor: None,
                kind: "user",
                subject: user.uuid(),
                description: &format!("{sessions} sessions"),
            };
            batch.push(self.log(happened, now));
        }
        match self.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(error) if lost_race(&error) => Err(Error::Conflict { what: "session.purge".into() }),
            Err(error) => Err(Error::of_store(Session::KIND, error)),
        }
    }
}

/// What happened to a session, for the log.
pub(super) fn session_event<'h>(
    operation: &'static str,
    user: UserId,
    session: SessionId,
    description: &'h str,
) -> Happened<'h> {
    Happened {
        operation,
        actor: Some(user.uuid()),
        kind: Session::KIND,
        subject: session.uuid(),
        description,
    }
}

/// The row, where it is the user's.
fn own(row: Option<&Row>, user: UserId, session: SessionId) -> Result<&Row> {
    let none = || Error::not_found(Session::KIND, session);
    let row = row.ok_or_else(none)?;
    if row.id("user_id")? == user { Ok(row) } else { Err(none()) }
}
