//! What can happen, as values that mean something in every state: a place is taken modulo how many things there are, so that
//! what is left of a list of steps still says something when others were dropped.

use rand::RngExt as _;
use rand_pcg::Pcg64Mcg;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Somebody launches an instance, on a node or anywhere.
    Launch {
        user: u8,
        node: Option<u8>,
        amounts: [u8; 3],
        gpus: Gpus,
        ports: u8,
        port: Option<u8>,
    },
    /// The request of an instance comes again.
    Repeat {
        instance: u8,
    },
    Stop {
        instance: u8,
    },
    Start {
        instance: u8,
    },
    Delete {
        instance: u8,
    },
    Abandon {
        instance: u8,
    },
    /// The agent takes commands, and each comes to one of the fates, over and over.
    Work {
        node: u8,
        most: u8,
        fates: [Fate; 3],
    },
    /// The agent takes commands and dies, again and again, until they are given up.
    Struggle {
        node: u8,
    },
    /// The agent answers what it did before, or holds on to it.
    Answer {
        node: u8,
        lease: u8,
    },
    Extend {
        node: u8,
        lease: u8,
    },
    /// The agent dies, and another one joins.
    Join {
        node: u8,
    },
    /// An agent that was replaced says something.
    Late {
        node: u8,
        says: Says,
    },
    Beat {
        node: u8,
    },
    /// The agent looks at its machine; it tells of it at once, or later.
    Look {
        node: u8,
    },
    Tell {
        node: u8,
    },
    Report {
        node: u8,
    },
    /// What happens on the machine, and nobody knows of it yet.
    Vanish {
        node: u8,
        container: u8,
    },
    Halt {
        node: u8,
        container: u8,
    },
    Appear {
        node: u8,
        eighths: u8,
        port: Option<u8>,
    },
    Grow {
        node: u8,
        container: u8,
        eighths: u8,
    },
    Unplug {
        node: u8,
        gpu: u8,
    },
    Plug {
        node: u8,
        gpu: u8,
    },
    Resize {
        node: u8,
        eighths: [u8; 3],
        ports: u8,
    },
    /// Time passes, in seconds.
    Wait {
        seconds: u8,
    },
    Sweep,
    Cordon {
        node: u8,
    },
    Uncordon {
        node: u8,
    },
    Drain {
        node: u8,
    },
    Dead {
        node: u8,
    },
    /// Somebody has a command tried again.
    Retry {
        command: u8,
    },
    Limit {
        user: u8,
        instances: u8,
        gpus: Option<u8>,
        eighths: [Option<u8>; 3],
    },
    Quarantine {
        node: u8,
        gpu: u8,
        healthy: bool,
    },
    /// The control plane dies, and another one goes on over what is stored.
    Crash,
}

/// What is asked of GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gpus {
    None,
    Share(u16),
    Whole(u8),
}

/// What becomes of a command that an agent has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// The agent dies, or forgets it, before it has done anything.
    Forgotten,
    /// It is done, and the agent dies before it answers.
    Unanswered,
    /// It is done and answered, and the answer to that is lost.
    AnsweredTwice,
    Failed,
    Again,
}

/// What an agent says that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Beat,
    Take,
    Answer(u8),
    Extend(u8),
    Look,
    Tell,
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
    let mut any = || random.random::<u8>();
    let (node, instance, container, gpu, lease, command) = (any(), any(), any(), any(), any(), any());
    let user = any();
    match random.random_range(0..100_u8) {
        0..16 => launch(random, user),
        16 => Step::Repeat { instance },
        17..21 => Step::Stop { instance },
        21..25 => Step::Start { instance },
        25..31 => Step::Delete { instance },
        31 => Step::Abandon { instance },
        32 => Step::Struggle { node },
        33..50 => Step::Work { node, most: random.random_range(1..5), fates: fates(random) },
        50..52 => Step::Answer { node, lease },
        52 => Step::Extend { node, lease },
        53..57 => Step::Join { node },
        57..60 => Step::Late { node, says: says(random) },
        60 => Step::Beat { node },
        61..63 => Step::Look { node },
        63..65 => Step::Tell { node },
        65..72 => Step::Report { node },
        72 | 73 => Step::Vanish { node, container },
        74 => Step::Halt { node, container },
        75 | 76 => Step::Appear { node, eighths: random.random_range(0..6), port: maybe(random, 10) },
        77 => Step::Grow { node, container, eighths: random.random_range(0..6) },
        78 | 79 => Step::Unplug { node, gpu },
        80 | 81 => Step::Plug { node, gpu },
        82 => {
            let eighths = [(); 3].map(|()| random.random_range(2..12));
            Step::Resize { node, eighths, ports: random.random_range(2..12) }
        }
        83..85 => Step::Wait { seconds: pick(random, [5, 30, 61, 200]) },
        85..87 => Step::Sweep,
        87 => Step::Cordon { node },
        88..91 => Step::Uncordon { node },
        91 => Step::Drain { node },
        92 => pick(random, [Step::Dead { node }, Step::Sweep]),
        93..95 => Step::Retry { command },
        95 => limit(random, user),
        96 => Step::Quarantine { node, gpu, healthy: random.random_bool(0.6) },
        _ => Step::Crash,
    }
}

fn launch(random: &mut Pcg64Mcg, user: u8) -> Step {
    let gpus = match random.random_range(0..6_u8) {
        0 | 1 => Gpus::None,
        2 => Gpus::Whole(random.random_range(1..3)),
        3 => Gpus::Whole(1),
        _ => Gpus::Share(pick(random, [250, 500, 700])),
    };
    Step::Launch {
        user,
        node: maybe(random, u8::MAX),
        amounts: [(); 3].map(|()| pick(random, [0, 1, 1, 2, 3])),
        gpus,
        ports: pick(random, [0, 0, 1, 2, 3]),
        port: if random.random_bool(0.2) { Some(random.random_range(0..10)) } else { None },
    }
}

fn fates(random: &mut Pcg64Mcg) -> [Fate; 3] {
    use Fate::{Again, Answered, AnsweredTwice, Failed, Forgotten, Unanswered};
    [(); 3].map(|()| {
        pick(
            random,
            [
                Answered,
                Answered,
                Answered,
                Answered,
                AnsweredTwice,
                Forgotten,
                Unanswered,
                Unanswered,
                Failed,
                Again,
            ],
        )
    })
}

fn says(random: &mut Pcg64Mcg) -> Says {
    let lease = random.random();
    pick(
        random,
        [
            Says::Beat,
            Says::Take,
            Says::Answer(lease),
            Says::Answer(lease),
            Says::Extend(lease),
            Says::Look,
            Says::Tell,
        ],
    )
}

fn limit(random: &mut Pcg64Mcg, user: u8) -> Step {
    let eighths = [(); 3].map(|()| maybe(random, 20));
    Step::Limit { user, instances: random.random_range(1..9), gpus: maybe(random, 5), eighths }
}
