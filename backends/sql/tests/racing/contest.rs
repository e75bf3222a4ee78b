//! What is raced for, and what a caller does to get it.

use std::fmt;
use std::sync::Arc;

use apportion::id::IdSource;
use apportion::store::{
    Batch, Cause, Ceiling, Change, Column, Fixed, Index, Invariant, Key, NewRow, Reference, Store,
    StoreError, StoreExt as _, Table, Test, Unique, Value, Write,
};
use uuid::Uuid;

pub(crate) static BUDGETS: Table = Table::new(
    "budgets",
    &[Column::uuid("id"), Column::int("units").counter().default(Fixed::Int(0)), Column::int("unit_limit")],
    &["id"],
)
.invariants(&[Invariant::at_least("budgets_units_least", "units", 0)])
.ceilings(&[Ceiling::column("budgets_units", "units", "unit_limit")]);

pub(crate) static CARDS: Table = Table::new(
    "cards",
    &[Column::uuid("id"), Column::int("used_milli").counter().default(Fixed::Int(0))],
    &["id"],
)
.invariants(&[Invariant::at_most("cards_whole", "used_milli", 1000)]);

/// Who has what of a budget or a card. Nothing here keeps anybody from having too much: the counters must.
pub(crate) static SHARES: Table = Table::new(
    "shares",
    &[
        Column::uuid("id"),
        Column::uuid("budget_id").nullable(),
        Column::uuid("card_id").nullable(),
        Column::int("caller"),
    ],
    &["id"],
)
.indexes(&[Index::new("shares_of_budget", &["budget_id"]), Index::new("shares_of_card", &["card_id"])])
.references(&[
    Reference::new("shares_budget", &["budget_id"], "budgets"),
    Reference::new("shares_card", &["card_id"], "cards"),
]);

pub(crate) static PLACES: Table = Table::new(
    "places",
    &[
        Column::uuid("id"),
        Column::uuid("node").nullable(),
        Column::int("port").nullable(),
        Column::text("name", 64).nullable(),
    ],
    &["id"],
)
.uniques(&[Unique::new("places_port", &["node", "port"]), Unique::new("places_name", &["name"])]);

pub(crate) static TABLES: [&Table; 4] = [&BUDGETS, &CARDS, &SHARES, &PLACES];

/// What is raced for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contest {
    /// The last five units of a budget: one each for eight.
    Units,
    /// Eight whole GPUs: one each for sixteen, who ask for one after the other until one is theirs.
    Cards,
    /// One port of a node.
    Port,
    /// One name, which some take for a new row and some for one that they have.
    Name,
}

impl Contest {
    pub(crate) const ALL: [Self; 4] = [Self::Units, Self::Cards, Self::Port, Self::Name];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Units => "units",
            Self::Cards => "cards",
            Self::Port => "port",
            Self::Name => "name",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|contest| contest.name() == name).unwrap()
    }
}

/// One who asks: with one batch after the other, until one is accepted.
pub(crate) struct Caller {
    /// What it has when the batch of the same place is accepted.
    prizes: Vec<Uuid>,
    batches: Vec<Batch>,
}

/// What a caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// What it has.
    pub(crate) won: Option<Uuid>,
    /// What it was refused before that.
    pub(crate) refusals: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let won = self.won.map_or_else(|| "-".into(), |won| won.to_string());
        write!(f, "{won} {}", self.refusals.join(","))
    }
}

impl Told {
    pub(crate) fn read(text: &str) -> Self {
        let (won, refusals) = text.split_once(' ').unwrap_or((text, ""));
        Self {
            won: (won != "-").then(|| won.parse().unwrap()),
            refusals: refusals.split(',').filter(|one| !one.is_empty()).map(Into::into).collect(),
        }
    }
}

/// How many callers a child has.
pub(crate) const fn callers_of(contest: Contest) -> usize {
    if matches!(contest, Contest::Cards) { 2 } else { 1 }
}

