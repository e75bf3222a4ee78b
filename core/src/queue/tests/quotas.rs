//! Quotas: a table of rules, and the tree against the independent form of its rule.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::{
    InvalidTree, Job, QueueMisfit, QueueNode, QueuePolicy, QueueTree, Quota, Resource, Resources, Settings,
};
use super::kit::{ALL, at, granted, id, job, queue, siblings, submit};

fn gpus_free(tree: &QueueTree, queue: u128) -> i64 {
    tree.available(id(queue)).gpu_milli
}

fn charged(mut tree: QueueTree, charges: &[(u128, i64)]) -> QueueTree {
    for (queue, gpus) in charges {
        tree.charge(id(*queue), Resources::gpus_milli(*gpus));
    }
    tree
}

/// Two queues of ten under a root, the first with such a quota.
fn pair(first: Quota) -> QueueTree {
    let mut tree = siblings(&[0, 0]);
    tree.set(QueueNode::under(id(1), ALL).gpus(first)).unwrap();
    tree.set(QueueNode::under(id(2), ALL).gpus(Quota::nominal(10))).unwrap();
    tree
}

#[test]
fn a_queue_has_its_own_and_what_others_lend() {
    let ten = Quota::nominal(10);
    for (quota, charges, first, second) in [
        (ten, &[][..], 20, 20),
        (ten, &[(1, 15)], 5, 5),
        (ten, &[(1, 15), (2, 5)], 0, 0),
        // Never more than its own.
        (Quota::hard(10), &[], 10, 20),
        (Quota::hard(10), &[(2, 15)], 5, 5),
        (ten.borrowing(3), &[], 13, 20),
        (ten.borrowing(3), &[(1, 12)], 1, 8),
        // Only so much of its own for others.
        (ten.lending(4), &[], 20, 14),
        (ten.lending(4), &[(2, 14)], 6, 0),
        (ten.lending(4), &[(1, 6)], 14, 14),
        (ten.lending(4), &[(1, 7)], 13, 13),
        (ten.lending(0).borrowing(0), &[(2, 10)], 10, 0),
        // Without a quota of its own it has what others leave.
        (Quota::default(), &[(2, 4)], 6, 6),
        (Quota::nominal(-5), &[], 10, 10),
    ] {
        let tree = charged(pair(quota), charges);
        assert_eq!((gpus_free(&tree, 1), gpus_free(&tree, 2)), (first, second), "{quota:?} {charges:?}");
    }
}

#[test]
fn a_refusal_says_what_is_lacking_at_which_level() {
    let tree = charged(pair(Quota::nominal(10).borrowing(3)), &[(1, 12)]);
    let asked = |queue, gpus| tree.fits(id(queue), Resources::gpus_milli(gpus));
    assert_eq!(asked(1, 1), Ok(()));
    let misfit = |queue, at, available, asked| {
        Err(QueueMisfit { queue: id(queue), at, resource: Resource::GpuMilli, available, asked })
    };
    assert_eq!(asked(1, 2), misfit(1, id(1), 1, 2));
    assert_eq!(asked(2, 9), misfit(2, ALL, 8, 9));
    assert_eq!(asked(9, 1), misfit(9, id(9), 0, 1));
    assert_eq!(
        asked(1, 2).unwrap_err().to_string(),
        format!("2 gpu milli asked, 1 available to queue {} because of queue {0}", id(1))
    );
}

#[test]
fn one_queue_without_limits_admits_everything() {
    let tree = QueueTree::single(ALL);
    let most = Resources::splat(1 << 60);
    assert_eq!(tree.fits(ALL, most), Ok(()));
    assert!(!tree.is_borrowing_with(ALL, most));
    assert_eq!(tree.touched(ALL, most).len(), 1);
}

#[test]
fn a_quota_may_be_lowered_below_what_is_used() {
    let mut tree = charged(pair(Quota::nominal(10)), &[(1, 15)]);
    tree.set(QueueNode::under(id(1), ALL).gpus(Quota::hard(2))).unwrap();
    assert_eq!((gpus_free(&tree, 1), gpus_free(&tree, 2)), (-13, -3));
    assert!(tree.is_borrowing(id(1)) && !tree.is_borrowing(id(2)));
    // What is not asked for is not looked at.
    assert_eq!(tree.fits(id(1), Resources { cpu_milli: 5, ..Resources::ZERO }), Ok(()));
    assert_eq!(tree.fits(id(1), Resources::ZERO), Ok(()));
    // What a queue keeps for itself is its own even now.
    tree.set(QueueNode::under(id(2), ALL).gpus(Quota::nominal(10).lending(4))).unwrap();
    assert_eq!(gpus_free(&tree, 2), 6);
    tree.release(id(1), Resources::gpus_milli(15));
    assert_eq!(gpus_free(&tree, 1), 2);
}

