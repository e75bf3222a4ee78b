//! What can happen, as values that mean something in every state: a place is taken modulo how many things there are.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

use super::words::{Artefact, Says};
use crate::entity::RunCause;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Something is done, in one way or another.
    Do(Deed, How),
    /// A scheduler ticks; it may not have heard of what has happened since, and between its decision and its commit something else
    /// may happen.
    Tick {
        scheduler: u8,
        is_blind: bool,
        raced_by: Option<Between>,
    },
    /// A scheduler decides to rent machines.
    Rent {
        scheduler: u8,
    },
    /// The provider is asked for them.
    Ask,
    /// What it has is compared with what it is to have.
    Janitor,
    /// Time passes at the provider, which lies so often from now on.
    Provider {
        of_thousand: u16,
    },
    /// A worker takes what it finds, for so many seconds.
    Claim {
        who: Who,
        seconds: u16,
    },
    /// A worker does what is next for its run.
    Work {
        taken: u8,
        next: u8,
        how: How,
    },
    /// What a worker says is late.
    Late(Late),
    /// A training gets another image.
    Image {
        training: u8,
    },
    Limit {
        user: u8,
        gpus: Option<u8>,
        runs: u8,
    },
    Quota {
        queue: u8,
        own: Option<u8>,
        borrowing: Option<u8>,
        lending: Option<u8>,
    },
    Wait {
        seconds: u16,
    },
    /// The control plane dies, and another one goes on over what is stored.
    Crash,
}

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Submit {
        training: u8,
        queue: u8,
        ask: u8,
        priority: u8,
        later: bool,
        failures: u8,
    },
    /// A request comes again, as it was or another one under the same id.
    Again {
        run: u8,
        is_other: bool,
    },
    Abort {
        run: u8,
    },
    Abandon {
        lease: u8,
    },
    Resize {
        image: u8,
    },
    Say {
        taken: u8,
        says: Says,
        shows: Shows,
    },
    SweepRuns,
    SweepLeases,
    Advance,
    Join {
        node: u8,
    },
    Dead {
        node: u8,
    },
    /// An agent tells what still runs; what it does not know of is left out where the bit of its place is 0.
    Report {
        node: u8,
        running: u8,
        is_old: bool,
    },
}

/// What a worker shows with what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    /// What it was given.
    Its,
    /// The number of the attempt before.
    EarlierAttempt,
    /// The number of whoever had it before.
    EarlierToken,
    /// The lease of somebody else.
    OtherLease,
    /// The run of somebody else.
    OtherRun,
}

/// What else happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Plainly,
    /// The process dies before it has committed.
    CutOff,
    /// It commits, and the answer is lost.
    Unheard,
    /// Between its decision and its commit so many seconds pass and something happens to the same lease.
    Raced {
        seconds: u16,
        by: Rival,
    },
}

/// What happens in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    Abort,
    Abandon,
    SweepRuns,
    SweepLeases,
    Say(Says),
}

/// What a worker says is under way for so many seconds; something else happens meanwhile, and it arrives in the middle of that, or
/// behind it. With no seconds it is under way until the sweep would take its silence for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late {
    pub(super) taken: u8,
    pub(super) next: u8,
    pub(super) seconds: u16,
    pub(super) by: Rival,
    pub(super) is_behind: bool,
}

/// What happens while a scheduler decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// Another one does all its work.
    Tick(u8),
    Do(Deed),
    /// A queue gets nothing any more.
    Close(u8),
}

/// Which worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Anybody,
    /// The agent of a node, or the one that it was before.
    Agent {
        node: u8,
        is_old: bool,
    },
    /// The worker on a rented machine.
    Rented {
        lease: u8,
    },
}

/// So many steps, the same ones for a seed.
pub(super) fn steps(random: &mut Pcg64Mcg, count: usize) -> Vec<Step> {
    (0..count).map(|_| step(random)).collect()
}

fn pick<T: Copy, const N: usize>(random: &mut Pcg64Mcg, of: [T; N]) -> T {
    of[random.random_range(0..N)]
}

fn maybe(random: &mut Pcg64Mcg, below: u8) -> Option<u8> {
    random.random_bool(0.5).then(|| random.random_range(0..below))
}