/// The callers of a child, with their batches.
pub(crate) fn callers(contest: Contest, child: usize, rows: &[Uuid], ids: &dyn IdSource) -> Vec<Caller> {
    let batch = || Batch::new(ids.next_id(), contest.name());
    let of_one = |prize, writes: Vec<Write>| Caller {
        prizes: vec![prize],
        batches: vec![writes.into_iter().fold(batch(), Batch::with)],
    };
    let id = ids.next_id();
    match contest {
        Contest::Units => {
            let share = share(id, child).set("budget_id", rows[0]);
            let unit = Write::admit(&BUDGETS, rows[0], "units", 1);
            vec![of_one(id, vec![Write::Insert(share), unit])]
        }
        Contest::Cards => {
            let callers = callers_of(contest);
            (0..callers).map(|at| for_a_card(child * callers + at, rows, ids)).collect()
        }
        Contest::Port => {
            let place = NewRow::new(&PLACES).set("id", id).set("node", rows[0]).set("port", 443_i64);
            vec![of_one(id, vec![Write::Insert(place)])]
        }
        Contest::Name => {
            let name = rows[0].to_string();
            // The rows behind the first are those of every other child.
            if child.is_multiple_of(2) {
                let place = NewRow::new(&PLACES).set("id", id).set("name", name);
                return vec![of_one(id, vec![Write::Insert(place)])];
            }
            let mine = rows[1 + child / 2];
            let set = vec![("name", Value::from(name))];
            vec![of_one(mine, vec![Write::update(&PLACES, mine, 1, set)])]
        }
    }
}

fn share(id: Uuid, caller: usize) -> NewRow {
    NewRow::new(&SHARES).set("id", id).set("caller", i64::try_from(caller).unwrap())
}

/// What refuses a caller that asks for a card which somebody has.
pub(crate) const fn refused_a_card(caller: usize) -> &'static str {
    if asks_by_test(caller) { "test_failed:used_milli" } else { "invariant:cards_whole" }
}

/// There are two ways to ask for a card, and each must hold against the other. Each child uses both.
const fn asks_by_test(caller: usize) -> bool {
    caller % 2 == 1
}

/// Asks for one card after the other, from a place of its own.
fn for_a_card(caller: usize, cards: &[Uuid], ids: &dyn IdSource) -> Caller {
    let from = caller % cards.len();
    let prizes: Vec<Uuid> = cards[from..].iter().chain(&cards[..from]).copied().collect();
    let batches = prizes.iter().map(|card| {
        let whole = if asks_by_test(caller) {
            let free = vec![Test::eq("used_milli", 0_i64)];
            Write::patch(&CARDS, *card, free, vec![("used_milli", Change::Set(Value::from(1000_i64)))])
        } else {
            Write::admit(&CARDS, *card, "used_milli", 1000)
        };
        let share = share(ids.next_id(), caller).set("card_id", *card);
        Batch::new(ids.next_id(), "cards").with(whole).with(Write::Insert(share))
    });
    Caller { batches: batches.collect(), prizes }
}

/// Lets the callers go, all at once, and gives what they were told.
pub(crate) async fn run(store: &Arc<dyn Store>, callers: Vec<Caller>) -> Vec<Told> {
    let callers = callers.into_iter().map(|caller| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut told = Told { won: None, refusals: Vec::new() };
            for (prize, batch) in caller.prizes.into_iter().zip(caller.batches) {
                match store.commit(batch).await {
                    Ok(_) => {
                        told.won = Some(prize);
                        break;
                    }
                    Err(error) => told.refusals.push(refusal(&error)),
                }
            }
            told
        })
    });
    let mut all = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        all.push(caller.await.unwrap());
    }
    all
}

/// What refused a batch, without a space, comma or semicolon.
fn refusal(error: &StoreError) -> String {
    let Some(refusal) = error.refusal() else {
        let said: String = format!("{error:?}").replace([',', ';', '\n'], " ");
        return format!("failed:{}", said.replace(' ', "_"));
    };
    let rest = match &refusal.cause {
        Cause::Ceiling { rule, limit, used, asked } => format!("{rule}:{limit}:{used}:{asked}"),
        Cause::TestFailed { column } => (*column).to_owned(),
        Cause::Invariant { rule } => (*rule).to_owned(),
        Cause::Duplicate { unique, owner } => {
            format!("{unique}:{}", owner.as_uuid().map_or_else(|| of(owner), |id| id.to_string()))
        }
        other => format!("{other:?}").replace([' ', ',', ';'], "_"),
    };
    format!("{}:{rest}", refusal.cause.code())
}

fn of(key: &Key) -> String {
    format!("{key:?}").replace([' ', ',', ';'], "_")
}
