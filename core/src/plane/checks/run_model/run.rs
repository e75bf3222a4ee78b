//! Steps carried out, by the control plane and by the model; then the two are compared.

use std::sync::Arc;
use std::time::Duration;

use super::super::compared::difference;
use super::super::cut::Cut;
use super::super::rentals;
use super::act::Act;
use super::expected::{Answer, policy};
use super::facts::{Rows, known, stored};
use super::state::{Image, Model};
use super::step::{Deed, How, Step, Who};
use super::{Checked, ModelStores, law, of};
use crate::ControlPlane;
use crate::amount::GpuMilli;
use crate::entity::{BindingState, Limits, MediaType};
use crate::id::{IdSource as _, TimeOrderedIds};
use crate::identity::IdentityOptions;
use crate::plane::{NewTrainingImage, NodeSession, Options, RunScheduler, Worker};
use crate::queue::{QueuePolicy, Settings};
use crate::rent::mock::{Lies, MockProvider};
use crate::store::Store;
use crate::time::{Clock as _, ManualClock};

/// What the schedulers go by, one each.
const POLICIES: [QueuePolicy; 3] = [QueuePolicy::Backfill, QueuePolicy::FairShare, QueuePolicy::Priority];

pub(super) struct Run<'s> {
    pub(super) stores: &'s dyn ModelStores,
    pub(super) clock: Arc<ManualClock>,
    pub(super) ids: Arc<TimeOrderedIds>,
    pub(super) cloud: Option<Arc<ControlPlane>>,
    pub(super) schedulers: Vec<Scheduler>,
    pub(super) provider: Arc<MockProvider>,
    pub(super) model: Model,
    /// What was stored behind the last step.
    pub(super) seen: Rows,
}

/// A scheduler, with the store as it sees it.
pub(super) struct Scheduler {
    pub(super) sees: Arc<Cut>,
    pub(super) it: Arc<RunScheduler>,
}

/// Whether it was answered as it was expected.
pub(super) fn answered(act: &Act, got: &Answer, expected: &Answer) -> Checked {
    if got == expected {
        return Ok(());
    }
    Err(format!("{act:?}: {expected:?} was expected, and {got:?} is answered"))
}

