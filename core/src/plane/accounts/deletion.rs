//! Deleting a user: what goes with them is named, and what stands in the way is too.

use super::super::ControlPlane;
use super::super::retry::{Retry, lost_race};
use super::super::users::Happened;
use super::administrators::administrators;
use super::trainings::live_runs;
use crate::entity::{
    ACCOUNT_USES, API_KEY_USES, API_KEYS, AccessState, Administration, COMPUTE_NODES, CONFIRMATION_TRIES,
    CONNECTIONS, Entity as _, FAIR_SHARES, GPU_LEASES, INSTANCES, InstanceState, LOGIN_RATES, LOGIN_RETRIES,
    LOGIN_THROTTLES, LOGIN_WAYS, MANAGED_COMPUTE_NODES, MANAGED_IMAGES, MANAGED_INSTANCES, PASSWORDS, QUOTAS,
    RECOVERY_CODES, SESSION_USES, SESSIONS, SSH_KEYS, TRAINING_RUNS, TRAININGS, USER_ACCESS, USER_ROLES,
    USERS, User, UserId, UserPermission, VERIFICATION_TRIES, VERIFICATIONS,
};
use crate::error::{Error, Result};
use crate::store::{Answer, MAX_PAGE, Query, Row, Scan, StoreExt as _, Table, Write};
use crate::time::Timestamp;

/// What goes with a user: a table, the order by user (its key where there is none), and the table of a companion row.
const GOES: [(&Table, Option<&str>, Option<&Table>); 19] = [
    (&SESSIONS, Some("sessions_user"), Some(&SESSION_USES)),
    (&API_KEYS, Some("api_keys_user"), Some(&API_KEY_USES)),
    (&VERIFICATIONS, Some("verifications_user"), Some(&VERIFICATION_TRIES)),
    (&SSH_KEYS, Some("ssh_keys_user"), None),
    (&RECOVERY_CODES, Some("recovery_codes_user"), None),
    (&CONNECTIONS, Some("connections_user"), None),
    (&MANAGED_COMPUTE_NODES, Some("managed_compute_nodes_user_node"), None),
    (&MANAGED_IMAGES, Some("managed_images_user_image"), None),
    (&MANAGED_INSTANCES, Some("managed_instances_user_instance"), None),
    (&USER_ROLES, None, None),
    (&LOGIN_THROTTLES, None, None),
    (&PASSWORDS, None, None),
    (&CONFIRMATION_TRIES, None, None),
    (&LOGIN_WAYS, None, None),
    (&LOGIN_RATES, None, None),
    (&LOGIN_RETRIES, None, None),
    (&FAIR_SHARES, None, None),
    (&ACCOUNT_USES, None, None),
    (&QUOTAS, None, None),
];
/// The most rows that go in the last batch; more go in batches before it.
pub(super) const AT_ONCE: usize = 1_500;

/// What deleting a user does, or why it cannot be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deletion {
    /// What goes with the user: the name of a table, and how many of its rows. A table with more than 1,000 is told as 1,000. What
    /// belongs to a row goes with it: a training's images, a run's statuses, images and leases.
    pub goes: Vec<(&'static str, usize)>,
    /// What stands in the way. Nothing is deleted while there is any of it.
    pub stands: Vec<Standing>,
}

/// Something that stands in the way of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Nodes of the user, at least so many.
    Nodes(usize),
    /// Instances of the user that are not deleted, at least so many.
    LiveInstances(usize),
    /// Runs of the user that have not ended, at least so many.
    LiveRuns(usize),
    /// Leases that are not released, of runs of the user that have ended, or of a node.
    HeldLeases(usize),
    /// The user is the last administrator.
    LastAdministrator,
}

/// What was read for a deletion.
struct Found {
    user: Row,
    access: Row,
    administrators: Option<Row>,
    nodes: Vec<Row>,
    instances: Vec<Row>,
    trainings: Vec<Row>,
    live_runs: usize,
    /// Those that have ended among them.
    runs: Vec<Row>,
    held_leases: usize,
    goes: Vec<Vec<Row>>,
    now: Timestamp,
}

impl ControlPlane {
    /// What deleting a user would do now, or what stands in the way. Changes nothing.
    pub async fn plan_user_deletion(&self, user: UserId) -> Result<Deletion> {
        self.of_deletion(user).await?.plan()
    }

    /// Deletes a user with everything that is only theirs: sessions, keys, second factor, connections, password, roles, grants,
    /// trainings with their images, and the history of their ended runs and deleted instances. The audit trail keeps what it tells
    /// of them.
    ///
    /// Where there are trainings or runs, or more than fits one batch, the user is suspended first, and what is theirs goes in
    /// steps: cut off in the middle, it goes on when it is asked again.
    ///
    /// # Errors
    /// `NotFound`; `StillUsed` for what stands in the way, which [`ControlPlane::plan_user_deletion`] counts; `WrongState` for the
    /// last administrator.
    #[tracing::instrument(skip_all)]
    pub async fn delete_user(&self, user: UserId) -> Result<()> {
        self.delete_user_while(user, "user.delete", |_, _| true).await
    }

