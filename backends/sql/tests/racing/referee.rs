//! Who lays out what is raced for, and says whether a round went as it should.

use std::collections::BTreeSet;
use std::sync::Arc;

use apportion::id::IdSource;
use apportion::store::{Batch, Cursor, MAX_CHANGES, NewRow, Row, Scan, Store, StoreExt as _, Table, Write};
use uuid::Uuid;

use super::PROCESSES;
use super::contest::{BUDGETS, CARDS, Contest, PLACES, SHARES, Told, callers_of, refused_a_card};

const UNITS: i64 = 5;
const CARDS_A_ROUND: usize = 8;

pub(crate) struct Referee {
    store: Arc<dyn Store>,
    ids: Arc<dyn IdSource>,
    /// How many batches were accepted so far, the referee's own among them.
    accepted: usize,
}

impl Referee {
    pub(crate) fn new(store: Arc<dyn Store>, ids: Arc<dyn IdSource>) -> Self {
        Self { store, ids, accepted: 0 }
    }

    /// Lays out a round, and gives the rows or names that it is about.
    pub(crate) async fn prepare(&mut self, contest: Contest) -> Vec<Uuid> {
        let count = match contest {
            Contest::Units | Contest::Port => 1,
            Contest::Cards => CARDS_A_ROUND,
            Contest::Name => 1 + PROCESSES / 2,
        };
        let ids: Vec<Uuid> = (0..count).map(|_| self.ids.next_id()).collect();
        let new = |table: &'static Table, id: &Uuid| NewRow::new(table).set("id", *id);
        let rows: Vec<NewRow> = match contest {
            Contest::Units => ids.iter().map(|id| new(&BUDGETS, id).set("unit_limit", UNITS)).collect(),
            Contest::Cards => ids.iter().map(|id| new(&CARDS, id)).collect(),
            Contest::Port => Vec::new(),
            Contest::Name => ids[1..].iter().map(|id| new(&PLACES, id)).collect(),
        };
        if !rows.is_empty() {
            let first = Batch::new(self.ids.next_id(), "prepare");
            let batch = rows.into_iter().map(Write::Insert).fold(first, Batch::with);
            self.store.commit(batch).await.unwrap();
            self.accepted += 1;
        }
        ids
    }

    /// Checks a round: how many won, what the others were told, what is there. Gives how many won.
    pub(crate) async fn judge(&mut self, contest: Contest, rows: &[Uuid], told: &[Vec<Told>]) -> usize {
        let told: Vec<&Told> = told.iter().flatten().collect();
        assert_eq!(told.len(), PROCESSES * callers_of(contest));
        let winners: Vec<Uuid> = told.iter().filter_map(|told| told.won).collect();
        match contest {
            Contest::Units => self.judge_units(rows[0], &told).await,
            Contest::Cards => self.judge_cards(rows, &told).await,
            Contest::Port => {
                let scan = Scan::of(&PLACES).by("places_port").with(rows[0]).with(443_i64);
                self.judge_owner("places_port", scan, &told).await;
            }
            Contest::Name => {
                let scan = Scan::of(&PLACES).by("places_name").with(rows[0].to_string());
                self.judge_owner("places_name", scan, &told).await;
            }
        }
        self.accepted += winners.len();
        winners.len()
    }

    async fn judge_units(&self, budget: Uuid, told: &[&Told]) {
        let winners: Vec<Uuid> = told.iter().filter_map(|told| told.won).collect();
        assert_eq!(winners.len(), usize::try_from(UNITS).unwrap(), "{told:#?}");
        for loser in told.iter().filter(|told| told.won.is_none()) {
            assert_eq!(loser.refusals, ["ceiling:budgets_units:5:5:1"]);
        }
        let row = self.store.get(&BUDGETS, budget).await.unwrap().value.unwrap();
        assert_eq!(row.int("units").unwrap(), UNITS);
        let shares = self.rows(Scan::of(&SHARES).by("shares_of_budget").with(budget)).await;
        let owners: BTreeSet<Uuid> = shares.iter().map(|row| row.key().as_uuid().unwrap()).collect();
        assert_eq!(owners, winners.into_iter().collect());
    }

    async fn judge_cards(&self, cards: &[Uuid], told: &[&Told]) {
        let winners: Vec<(usize, Uuid)> =
            told.iter().enumerate().filter_map(|(caller, told)| Some((caller, told.won?))).collect();
        assert_eq!(winners.len(), cards.len(), "{told:#?}");
        for (caller, told) in told.iter().enumerate() {
            let expected = refused_a_card(caller);
            assert!(told.refusals.iter().all(|refusal| refusal == expected), "{caller}: {told:#?}");
            assert!(told.won.is_some() || told.refusals.len() == cards.len(), "{caller}: {told:#?}");
        }
        for card in cards {
            let row = self.store.get(&CARDS, *card).await.unwrap().value.unwrap();
            assert_eq!(row.int("used_milli").unwrap(), 1000);
            let shares = self.rows(Scan::of(&SHARES).by("shares_of_card").with(*card)).await;
            let has: Vec<i64> = shares.iter().map(|row| row.int("caller").unwrap()).collect();
            let won = winners.iter().filter(|(_, prize)| prize == card);
            let won: Vec<i64> = won.map(|(caller, _)| i64::try_from(*caller).unwrap()).collect();
            assert_eq!(has, won, "who has the card is not who was told so");
            assert_eq!(has.len(), 1);
        }
    }

    async fn judge_owner(&self, unique: &str, scan: Scan, told: &[&Told]) {
        let winners: Vec<Uuid> = told.iter().filter_map(|told| told.won).collect();
        assert_eq!(winners.len(), 1, "{told:#?}");
        let lost = format!("duplicate:{unique}:{}", winners[0]);
        for loser in told.iter().filter(|told| told.won.is_none()) {
            assert_eq!(loser.refusals, [lost.as_str()]);
        }
        let owners: Vec<Uuid> =
            self.rows(scan).await.iter().map(|row| row.key().as_uuid().unwrap()).collect();
        assert_eq!(owners, winners);
    }

    /// Counts everything once more: each counter is what its rows add up to, and the feed tells each batch once.
    pub(crate) async fn recount(&self) {
        let shares = self.rows(Scan::of(&SHARES)).await;
        let of = |column: &'static str, id: Uuid| {
            let mine = shares
                .iter()
                .filter(|row| row.opt_id::<()>(column).unwrap().is_some_and(|of| of.uuid() == id));
            i64::try_from(mine.count()).unwrap()
        };
        for row in self.rows(Scan::of(&BUDGETS)).await {
            assert_eq!(row.int("units").unwrap(), of("budget_id", row.key().as_uuid().unwrap()));
        }
        for row in self.rows(Scan::of(&CARDS)).await {
            assert_eq!(row.int("used_milli").unwrap(), 1000 * of("card_id", row.key().as_uuid().unwrap()));
        }
        let (mut after, mut batches, mut position) = (Cursor::START, BTreeSet::new(), 0);
        loop {
            let page = self.store.changes(after, MAX_CHANGES).await.unwrap();
            for record in &page.records {
                position += 1;
                assert_eq!(record.position, position, "the feed is not dense");
                assert!(batches.insert(record.batch), "a batch is told twice");
            }
            after = page.next;
            if page.lag == 0 {
                break;
            }
        }
        assert_eq!(batches.len(), self.accepted);
    }

    async fn rows(&self, scan: Scan) -> Vec<Row> {
        self.store.scan_all(scan.limit(1000)).await.unwrap()
    }
}