impl Run<'_> {
    pub(super) fn cloud(&self) -> &Arc<ControlPlane> {
        self.cloud.as_ref().unwrap()
    }

    pub(super) fn plane(&self, store: Arc<dyn Store>) -> ControlPlane {
        let options = Options::default().identity(IdentityOptions::default()).runs(policy());
        let options = options.rentals(rentals::options()).ids(Arc::<TimeOrderedIds>::clone(&self.ids));
        ControlPlane::with(store, options)
    }

    pub(super) fn open(&mut self, store: &Arc<dyn Store>) {
        self.cloud = Some(Arc::new(self.plane(Arc::clone(store))));
        let scheduler = |policy| {
            let sees = Arc::new(Cut::never(store));
            let plane = Arc::new(self.plane(Arc::<Cut>::clone(&sees)));
            Scheduler { sees, it: Arc::new(RunScheduler::new(plane, Settings::new(policy))) }
        };
        self.schedulers = POLICIES.map(scheduler).into();
    }

    pub(super) async fn rows(&self) -> Result<Rows, String> {
        Rows::read(&**self.cloud().store()).await
    }

    /// Compares what is stored with what the model knows.
    pub(super) async fn compare(&mut self) -> Checked {
        let rows = self.rows().await?;
        self.model.learn_rentals(&rows)?;
        self.model.learn_pauses(&rows)?;
        if let Some(lines) = difference(&stored(&self.model, &rows), &known(&self.model)) {
            return Err(format!("what is stored is not what is expected:{lines}"));
        }
        law::check(&self.seen, &rows)?;
        self.seen = rows;
        Ok(())
    }

    /// Carries out a step, a second after the one before.
    pub(super) async fn step(&mut self, step: Step) -> Checked {
        self.wait(1);
        match step {
            Step::Do(deed, how) => self.deed(deed, how).await?,
            Step::Tick { scheduler, is_blind, raced_by } => self.tick(scheduler, is_blind, raced_by).await?,
            Step::Rent { scheduler } => self.rent(scheduler).await?,
            Step::Ask => {
                let asked = self.cloud().rent_pending(&*self.provider).await;
                asked.map_err(|error| format!("asking the provider: {error}"))?;
            }
            Step::Janitor => self.janitor().await?,
            Step::Provider { of_thousand } => {
                self.provider.lies(Lies { hangs: 0, ..Lies::all(of_thousand.into(), 3) });
                self.provider.tick();
            }
            Step::Claim { who, seconds } => self.claim(who, seconds).await?,
            Step::Work { taken, next, how } => self.work(taken, next, how).await?,
            Step::Late(late) => self.late(late).await?,
            Step::Image { training } => self.image(training).await?,
            Step::Limit { user, gpus, runs } => self.limit(user, gpus, runs).await?,
            Step::Quota { queue, own, borrowing, lending } => {
                self.quota(queue, [own, borrowing, lending]).await?;
            }
            Step::Wait { seconds } => self.wait(seconds.into()),
            Step::Crash => self.crash().await,
        }
        self.compare().await
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.model.now = self.clock.now();
    }

    async fn deed(&mut self, deed: Deed, how: How) -> Checked {
        match self.resolved(deed) {
            Some(act) => self.act_so(&act, how).await,
            None => Ok(()),
        }
    }

    async fn act_so(&mut self, act: &Act, how: How) -> Checked {
        match how {
            How::CutOff if act.is_simple() => self.cut_off(act).await,
            How::Unheard if act.is_simple() => self.unheard(act).await,
            How::Raced { seconds, by } if act.is_simple() => match self.rival(act, by) {
                // What a sweep of leases does it does page by page, each at its own time.
                Some(rival) if matches!(act, Act::SweepLeases) => self.raced(act, rival, 0).await,
                Some(rival) => self.raced(act, rival, seconds.into()).await,
                None => self.act(act).await,
            },
            _ => self.act(act).await,
        }
    }

    /// A worker does what is next.
    async fn work(&mut self, taken: u8, next: u8, how: How) -> Checked {
        // Most of them have something to do.
        match self.taken(taken | 1).and_then(|shown| Some((shown, self.next_word(&shown, next)?))) {
            Some((shown, says)) => self.act_so(&Act::Say(shown, says), how).await,
            None => Ok(()),
        }
    }

    pub(super) async fn act(&mut self, act: &Act) -> Checked {
        let got = act.carry_out(self.cloud()).await;
        answered(act, &got, &self.model.act(act, None))?;
        if got.is_err() && self.rows().await? != self.seen {
            return Err(format!("{act:?} was refused, and has changed something"));
        }
        Ok(())
    }

    async fn rent(&mut self, scheduler: u8) -> Checked {
        let one = &self.schedulers[usize::from(scheduler) % self.schedulers.len()];
        let rented = one.it.rent_waiting(&*self.provider).await.map_err(|error| error.to_string())?;
        let rows = self.rows().await?;
        for (run, lease) in rented {
            self.model.granted(run, lease, &rows)?;
        }
        Ok(())
    }

    pub(super) async fn janitor(&self) -> Checked {
        match self.cloud().janitor_pass(&*self.provider).await {
            Ok(pass) if pass.late + pass.failed == 0 => Ok(()),
            Err(error) if error.code() == "provider" => Ok(()),
            other => Err(format!("the janitor: {other:?}")),
        }
    }

    async fn claim(&mut self, who: Who, seconds: u16) -> Checked {
        let worker = Worker::new(format!("worker-{}", seconds % 3));
        let worker = match who {
            Who::Anybody => worker,
            Who::Agent { node, is_old } => {
                let node = &self.model.nodes[usize::from(node) % self.model.nodes.len()];
                let session = node.session.unwrap_or(1) - u32::from(is_old);
                worker.on(node.id, NodeSession(session))
            }
            Who::Rented { lease } => {
                let all = &self.model.rentals;
                let mut free =
                    all.iter().filter(|it| self.model.leases[it.lease].state == BindingState::Reserved);
                let rental = free.next_back().or_else(|| Some(&all[of(lease, all.len())?]));
                let Some(rental) = rental else { return Ok(()) };
                worker.of(self.model.leases[rental.lease].id)
            }
        };
        let lease = Duration::from_secs(seconds.into());
        let got = self.cloud().claim_run(&worker, lease).await.map_err(|error| error.code());
        self.model.claimed(&worker, got, lease)
    }

    pub(super) async fn image(&mut self, training: u8) -> Checked {
        let at = usize::from(training) % self.model.trainings.len();
        let (name, size) = (format!("{}.png", self.model.images.len()), 77);
        let new = NewTrainingImage::new(self.model.trainings[at].id, name, MediaType::Png, size);
        let image = self.cloud().announce_image(new).await.map_err(|error| error.to_string())?;
        let done = self.cloud().confirm_upload(image.id, &image.url, size).await;
        done.map_err(|error| error.to_string())?;
        self.model.images.push(Image { id: image.id, training: at, is_resized: false });
        Ok(())
    }

    pub(super) async fn limit(&mut self, user: u8, gpus: Option<u8>, runs: u8) -> Checked {
        let count = self.model.users.len();
        let user = &mut self.model.users[usize::from(user) % count];
        let gpu_milli_limit = gpus.map(|gpus| GpuMilli::from_u32(u32::from(gpus) * 1000));
        user.limits = Limits { run_limit: runs.into(), gpu_milli_limit, ..user.limits };
        let (id, limits) = (user.id, user.limits);
        self.cloud().set_limits(id, limits).await.map(drop).map_err(|error| error.to_string())
    }

    async fn crash(&mut self) {
        let store = Arc::clone(self.cloud().store());
        self.cloud = None;
        self.schedulers.clear();
        let store = self.stores.reopened(store, Arc::clone(&self.clock)).await;
        self.open(&store);
    }

    pub(super) fn new_id(&self) -> uuid::Uuid {
        self.ids.next_id()
    }
}