fn step(random: &mut Pcg64Mcg) -> Step {
    let (any, lease) = (random.random::<u8>(), random.random::<u8>());
    match random.random_range(0..100_u8) {
        0..16 => deed(random, submit),
        16..30 => Step::Tick {
            scheduler: any,
            is_blind: random.random_bool(0.25),
            raced_by: random.random_bool(0.35).then(|| between(random, lease)),
        },
        30..43 => Step::Claim { who: who(random), seconds: pick(random, [30, 90, 200, 400, 3600]) },
        43..58 => Step::Work { taken: any, next: lease, how: how(random) },
        58..66 => Step::Late(Late {
            taken: any,
            next: pick(random, [180, 180, 1, lease]),
            seconds: pick(random, [0, 0, 0, 40, 100, 250]),
            by: late_by(random),
            is_behind: random.random_bool(0.3),
        }),
        66..70 => deed(random, say),
        70..72 => deed(random, |random| pick(random, [Deed::SweepRuns, Deed::SweepLeases])),
        72 => Step::Do(Deed::Advance, How::Plainly),
        73 if lease < 128 => deed(random, |random| Deed::Abort { run: random.random() }),
        73 => deed(random, |random| Deed::Abandon { lease: random.random() }),
        74 | 75 | 81 => deed(random, |random| Deed::Resize { image: random.random() }),
        76 => deed(random, |random| Deed::Again { run: random.random(), is_other: random.random_bool(0.3) }),
        77..81 => Step::Do(node(random), How::Plainly),
        82 if lease < 64 => Step::Image { training: any },
        82 if lease < 128 => Step::Limit { user: any, gpus: maybe(random, 9), runs: 2 + lease % 9 },
        82 | 83 => quota(random, any),
        84 | 85 => Step::Rent { scheduler: any },
        86..89 => Step::Ask,
        89..92 => Step::Janitor,
        92 => Step::Provider { of_thousand: pick(random, [0, 0, 100, 300]) },
        93..99 if lease < 20 => Step::Wait { seconds: pick(random, [1000, 4000]) },
        93..99 => Step::Wait { seconds: pick(random, [2, 5, 20, 20, 61, 61, 100, 130, 190, 310]) },
        _ => Step::Crash,
    }
}

fn quota(random: &mut Pcg64Mcg, queue: u8) -> Step {
    let (own, borrowing) = (maybe(random, 7), maybe(random, 4));
    Step::Quota { queue, own, borrowing, lending: own.and_then(|own| maybe(random, own + 1)) }
}

fn between(random: &mut Pcg64Mcg, any: u8) -> Between {
    match random.random_range(0..8_u8) {
        0 => Between::Do(Deed::Abort { run: any }),
        1 => Between::Do(Deed::Dead { node: any }),
        2 => Between::Close(any),
        _ => Between::Tick(any),
    }
}

fn deed(random: &mut Pcg64Mcg, what: impl Fn(&mut Pcg64Mcg) -> Deed) -> Step {
    Step::Do(what(random), how(random))
}

fn how(random: &mut Pcg64Mcg) -> How {
    match random.random_range(0..10_u8) {
        0..6 => How::Plainly,
        6 => How::CutOff,
        7 => How::Unheard,
        _ => How::Raced { seconds: pick(random, [0, 0, 100, 300]), by: rival(random) },
    }
}

fn late_by(random: &mut Pcg64Mcg) -> Rival {
    let any = rival(random);
    pick(random, [any, Rival::SweepLeases, Rival::SweepRuns])
}

fn rival(random: &mut Pcg64Mcg) -> Rival {
    match random.random_range(0..8_u8) {
        0 => Rival::Abort,
        1 => Rival::Abandon,
        2 => Rival::SweepRuns,
        3 | 4 => Rival::SweepLeases,
        _ => Rival::Say(says(random)),
    }
}

fn submit(random: &mut Pcg64Mcg) -> Deed {
    Deed::Submit {
        training: random.random(),
        queue: random.random(),
        ask: random.random(),
        priority: random.random_range(0..3),
        later: random.random_bool(0.1),
        failures: random.random_range(0..4),
    }
}

fn say(random: &mut Pcg64Mcg) -> Deed {
    use Shows::{EarlierAttempt, EarlierToken, Its, OtherLease, OtherRun};
    let shows = pick(random, [Its, Its, Its, Its, EarlierAttempt, EarlierToken, OtherLease, OtherRun]);
    Deed::Say { taken: random.random(), says: says(random), shows }
}

fn says(random: &mut Pcg64Mcg) -> Says {
    use Artefact::{Other, Right, Unreadable, WrongKey};
    match random.random_range(0..15_u8) {
        0 | 1 => Says::Begin,
        2 | 3 => Says::Tell(random.random_range(0..4)),
        4 => Says::Upload,
        5..8 => Says::Complete(pick(random, [Right, Right, Right, Other, WrongKey, Unreadable])),
        8 | 9 => Says::Fail(pick(
            random,
            [
                RunCause::Crashed,
                RunCause::Crashed,
                RunCause::Hardware,
                RunCause::Invalid,
                RunCause::Preempted,
            ],
        )),
        10 | 11 => Says::Renew(pick(random, [10, 100, 1000])),
        12 => Says::GiveBack,
        _ => Says::Release,
    }
}

fn node(random: &mut Pcg64Mcg) -> Deed {
    let node = random.random();
    match random.random_range(0..10_u8) {
        0..4 => Deed::Join { node },
        4 => Deed::Dead { node },
        _ => Deed::Report { node, running: random.random(), is_old: random.random_bool(0.2) },
    }
}

fn who(random: &mut Pcg64Mcg) -> Who {
    match random.random_range(0..6_u8) {
        0..3 => Who::Anybody,
        3 | 4 => Who::Agent { node: random.random(), is_old: random.random_bool(0.2) },
        _ => Who::Rented { lease: random.random() },
    }
}