    /// The same, as long as it is so of the user at that time; `WrongState` where it is not.
    pub(super) async fn delete_user_while(
        &self,
        user: UserId,
        operation: &'static str,
        so: fn(&User, Timestamp) -> bool,
    ) -> Result<()> {
        let mut retry = Retry::new(operation, &*self.ids, &*self.metrics);
        loop {
            let found = self.of_deletion(user).await?;
            if !so(&User::from_row(&found.user)?, found.now) {
                let (state, event) = ("changed meanwhile", "deleting it");
                return Err(Error::WrongState { kind: User::KIND, state, event, allowed: Vec::new() });
            }
            found.refused()?;
            if !(found.trainings.is_empty() && found.runs.is_empty()) {
                if found.access.text("state")? != AccessState::Suspended.as_str() {
                    self.suspend_for_deletion(&found, user).await?;
                } else if !self.trainings_go(user, &found.trainings, &found.runs).await? {
                    retry.again().await?;
                }
                continue;
            }
            let some_left = found.goes.iter().any(|rows| rows.len() >= MAX_PAGE as usize)
                || found.instances.len() >= MAX_PAGE as usize;
            let mut writes = found.writes();
            if some_left || writes.len() > AT_ONCE {
                // What is deleted here is deleted for good: nobody makes it anew while the user is suspended.
                if found.access.text("state")? != AccessState::Suspended.as_str() {
                    self.suspend_for_deletion(&found, user).await?;
                    continue;
                }
                writes.truncate(AT_ONCE);
                let mut batch = self.batch(operation);
                batch.writes = whole(writes);
                let told = format!("{} rows before the user", batch.writes.len());
                batch.push(self.log(Happened::of_user(operation, user, &told), found.now));
                match self.store.commit(batch).await {
                    Ok(_) => {}
                    Err(error) if lost_race(&error) => retry.again().await?,
                    Err(error) => return Err(Error::of_store(User::KIND, error)),
                }
                continue;
            }
            let mut batch = self.batch(operation);
            batch.writes = writes;
            if found.is_administrator()? {
                batch.push(Administration::one_less());
            }
            batch.push(Write::delete(&USER_ACCESS, user, found.access.revision()));
            batch.push(Write::delete(&USERS, user, found.user.revision()));
            batch.push(self.log(Happened::of_user(operation, user, ""), found.now));
            match self.store.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(error) if lost_race(&error) => retry.again().await?,
                // Something was made for the user between the look and the commit: look again.
                Err(error) => match Error::of_store(User::KIND, error) {
                    Error::StillUsed { .. } => retry.again().await?,
                    other => return Err(other),
                },
            }
        }
    }

    async fn suspend_for_deletion(&self, found: &Found, user: UserId) -> Result<()> {
        if found.is_administrator()? {
            self.demote(user).await?;
        }
        self.deactivate(user).await
    }

    async fn of_deletion(&self, user: UserId) -> Result<Found> {
        let get = |table| Query::Get { table, key: user.into() };
        let of = |table, order| Query::Scan(Scan::of(table).by(order).with(user).limit(MAX_PAGE));
        let mut queries = vec![
            get(&USER_ACCESS),
            get(&USERS),
            administrators(),
            of(&COMPUTE_NODES, "compute_nodes_owner"),
            of(&INSTANCES, "instances_owner"),
            of(&TRAININGS, "trainings_owner"),
            Query::Scan(live_runs(user)),
            of(&TRAINING_RUNS, "training_runs_owner"),
        ];
        queries.extend(GOES.iter().map(|(table, order, _)| {
            let scan = Scan::of(table).limit(MAX_PAGE);
            Query::Scan(order.map_or(scan.clone(), |order| scan.by(order)).with(user))
        }));
        let reads = self.store.read(queries).await?;
        let now = reads.now;
        let mut answers = reads.answers.into_iter();
        let none = || Error::not_found(User::KIND, user);
        let access = answers.next().and_then(Answer::into_row).ok_or_else(none)?;
        let kept = answers.next().and_then(Answer::into_row).ok_or_else(none)?;
        let administrators = answers.next().and_then(Answer::into_row);
        let mut pages = answers.map(Answer::into_rows);
        let mut next = || pages.next().unwrap_or_default();
        let (nodes, instances, trainings) = (next(), next(), next());
        let (live_runs, runs) = (next().len(), next());
        let held_leases = self.held_leases(user).await?;
        let goes = pages.collect();
        Ok(Found {
            user: kept,
            access,
            administrators,
            nodes,
            instances,
            trainings,
            live_runs,
            runs,
            held_leases,
            goes,
            now,
        })
    }
}

impl Found {
    fn is_administrator(&self) -> Result<bool> {
        Ok(self.user.text("permission")? == UserPermission::Administrator.as_str())
    }

    fn live(&self) -> Result<usize> {
        let mut live = 0;
        for instance in &self.instances {
            let state = InstanceState::parse(instance.text("state")?);
            live += usize::from(!state.is_some_and(InstanceState::is_terminal));
        }
        Ok(live)
    }