#[test]
fn a_tree_stays_a_tree() {
    let mut tree = siblings(&[1, 1]);
    let under = |child, parent| QueueNode::under(id(child), id(parent));
    assert_eq!(tree.set(under(3, 9)), Err(InvalidTree::Unknown { queue: id(9) }));
    assert_eq!(tree.set(under(1, 1)), Err(InvalidTree::Depth { queue: id(1) }));
    tree.set(under(3, 1)).unwrap();
    assert_eq!(tree.set(under(1, 3)), Err(InvalidTree::Depth { queue: id(1) }));
    assert_eq!(tree.remove(id(1)), Err(InvalidTree::HasChildren { queue: id(1) }));
    tree.charge(id(3), Resources::gpus_milli(1));
    assert_eq!(tree.remove(id(3)), Err(InvalidTree::InUse { queue: id(3) }));
    // Moved with what is charged.
    tree.set(under(3, 2)).unwrap();
    assert_eq!((tree.held(id(1)).gpu_milli, tree.held(id(2)).gpu_milli), (0, 1));
    assert_eq!(tree.remove(id(1)), Ok(()));
    for level in 4..=16 {
        tree.set(under(level, level - 1)).unwrap();
    }
    assert_eq!(tree.set(under(17, 16)), Err(InvalidTree::Depth { queue: id(17) }));
    tree.set(QueueNode::new(id(21))).unwrap();
    tree.set(under(20, 21)).unwrap();
    assert_eq!(tree.set(under(2, 20)), Err(InvalidTree::Depth { queue: id(2) }));
}

#[test]
fn a_queue_beyond_its_quota_starts_nothing_whatever_is_free() {
    let mut queue = queue(Settings::new(QueuePolicy::Backfill), siblings(&[2, 4]), 4);
    let of = |queue, number, gpus| Job { queue: id(queue), ..job(number, gpus) };
    submit(&mut queue, [of(1, 1, 5), of(1, 2, 2), of(2, 3, 1)]);
    // Five of six that both have, then one is left.
    assert_eq!(granted(&queue.tick(at(9))), [1, 3]);
}

#[test]
fn a_queue_takes_back_only_of_what_it_has_a_quota() {
    let (mut tree, mut second) =
        (siblings(&[8, 8]), QueueNode::under(id(2), ALL).gpus(Quota::nominal(8_000)));
    second.quotas.cpu_milli = Quota::nominal(0);
    tree.set(second).unwrap();
    let asked = Resources { gpu_milli: 4_000, cpu_milli: 4_000, memory_mib: 0 };
    tree.charge(id(2), asked);
    // The second borrows cores, of which the first has no quota; then GPUs.
    assert_eq!(tree.may_reclaim(id(1), asked, id(2)), None);
    tree.charge(id(2), Resources::gpus_milli(5_000));
    assert_eq!(tree.may_reclaim(id(1), asked, id(2)), Some(Resource::GpuMilli));
    assert_eq!(tree.may_reclaim(id(1), Resources::gpus_milli(9_000), id(2)), None);
}

/// A tree as a table: parent, nominal, borrowing and lending of each queue, and what is charged to it.
#[derive(Debug, Clone)]
struct Row {
    parent: usize,
    quota: Quota,
    charged: i64,
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let limit = || prop::option::of(0_i64..8);
    let row = (any::<prop::sample::Index>(), limit(), limit(), limit(), 0_i64..12);
    prop::collection::vec(row, 1..8).prop_map(|rows| {
        let row = |(at, (parent, nominal, borrowing, lending, charged)): (usize, _)| {
            let parent: prop::sample::Index = parent;
            Row { parent: parent.index(at.max(1)), quota: Quota { nominal, borrowing, lending }, charged }
        };
        rows.into_iter().enumerate().map(row).collect()
    })
}

fn name(at: usize) -> Uuid {
    id(u128::try_from(at).unwrap() + 1)
}

fn tree_of(rows: &[Row]) -> QueueTree {
    let mut tree = QueueTree::new();
    for (at, row) in rows.iter().enumerate() {
        let node =
            if at == 0 { QueueNode::new(name(0)) } else { QueueNode::under(name(at), name(row.parent)) };
        tree.set(node.gpus(row.quota)).unwrap();
    }
    tree
}

