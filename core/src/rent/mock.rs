//! A provider in memory that fails and lies as real ones do: [`MockProvider`].

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::offer::{Offer, OfferQuery};
use super::provider::{
    ListedMachine, ProviderError, ProviderResult, RentRequest, RentalProvider, RentedMachine,
};

/// How often, of a thousand times, a provider does something else than it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lies {
    /// Renting is refused, and nothing rented.
    pub refuses: u32,
    /// It says that it rented, and did not.
    pub forgets: u32,
    /// It says that it refused, and rented.
    pub denies: u32,
    /// It does not answer; it has rented every other time.
    pub loses_answer: u32,
    /// It rents two machines, and names the second.
    pub twice: u32,
    /// It rents a machine without the label.
    pub drops_label: u32,
    /// A machine is listed only some ticks after it was rented.
    pub lists_late: u32,
    /// A machine stops to be there, in a tick.
    pub vanishes: u32,
    /// It does not list.
    pub list_fails: u32,
    /// It says that it took nothing back; it has every other time.
    pub release_fails: u32,
    /// A call to rent never ends, and with it the process; it has rented every other time.
    pub hangs: u32,
    /// How many ticks it takes at most until a machine is listed, or is listed no more.
    pub latency: u64,
}

impl Lies {
    /// A provider that does everything of this, each so often.
    pub const fn all(of_thousand: u32, latency: u64) -> Self {
        Self {
            refuses: of_thousand,
            forgets: of_thousand,
            denies: of_thousand,
            loses_answer: of_thousand,
            twice: of_thousand,
            drops_label: of_thousand,
            lists_late: of_thousand,
            vanishes: of_thousand / 10,
            list_fails: of_thousand,
            release_fails: of_thousand,
            hangs: of_thousand,
            latency,
        }
    }
}

/// A provider in memory. The same seed and the same calls give the same answers.
#[derive(Debug)]
pub struct MockProvider {
    name: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    random: Pcg64Mcg,
    lies: Lies,
    offers: Vec<Offer>,
    machines: BTreeMap<String, Machine>,
    tick: u64,
    made: u64,
    asked: Vec<RentRequest>,
    released: Vec<String>,
    foreign_touched: Vec<String>,
    hung: bool,
}

#[derive(Clone, Debug)]
struct Machine {
    label: Option<String>,
    foreign: bool,
    running: bool,
    listed_from: u64,
    /// When it was given back.
    gone_from: Option<u64>,
}