    fn plan(&self) -> Result<Deletion> {
        let mut plan = Deletion::default();
        let live = self.live()?;
        for ((table, ..), rows) in GOES.iter().zip(&self.goes) {
            if !rows.is_empty() {
                plan.goes.push((table.name, rows.len()));
            }
        }
        if self.instances.len() > live {
            plan.goes.push((INSTANCES.name, self.instances.len() - live));
        }
        for (table, rows) in [
            (&TRAININGS, self.trainings.len()),
            (&TRAINING_RUNS, self.runs.len().saturating_sub(self.live_runs)),
        ] {
            if rows > 0 {
                plan.goes.push((table.name, rows));
            }
        }
        if !self.nodes.is_empty() {
            plan.stands.push(Standing::Nodes(self.nodes.len()));
        }
        if live > 0 {
            plan.stands.push(Standing::LiveInstances(live));
        }
        if self.live_runs > 0 {
            plan.stands.push(Standing::LiveRuns(self.live_runs));
        }
        if self.held_leases > 0 {
            plan.stands.push(Standing::HeldLeases(self.held_leases));
        }
        let last = match &self.administrators {
            Some(row) => row.int("administrators")? <= 1,
            None => false,
        };
        if self.is_administrator()? && last {
            plan.stands.push(Standing::LastAdministrator);
        }
        Ok(plan)
    }

    fn refused(&self) -> Result<()> {
        let by = match self.plan()?.stands.first() {
            None => return Ok(()),
            Some(Standing::Nodes(_)) => COMPUTE_NODES.name,
            Some(Standing::LiveInstances(_)) => INSTANCES.name,
            Some(Standing::LiveRuns(_)) => TRAINING_RUNS.name,
            Some(Standing::HeldLeases(_)) => GPU_LEASES.name,
            Some(Standing::LastAdministrator) => return Err(Error::last_administrator("deleting it")),
        };
        Err(Error::StillUsed { kind: User::KIND, by })
    }

    /// The writes that delete everything but the user: companions before what they belong to.
    fn writes(&self) -> Vec<Write> {
        let mut writes = Vec::new();
        for ((_, _, companion), rows) in GOES.iter().zip(&self.goes) {
            for row in rows {
                if let Some(companion) = companion {
                    // Only ever patched, so of its first revision.
                    writes.push(Write::delete(companion, row.key(), 1));
                }
                writes.push(Write::delete(row.table(), row.key(), row.revision()));
            }
        }
        writes.extend(self.instances.iter().map(|row| Write::delete(&INSTANCES, row.key(), row.revision())));
        writes
    }
}

/// The writes without a companion at the end whose row was cut off: neither is deleted without the other.
fn whole(mut writes: Vec<Write>) -> Vec<Write> {
    let companion = |write: &Write| match write {
        Write::Delete { table, .. } => {
            GOES.iter().any(|(_, _, of)| of.is_some_and(|of| of.name == table.name))
        }
        _ => false,
    };
    if writes.last().is_some_and(companion) {
        writes.pop();
    }
    writes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::entity::{LoginThrottle, TABLES};
    use crate::plane::NewUser;
    use crate::store::memory::MemoryStore;
    use crate::store::{Metrics, Store};
    use crate::time::{ManualClock, Timestamp};

    /// Nothing but the first batch may be decided again.
    #[derive(Debug)]
    struct NoRetry;

    impl Metrics for NoRetry {
        fn retry(&self, operation: &str, attempt: u32) {
            panic!("{operation} was decided again, attempt {attempt}");
        }
    }

    #[tokio::test]
    async fn more_than_one_batch_holds_goes_in_steps_none_of_which_is_in_vain() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_790_000_000_000_000)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(TABLES, clock).unwrap());
        let options = crate::plane::Options::default().metrics(Arc::new(NoRetry));
        let cloud = ControlPlane::with(Arc::clone(&store), options);
        let user = cloud.create_user(NewUser::new("ada@example.org", "Ada")).await.unwrap().id;
        for part in 0..4 {
            let mut batch = cloud.batch("sources");
            for at in 0..600 {
                let source = format!("source {part} {at}");
                let (failures, failed_at, succeeded_at) = (1, None, None);
                let row = LoginThrottle { user_id: user, source, failures, failed_at, succeeded_at };
                batch.push(Write::Insert(row.to_row()));
            }
            store.commit(batch).await.unwrap();
        }
        // A session, which ends when the user is suspended for the deletion.
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let origin = crate::identity::Origin::unknown();
        let new = cloud.new_session_from(&origin, user, crate::entity::SessionState::Full, None, at);
        let mut batch = cloud.batch("session");
        batch.writes = new.writes;
        store.commit(batch).await.unwrap();
        let plan = cloud.plan_user_deletion(user).await.unwrap();
        assert!(plan.goes.contains(&("login_throttles", 1_000)) && plan.stands.is_empty(), "{plan:?}");
        cloud.delete_user(user).await.unwrap();
        for table in TABLES.iter().filter(|table| table.name != "logs") {
            assert!(store.scan(Scan::of(table)).await.unwrap().value.rows.is_empty(), "{}", table.name);
        }
    }
}
