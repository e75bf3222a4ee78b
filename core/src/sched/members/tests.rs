use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Orders of nodes as they come up, and one in which keys differ at their very end only.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Ranks tell them apart, as those of a file do.
    Ranks,
    /// Ids that begin with a time do: many nodes are made in one millisecond.
    Times,
    /// Ranks come up several times, and ids decide.
    Both,
    /// The first node is far from all others, which have one time and one rank.
    LastBits,
    /// Any of all keys.
    Anywhere,
}

const ORDERS: [Order; 5] = [Order::Ranks, Order::Times, Order::Both, Order::LastBits, Order::Anywhere];

/// A fixed order that is neither ascending nor descending.
fn key_in(order: Order, node: u32) -> NodeKey {
    let wide =
        u128::from(node.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    let (rank, id) = match order {
        Order::Ranks => (node.wrapping_mul(0x9E37_79B9) >> 8, 1),
        Order::Times => (0, (1_760_000_000_000 + u128::from(node % 4096 / 500)) << 80 | wide >> 48),
        Order::Both => (node.wrapping_mul(0x9E37_79B9) >> 23, u128::from(node)),
        Order::LastBits => (u32::from(node == 0), ((wide % 4096) << 12) | u128::from(node)),
        Order::Anywhere => (u32::try_from(wide >> 96).unwrap(), wide),
    };
    let rank = if matches!(order, Order::Anywhere) { u64::from(rank) << 31 } else { u64::from(rank) };
    NodeKey { rank, id: Uuid::from_u128(id) }
}

/// Members and what they should be, in one of the orders.
struct Pair {
    order: Order,
    members: Members,
    model: BTreeSet<(NodeKey, u32)>,
}

impl Pair {
    fn new(order: Order) -> Self {
        Self { order, members: Members::one(0), model: BTreeSet::from([(key_in(order, 0), 0)]) }
    }

    fn insert(&mut self, node: u32) {
        if self.model.insert((key_in(self.order, node), node)) {
            self.members.insert(node, |node| key_in(self.order, node));
        }
    }

    fn remove(&mut self, node: u32) {
        if self.model.len() > 1 && self.model.remove(&(key_in(self.order, node), node)) {
            assert!(self.members.remove(node, |node| key_in(self.order, node)));
        }
    }

    fn check(&self) {
        let expected: Vec<u32> = self.model.iter().map(|(_, node)| *node).collect();
        assert_eq!(self.members.iter().collect::<Vec<_>>(), expected, "{:?}", self.order);
        assert_eq!(usize::try_from(self.members.len()).unwrap(), expected.len());
        assert_eq!(self.members.first(), expected.first().copied());
        for place in [0, expected.len() / 2, expected.len() - 1, expected.len()] {
            assert_eq!(self.members.nth(place), expected.get(place).copied());
        }
        // From keys that are there and others, also such as are far before and behind all that are.
        let ends = [NodeKey { rank: 0, id: Uuid::nil() }, NodeKey { rank: u64::MAX, id: Uuid::max() }];
        let others = ORDERS.iter().map(|order| key_in(*order, 77));
        for from in (0..4_096).step_by(509).map(|node| key_in(self.order, node)).chain(others).chain(ends) {
            let behind: Vec<u32> = self.model.range((from, 0)..).map(|(_, node)| *node).collect();
            let found = self.members.iter_from(from, |node| key_in(self.order, node));
            assert_eq!(found.collect::<Vec<_>>(), behind, "{:?} from {from:?}", self.order);
        }
    }
}

proptest! {
    #[test]
    fn a_few_members_stay_in_order_whatever_comes_and_goes(
        order in prop::sample::select(ORDERS.as_slice()),
        steps in prop::collection::vec((0_u32..8, any::<bool>()), 1..60),
    ) {
        let mut pair = Pair::new(order);
        for (node, comes) in steps {
            if comes { pair.insert(node) } else { pair.remove(node) }
            pair.check();
        }
    }
}

#[test]
fn many_members_stay_in_order_whatever_comes_and_goes() {
    for order in ORDERS {
        let mut pair = Pair::new(order);
        // They grow to some thousand, then as many come as go, then they become few.
        for step in 0..9_000_u32 {
            let other = step.wrapping_mul(2_654_435_761) >> 20;
            match (step / 3_000, step % 3) {
                (0, _) | (1, 0) | (2, 2) => pair.insert(step % 4_096),
                (1, 1) | (2, 0) => pair.remove(other),
                _ => pair.remove(pair.model.first().unwrap().1),
            }
            if step % 97 == 0 {
                pair.check();
            }
        }
        pair.check();
        while pair.model.len() > 1 {
            let last = pair.model.last().unwrap().1;
            pair.remove(last);
        }
        pair.check();
        assert!(!pair.members.remove(pair.members.first().unwrap(), |node| key_in(order, node)));
    }
}

fn places(members: &Members) -> usize {
    members.chunks().iter().map(Chunk::places).sum()
}

#[test]
fn members_that_come_in_order_fill_their_chunks() {
    let key = |node| NodeKey { rank: u64::from(node), id: Uuid::nil() };
    let mut members = Members::one(0);
    (1..100_000).for_each(|node| members.insert(node, key));
    assert!(places(&members) < 101_000, "{}", places(&members));
}

#[test]
fn members_of_whom_most_have_gone_take_little_room() {
    for order in ORDERS {
        let mut pair = Pair::new(order);
        (1..4_096).for_each(|node| pair.insert(node));
        let most = places(&pair.members);
        (1..4_096).filter(|node| node % 32 != 0).for_each(|node| pair.remove(node));
        pair.check();
        let chunks = pair.members.chunks().len();
        assert!(
            chunks <= 4 && places(&pair.members) <= most / 16,
            "{chunks}, {} of {most}",
            places(&pair.members)
        );
    }
}

#[test]
fn a_key_is_looked_up_only_where_marks_are_alike() {
    // One is far from all others: with it their keys begin alike for longer than a mark is long.
    let key = |node: u32| {
        let rank = u64::from(node.wrapping_mul(0x9E37_79B9) >> 8);
        NodeKey { rank: if node == 0 { u64::MAX } else { rank }, id: Uuid::nil() }
    };
    let mut members = Members::one(0);
    (1..20_000).for_each(|node| members.insert(node, key));
    let looked = std::cell::Cell::new(0);
    let counted = |node| {
        looked.set(looked.get() + 1);
        key(node)
    };
    for node in 20_000..30_000 {
        members.insert(node, counted);
        members.remove(node - 10_000, counted);
    }
    // Its own key each time; apart from that to make marks anew, where a chunk is split or two become one.
    assert!(looked.get() < 20_000 * 3, "{}", looked.get());
}
