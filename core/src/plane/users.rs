//! Creating users.

use uuid::Uuid;

use super::accounts::administrators;
use super::retry::Retry;
use super::{ControlPlane, NewUser};
use crate::entity::{
    ADMINISTRATIONS, Administration, DisplayName, Email, Entity as _, Entry, LOGS, Limits, User, UserId,
    UserPermission, is_taken,
};
use crate::error::{Error, Result};
use crate::identity::Origin;
use crate::store::{Answer, Batch, NewRow, StoreError, Write};
use crate::time::Timestamp;

impl ControlPlane {
    /// Creates a user with limits. The same request again, with its id, is answered with the user that is there.
    pub async fn create_user(&self, request: NewUser) -> Result<Entry<User>> {
        let mut retry = Retry::new("user.create", &*self.ids, &*self.metrics);
        loop {
            match self.create_users(vec![request.clone()]).await.pop() {
                Some(Err(Error::Conflict { .. })) => retry.again().await?,
                Some(answer) => return answer,
                None => return Err(Error::invalid("users", "none was given")),
            }
        }
    }

    /// Creates many users, in the given order, each on its own.
    #[tracing::instrument(skip_all)]
    pub async fn create_users(&self, requests: Vec<NewUser>) -> Vec<Result<Entry<User>>> {
        let (now, mut counted) = match self.store.read(vec![administrators()]).await {
            Ok(reads) => (reads.now, matches!(reads.answers.as_slice(), [Answer::Row(Some(_))])),
            Err(error) => return requests.iter().map(|_| Err(error.clone().into())).collect(),
        };
        let mut decided = Vec::with_capacity(requests.len());
        let mut batches = Vec::with_capacity(requests.len());
        for request in requests {
            let limits = request.limits;
            let is_administrator = request.administrator;
            decided.push(self.decide_user(request, now).map(|(user, mut batch)| {
                if is_administrator {
                    batch.push(Administration::one_more(counted));
                    // Those that follow count on it. Where it is refused they are too, and asked again they succeed.
                    counted = true;
                }
                batches.push(batch);
                (user, limits)
            }));
        }
        let mut receipts = self.store.commit_many(batches).await.into_iter();
        let mut answers = Vec::with_capacity(decided.len());
        for user in decided {
            answers.push(match user {
                Err(error) => Err(error),
                Ok((user, limits)) => match receipts.next() {
                    Some(Ok(_)) => Ok(Entry::new(user, 1)),
                    // Somebody else made the first administrator meanwhile, or nobody did.
                    Some(Err(error)) if is_uncounted(&error) => {
                        Err(Error::Conflict { what: "user.create".into() })
                    }
                    Some(Err(error)) => self.created_before(user, limits, error).await,
                    None => Err(Error::Conflict { what: "user.create".into() }),
                },
            });
        }
        answers
    }

    fn decide_user(&self, request: NewUser, now: Timestamp) -> Result<(User, Batch)> {
        let email = Email::try_from(request.email)?;
        let name = DisplayName::try_from(request.name)?;
        let id: UserId = request.id.unwrap_or_else(|| self.new_id().into());
        let mut user = User::new(id, email, name, now);
        if request.administrator {
            user.permission = UserPermission::Administrator;
        }
        let happened = Happened {
            operation: "user.create",
            actor: None,
            kind: "user",
            subject: id.uuid(),
            description: user.name.as_str(),
        };
        let mut batch = self.batch("user.create");
        batch.writes.extend(user.creation(request.limits));
        batch.push(self.log(happened, now));
        Ok((user, batch))
    }

    /// The answer to a refused creation: the user that an earlier call made, or the refusal.
    async fn created_before(&self, user: User, limits: Limits, refused: StoreError) -> Result<Entry<User>> {
        // Made by an earlier call: only its times differ.
        let same = |found: &Entry<User>| {
            (&found.email, &found.name, found.permission) == (&user.email, &user.name, user.permission)
        };
        if is_taken::<User>(&refused)
            && let Some(found) = self.repositories.user_with(user.id, limits).await?.filter(same)
        {
            return Ok(found);
        }
        Err(Error::of_store("user", refused))
    }
}

/// Whether a batch was refused by the count of administrators.
fn is_uncounted(error: &StoreError) -> bool {
    error.refusal().is_some_and(|refusal| refusal.table == ADMINISTRATIONS.name)
}

/// What happened to what, for the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Happened<'h> {
    pub(super) operation: &'static str,
    pub(super) actor: Option<Uuid>,
    pub(super) kind: &'static str,
    pub(super) subject: Uuid,
    pub(super) description: &'h str,
}

impl<'h> Happened<'h> {
    /// What happened to a user, by the user where nobody else is known to have done it.
    pub(super) const fn of_user(operation: &'static str, user: UserId, description: &'h str) -> Self {
        Self { operation, actor: Some(user.uuid()), kind: User::KIND, subject: user.uuid(), description }
    }
}

impl ControlPlane {
    /// The write that logs what happened: who did it, from where, to what, and when.
    pub(super) fn log(&self, happened: Happened<'_>, now: Timestamp) -> Write {
        self.log_from(self.caller.origin(), happened, now)
    }

    /// The same for what came from there.
    pub(super) fn log_from(&self, origin: &Origin, happened: Happened<'_>, now: Timestamp) -> Write {
        let row = NewRow::new(&LOGS)
            .set("id", self.new_id())
            .set("title", happened.operation)
            .set("description", happened.description)
            .set("host", origin.host.as_deref())
            .set("ip", origin.ip.map(|ip| ip.to_string()))
            .set("actor_id", self.caller.actor().or(happened.actor))
            .set("subject_kind", happened.kind)
            .set("subject_id", happened.subject)
            .set("timestamp", now);
        Write::Insert(row)
    }
}