impl MockProvider {
    /// An honest provider of this name.
    pub fn new(name: impl Into<String>, seed: u64) -> Self {
        let inner = Inner {
            random: Pcg64Mcg::seed_from_u64(seed),
            lies: Lies::default(),
            offers: Vec::new(),
            machines: BTreeMap::new(),
            tick: 0,
            made: 0,
            asked: Vec::new(),
            released: Vec::new(),
            foreign_touched: Vec::new(),
            hung: false,
        };
        Self { name: name.into(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it lies so; by default not at all.
    pub fn lies(&self, lies: Lies) {
        self.lock().lies = lies;
    }

    /// What it offers.
    pub fn offer(&self, offer: Offer) {
        self.lock().offers.push(offer);
    }

    /// Rents a machine under this label, as a call does that took long.
    pub fn late(&self, label: &str) -> String {
        self.lock().make(label)
    }

    /// Puts a machine of somebody else there. Whoever gives it back is found out.
    pub fn foreign(&self, label: Option<&str>) -> String {
        let mut inner = self.lock();
        let name = inner.name();
        let label = label.map(str::to_owned);
        let machine = Machine { label, foreign: true, running: true, listed_from: 0, gone_from: None };
        inner.machines.insert(name.clone(), machine);
        name
    }

    /// Lets a machine stop to be there, or run no longer.
    pub fn breaks(&self, instance_id: &str, is_there: bool) {
        let mut inner = self.lock();
        if !is_there {
            inner.machines.remove(instance_id);
        } else if let Some(machine) = inner.machines.get_mut(instance_id) {
            machine.running = false;
        }
    }

    /// Time passes: what is late is listed, what was given back is gone.
    pub fn tick(&self) {
        let mut inner = self.lock();
        inner.tick += 1;
        let tick = inner.tick;
        inner.machines.retain(|_, machine| machine.gone_from.is_none_or(|gone| gone > tick));
        let often = inner.lies.vanishes;
        let ours = inner.machines.iter().filter(|(_, machine)| !machine.foreign);
        let names: Vec<String> = ours.map(|(name, _)| name.clone()).collect();
        for name in names {
            if inner.happens(often) {
                inner.machines.remove(&name);
            }
        }
    }

    /// What was rented, is really there and has a label that begins so, listed or not.
    pub fn there(&self, label_prefix: &str) -> Vec<ListedMachine> {
        let inner = self.lock();
        let ours = |machine: &Machine| {
            !machine.foreign
                && machine.gone_from.is_none()
                && machine.label.as_deref().is_some_and(|label| label.starts_with(label_prefix))
        };
        let of = |(name, machine): (&String, &Machine)| ours(machine).then(|| machine.listed(name));
        inner.machines.iter().filter_map(of).collect()
    }

    /// Whether a machine is really there.
    pub fn has(&self, instance_id: &str) -> bool {
        self.lock().machines.get(instance_id).is_some_and(|machine| machine.gone_from.is_none())
    }

    /// What it was asked to rent.
    pub fn asked(&self) -> Vec<RentRequest> {
        self.lock().asked.clone()
    }

    /// What it was asked to take back.
    pub fn released(&self) -> Vec<String> {
        self.lock().released.clone()
    }

    /// The machines of others that it was asked to take back.
    pub fn foreign_touched(&self) -> Vec<String> {
        self.lock().foreign_touched.clone()
    }

    /// Whether a call hung since this was last asked: whoever made it never hears of it again.
    pub fn has_hung(&self) -> bool {
        std::mem::take(&mut self.lock().hung)
    }
}

impl Machine {
    fn listed(&self, name: &str) -> ListedMachine {
        ListedMachine::new(name, self.label.clone()).running(self.running)
    }
}

impl Inner {
    fn happens(&mut self, of_thousand: u32) -> bool {
        of_thousand > 0 && self.random.next_u32() % 1000 < of_thousand
    }

    fn name(&mut self) -> String {
        self.made += 1;
        format!("m-{}", self.made)
    }

    fn delay(&mut self) -> u64 {
        if self.lies.latency == 0 { 0 } else { self.random.next_u64() % (self.lies.latency + 1) }
    }

    fn make(&mut self, label: &str) -> String {
        let name = self.name();
        let label = (!self.happens(self.lies.drops_label)).then(|| label.to_owned());
        let late = if self.happens(self.lies.lists_late) { self.delay() } else { 0 };
        let listed_from = self.tick + late;
        let machine = Machine { label, foreign: false, running: true, listed_from, gone_from: None };
        self.machines.insert(name.clone(), machine);
        name
    }

    /// What comes of being asked; `None` where nobody ever hears.
    fn rent(&mut self, request: &RentRequest) -> Option<ProviderResult<RentedMachine>> {
        self.asked.push(request.clone());
        let (lies, label) = (self.lies, request.label.as_str());
        if self.happens(lies.refuses) {
            return Some(Err(ProviderError::refused("there is none left")));
        }
        if self.happens(lies.forgets) {
            return Some(Ok(RentedMachine::new(self.name())));
        }
        if self.happens(lies.denies) {
            self.make(label);
            return Some(Err(ProviderError::refused("there is none left")));
        }
        let (lost, hangs) = (self.happens(lies.loses_answer), self.happens(lies.hangs));
        if (lost || hangs) && self.happens(500) {
            self.hung |= hangs;
            return (!hangs).then(|| Err(ProviderError::unknown("the connection was lost")));
        }
        if self.happens(lies.twice) {
            self.make(label);
        }
        let machine = RentedMachine::new(self.make(label));
        if hangs {
            self.hung = true;
            return None;
        }
        Some(if lost { Err(ProviderError::unknown("the connection was lost")) } else { Ok(machine) })
    }

    fn release(&mut self, instance_id: &str) -> ProviderResult<()> {
        self.released.push(instance_id.to_owned());
        let fails = self.happens(self.lies.release_fails);
        let (at, tick) = (self.tick + self.delay(), self.tick);
        let done = !fails || self.happens(500);
        if let Some(machine) = self.machines.get_mut(instance_id).filter(|_| done) {
            if machine.foreign {
                self.foreign_touched.push(instance_id.to_owned());
            }
            machine.gone_from = machine.gone_from.or(Some(at));
            self.machines.retain(|_, machine| machine.gone_from.is_none_or(|gone| gone > tick));
        }
        if fails { Err(ProviderError::unknown("it is not known")) } else { Ok(()) }
    }
}

#[async_trait]
impl RentalProvider for MockProvider {
    fn name(&self) -> &str {
        &self.name
    }

    async fn offers(&self, _: &OfferQuery) -> ProviderResult<Vec<Offer>> {
        Ok(self.lock().offers.clone())
    }

    async fn rent(&self, request: &RentRequest) -> ProviderResult<RentedMachine> {
        let answer = self.lock().rent(request);
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    async fn list(&self, _: &str) -> ProviderResult<Vec<ListedMachine>> {
        let mut inner = self.lock();
        let often = inner.lies.list_fails;
        if inner.happens(often) {
            return Err(ProviderError::unknown("a page was missing"));
        }
        let tick = inner.tick;
        let listed = inner.machines.iter().filter(|(_, machine)| machine.listed_from <= tick);
        Ok(listed.map(|(name, machine)| machine.listed(name)).collect())
    }

    async fn release(&self, instance_id: &str) -> ProviderResult<()> {
        self.lock().release(instance_id)
    }
}
