//! Who has how much: [`Accounts`], and [`Shares`] during a tick.

use rustc_hash::FxHashMap;
use uuid::Uuid;

use super::resources::Resources;
use super::share::Share;
use super::tree::QueueTree;
use super::usage::{Decay, Use};
use crate::time::Timestamp;

/// What accounts hold and have used.
#[derive(Debug, Clone, Default)]
pub(super) struct Accounts(FxHashMap<Uuid, Account>);

#[derive(Debug, Clone)]
struct Account {
    /// A small number, which stays the account's.
    number: usize,
    weight_milli: u32,
    held: Resources,
    used: Use,
    /// The decayed use as an equivalent amount held, and the period in which that is so.
    past: Option<(i64, Resources)>,
}

impl Accounts {
    /// What is known of an account from now on.
    fn know(&mut self, account: Uuid) -> &mut Account {
        let number = self.0.len();
        self.0.entry(account).or_insert_with(|| Account {
            number,
            weight_milli: 1000,
            held: Resources::ZERO,
            used: Use::default(),
            past: None,
        })
    }

    pub(super) fn set_weight(&mut self, account: Uuid, weight_milli: u32) {
        self.know(account).weight_milli = weight_milli;
    }

    pub(super) fn weight_of(&self, account: Uuid) -> u32 {
        self.0.get(&account).map_or(1000, |account| account.weight_milli)
    }

    pub(super) fn add_use(&mut self, account: Uuid, period: i64, amount_seconds: Resources) {
        let account = self.know(account);
        account.used.add(period, amount_seconds);
        account.past = None;
    }

    pub(super) fn hold(&mut self, account: Uuid, amount: Resources) {
        let account = self.know(account);
        account.held = account.held.plus(amount);
    }

    pub(super) fn free(&mut self, account: Uuid, amount: Resources) {
        if let Some(account) = self.0.get_mut(&account) {
            account.held = account.held.minus(amount);
        }
    }

    /// Works out what is new in the past of each account.
    pub(super) fn refresh(&mut self, now: Timestamp, decay: &Decay) {
        let period = decay.period_of(now);
        for account in self.0.values_mut() {
            if account.past.is_none_or(|(at, _)| at != period) {
                account.used.forget(now, decay);
                account.past = Some((period, decay.as_held(account.used.decayed(now, decay))));
            }
        }
    }

    /// Everything as if it had never been refreshed: for another decay.
    pub(super) fn stale(&mut self) {
        self.0.values_mut().for_each(|account| account.past = None);
    }
}

/// Who has how much, with what was granted since the tick began: each grant counts at once, so that many small ones
/// cannot slip through before a share is looked at again.
#[derive(Debug)]
pub(super) struct Shares<'a> {
    accounts: &'a Accounts,
    total: Resources,
    /// What each account has by its number, and its weight.
    now: Vec<(Resources, u32)>,
    /// What accounts have got of which nothing is known.
    new: FxHashMap<Uuid, Resources>,
}

impl<'a> Shares<'a> {
    pub(super) fn new(accounts: &'a Accounts, total: Resources) -> Self {
        let mut now = vec![(Resources::ZERO, 0); accounts.0.len()];
        for account in accounts.0.values() {
            if let Some(place) = now.get_mut(account.number) {
                let past = account.past.map_or(Resources::ZERO, |(_, past)| past);
                *place = (account.held.plus(past), account.weight_milli);
            }
        }
        Self { accounts, total, now, new: FxHashMap::default() }
    }

    pub(super) fn grant(&mut self, account: Uuid, amount: Resources) {
        let has = match self.number(account).and_then(|number| self.now.get_mut(number)) {
            Some((has, _)) => has,
            None => self.new.entry(account).or_default(),
        };
        *has = has.plus(amount);
    }

    /// The number of an account of which anything is known.
    pub(super) fn number(&self, account: Uuid) -> Option<usize> {
        self.accounts.0.get(&account).map(|account| account.number)
    }

    /// The share of an account with so much more.
    pub(super) fn of_account(&self, account: Uuid, more: Resources) -> Share {
        self.of_numbered(account, self.number(account), more)
    }

    /// The same of one whose number has been looked up.
    pub(super) fn of_numbered(&self, account: Uuid, number: Option<usize>, more: Resources) -> Share {
        let (has, weight_milli) = number
            .and_then(|number| self.now.get(number))
            .copied()
            .unwrap_or_else(|| (self.new.get(&account).copied().unwrap_or_default(), 1000));
        Share::dominant(has.plus(more), self.total, weight_milli)
    }

    /// The share of a queue with so much more. What is granted is charged to the tree at once.
    pub(super) fn of_queue(&self, tree: &QueueTree, queue: Uuid, more: Resources) -> Share {
        let weight_milli = tree.get(queue).map_or(0, |node| node.weight_milli);
        Share::dominant(tree.held(queue).plus(more), self.total, weight_milli)
    }
}
