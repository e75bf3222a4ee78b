//! Listing by pages, and the log.

use std::time::Duration;

use super::{World, assert_invalid, listed};
use crate::entity::{Log, LogFilter, PageRequest, TestAFilter, TestB, TestBFilter, UserFilter};
use crate::store::MAX_PAGE;

pub(super) async fn pages_join_in_the_order_of_ids(world: &World) {
    let fixtures = world.repositories.test_bs();
    let kept = world.kept().await;
    let mut made = vec![kept.test_b];
    for _ in 0..5 {
        let child = TestB { test_a_id: Some(kept.test_a.id), ..world.bare().test_b };
        made.push(fixtures.create(child).await.unwrap().value);
    }
    let filter = TestBFilter { test_a_id: Some(kept.test_a.id) };
    assert_eq!(listed!(fixtures, filter), made);
    let everything = listed!(fixtures, TestBFilter::default());
    assert!(everything.is_sorted_by_key(|child| child.id));
    assert!(made.iter().all(|child| everything.contains(child)));

    let titled = TestAFilter { title: kept.test_a.title.clone() };
    let parents = listed!(world.repositories.test_as(), titled);
    assert!(parents.contains(&kept.test_a));
    assert!(parents.iter().all(|parent| parent.title == titled.title));

    let too_long = PageRequest::default().limit(MAX_PAGE + 1);
    assert_invalid(fixtures.list(filter.clone(), too_long).await, "limit");
    let page = fixtures.list(filter, PageRequest::default().limit(2)).await.unwrap();
    let foreign = PageRequest::after(page.next.unwrap());
    assert_invalid(world.repositories.users().list(UserFilter::default(), foreign).await, "after");
}

pub(super) async fn the_log_is_read_newest_first(world: &World) {
    let logs = world.repositories.logs();
    let subject_id = Some(world.bare().instance.id.uuid());
    let line = |seconds| {
        let log = world.bare().log;
        Log { subject_id, timestamp: log.timestamp.plus(Duration::from_secs(seconds)), ..log }
    };
    let [first, second, third] = [line(0), line(1), line(2)];
    for line in [&first, &second, &third] {
        logs.append(line.clone()).await.unwrap();
    }
    assert_eq!(logs.require(first.id).await.unwrap().value, first);
    let about = LogFilter { subject_id, ..LogFilter::default() };
    assert_eq!(listed!(logs, about), [third.clone(), second.clone(), first.clone()]);

    let (from, until) = (Some(second.timestamp), Some(third.timestamp));
    assert_eq!(
        listed!(logs, LogFilter { subject_id, from, ..LogFilter::default() }),
        [third.clone(), second.clone()]
    );
    assert_eq!(
        listed!(logs, LogFilter { subject_id, until, ..LogFilter::default() }),
        [second.clone(), first.clone()]
    );
    let between = listed!(logs, LogFilter { from, until, ..LogFilter::default() });
    assert!(between.contains(&second));
    assert!(between.iter().all(|line| (second.timestamp..third.timestamp).contains(&line.timestamp)));
    let everything = listed!(logs, LogFilter::default());
    assert!([first, second, third].iter().all(|line| everything.contains(line)));
    assert!(everything.is_sorted_by(|newer, older| newer.timestamp >= older.timestamp));
}