/// T of the independent form: own quota less what is charged, and of each queue below its T as far as it lends.
fn t(rows: &[Row], at: usize) -> i128 {
    let none = if at == 0 { i128::from(i64::MAX) } else { 0 };
    let own = rows[at].quota.nominal.map_or(none, i128::from) - i128::from(rows[at].charged);
    let below = (1..rows.len()).filter(|child| rows[*child].parent == at);
    own + below
        .map(|child| t(rows, child).min(rows[child].quota.lending.map_or(i128::MAX, i128::from)))
        .sum::<i128>()
}

fn allowed(rows: &[Row], at: usize) -> bool {
    let borrowing = if at == 0 { Some(0) } else { rows[at].quota.borrowing };
    borrowing.is_none_or(|limit| t(rows, at) >= -i128::from(limit))
}

fn usages(tree: &QueueTree) -> Vec<(Resources, Resources)> {
    tree.iter().map(|node| (tree.usage(node.id), tree.held(node.id))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_charge_fits_exactly_if_no_queue_that_it_touches_borrows_too_much(
        rows in rows(),
        queue in any::<prop::sample::Index>(),
        asked in 1_i64..10,
    ) {
        let queue = queue.index(rows.len());
        let mut tree = tree_of(&rows);
        for (at, row) in rows.iter().enumerate() {
            tree.charge(name(at), Resources::gpus_milli(row.charged));
        }
        let mut after = rows.clone();
        after[queue].charged += asked;
        let touched = |at: &usize| t(&rows, *at) != t(&after, *at);
        let expected = (0..rows.len()).filter(touched).all(|at| allowed(&after, at));
        let amount = Resources::gpus_milli(asked);
        prop_assert_eq!(tree.fits(name(queue), amount).is_ok(), expected, "{:?}", tree.fits(name(queue), amount));
        // It touches the queues that it says, by as much.
        let said = tree.touched(name(queue), amount);
        let ids: Vec<_> = (0..rows.len()).filter(touched).map(name).collect();
        let mut said_ids: Vec<_> = said.iter().map(|charge| charge.queue).collect();
        said_ids.sort_unstable();
        prop_assert_eq!(said_ids, ids);
        let before = tree.clone();
        tree.charge(name(queue), amount);
        for node in before.iter() {
            let added = said.iter().find(|charge| charge.queue == node.id).map(|charge| charge.amount);
            prop_assert_eq!(tree.usage(node.id).minus(before.usage(node.id)), added.unwrap_or_default());
        }
    }

    #[test]
    fn what_is_charged_and_released_in_any_order_leaves_no_trace(
        rows in rows(),
        charges in prop::collection::vec((any::<prop::sample::Index>(), 0_i64..9), 1..20),
        order in prop::collection::vec(any::<prop::sample::Index>(), 20),
    ) {
        let fresh = tree_of(&rows);
        let mut tree = fresh.clone();
        let mut open: Vec<_> = charges
            .into_iter()
            .map(|(queue, gpus)| (name(queue.index(rows.len())), Resources::gpus_milli(gpus)))
            .collect();
        for (queue, amount) in &open {
            tree.charge(*queue, *amount);
        }
        for next in order.iter().take(open.len()) {
            let (queue, amount) = open.swap_remove(next.index(open.len()));
            tree.release(queue, amount);
        }
        prop_assert_eq!(usages(&tree), usages(&fresh));
    }

    #[test]
    fn a_tree_that_changes_while_it_is_charged_is_the_tree_that_it_became(
        before in rows(),
        changed in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(0_i64..8), prop::option::of(0_i64..8)), 1..4),
    ) {
        let mut rows = before;
        let mut tree = tree_of(&rows);
        for (at, row) in rows.iter().enumerate() {
            tree.charge(name(at), Resources::gpus_milli(row.charged));
        }
        for (at, nominal, lending) in changed {
            let at = at.index(rows.len());
            rows[at].quota = Quota { nominal, lending, ..rows[at].quota };
            let node = tree.get(name(at)).unwrap().clone();
            tree.set(node.gpus(rows[at].quota)).unwrap();
        }
        let mut fresh = tree_of(&rows);
        for (at, row) in rows.iter().enumerate() {
            fresh.charge(name(at), Resources::gpus_milli(row.charged));
        }
        prop_assert_eq!(usages(&tree), usages(&fresh));
        for at in 0..rows.len() {
            prop_assert_eq!(tree.available(name(at)), fresh.available(name(at)));
        }
    }
}
