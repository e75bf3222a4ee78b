//! What of trainings goes with a user: the trainings with their images, and the history of the runs that have ended.

use super::super::ControlPlane;
use super::super::retry::lost_race;
use super::super::users::Happened;
use super::deletion::AT_ONCE;
use crate::entity::{
    BindingState, Entity as _, GPU_LEASES, LEASE_GPUS, LEASE_NODES, LEASE_RENEWALS, LeaseId, RENTALS,
    RUN_PULSES, RunId, TRAINING_RUN_IMAGES, TRAINING_RUNS, TRAINING_STATUSES, User, UserId,
};
use crate::error::{Error, Result};
use crate::store::{Answer, Is, MAX_EXAMINED, MAX_PAGE, Query, Row, Scan, StoreExt as _, Test, Write};

/// How many scans are asked at once.
const SCANS: usize = 64;

/// The runs of a user that have not ended: they still have their training.
pub(super) fn live_runs(user: UserId) -> Scan {
    let runs = Scan::of(&TRAINING_RUNS).by("training_runs_owner").with(user);
    runs.test(Test::new("training_id", Is::NotNull)).limit(MAX_PAGE).examine(MAX_EXAMINED)
}

/// What belongs to a run.
#[derive(Default)]
struct OfRun {
    /// What nothing refers to.
    leaves: Vec<Row>,
    leases: Vec<Row>,
    /// Whether there is more that nothing refers to, of the run and of these leases.
    more_leaves: bool,
    more_leases: bool,
}

impl OfRun {
    fn add(&mut self, answer: Answer) {
        if let Answer::Page(page) = &answer {
            self.more_leaves |= page.next.is_some();
        }
        self.leaves.extend(answer.into_rows());
    }
}

impl ControlPlane {
    /// How many leases a user's runs have ended without: of each it is not known yet that nothing uses it.
    ///
    /// A user may have any number of ended runs, but few leases are being released at a time, whoever's they are.
    pub(super) async fn held_leases(&self, user: UserId) -> Result<usize> {
        let releasing = Scan::of(&GPU_LEASES).by("gpu_leases_state").with(BindingState::Releasing.as_str());
        let theirs = releasing.test(Test::eq("account_id", user)).limit(MAX_PAGE).examine(MAX_EXAMINED);
        Ok(self.store.scan_all(theirs).await?.len())
    }

    /// Deletes trainings and ended runs of a suspended user with what belongs to them; says whether none of it has changed
    /// meanwhile.
    pub(super) async fn trainings_go(&self, user: UserId, trainings: &[Row], runs: &[Row]) -> Result<bool> {
        for training in trainings {
            match self.delete_training(training.id("id")?).await {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                // A run was asked for just before the user was suspended.
                Err(Error::StillUsed { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        for run in runs {
            if !self.run_goes(user, run).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes an ended run, in as many batches as it takes.
    async fn run_goes(&self, user: UserId, run: &Row) -> Result<bool> {
        loop {
            let OfRun { mut leaves, leases, more_leaves, more_leases } = self.of_run(run.id("id")?).await?;
            let bare = !more_leaves && leaves.len() <= AT_ONCE;
            leaves.truncate(AT_ONCE);
            let parents = if bare { leases.as_slice() } else { &[] };
            let whole = bare && !more_leases;
            let last = whole.then_some(run);
            let mut batch = self.batch("user.delete");
            for row in leaves.iter().chain(parents).chain(last) {
                batch.push(Write::delete(row.table(), row.key(), row.revision()));
            }
            let now = self.store.read(Vec::new()).await?.now;
            let told = format!("{} rows of a run before the user", batch.writes.len());
            batch.push(self.log(Happened::of_user("user.delete", user, &told), now));
            match self.store.commit(batch).await {
                Ok(_) if whole => return Ok(true),
                Ok(_) => {}
                Err(error) if lost_race(&error) => return Ok(false),
                Err(error) => return Err(Error::of_store(User::KIND, error)),
            }
        }
    }

    async fn of_run(&self, id: RunId) -> Result<OfRun> {
        let all = |scan: Scan| Query::Scan(scan.limit(MAX_PAGE));
        let queries = vec![
            all(Scan::of(&GPU_LEASES).by("gpu_leases_of_run").with(id)),
            Query::Get { table: &RUN_PULSES, key: id.into() },
            all(Scan::of(&TRAINING_RUN_IMAGES).with(id)),
            all(Scan::of(&TRAINING_STATUSES).by("training_statuses_run").with(id)),
        ];
        let mut of_run = OfRun::default();
        let mut answers = self.store.read(queries).await?.answers.into_iter();
        if let Some(Answer::Page(page)) = answers.next() {
            of_run.more_leases = page.next.is_some();
            of_run.leases = page.rows;
        }
        answers.for_each(|answer| of_run.add(answer));
        for some in of_run.leases.clone().chunks(SCANS / 4) {
            let mut queries = Vec::with_capacity(some.len() * 4);
            for lease in some {
                let lease: LeaseId = lease.id("id")?;
                queries.push(Query::Get { table: &LEASE_RENEWALS, key: lease.into() });
                queries.push(all(Scan::of(&LEASE_NODES).with(lease)));
                queries.push(all(Scan::of(&LEASE_GPUS).with(lease)));
                queries.push(all(Scan::of(&RENTALS).by("rentals_of_lease").with(lease)));
            }
            self.store.read(queries).await?.answers.into_iter().for_each(|answer| of_run.add(answer));
        }
        for row in &of_run.leaves {
            // A machine that is rented is not forgotten.
            if row.table().name == RENTALS.name && row.opt_time("ended_at")?.is_none() {
                return Err(Error::StillUsed { kind: User::KIND, by: RENTALS.name });
            }
        }
        Ok(of_run)
    }
}
