//! The reference store keeps the contract, and the contract has no sentence without a case.
#![cfg(feature = "conformance")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use apportion::conformance::{Harness, cases};
use apportion::store::memory::MemoryStore;
use apportion::store::{Store, Table};
use apportion::time::Clock;

struct Memory;

#[async_trait::async_trait]
impl Harness for Memory {
    async fn open(&self, tables: &[&'static Table], clock: Arc<dyn Clock>) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new(tables, clock).unwrap())
    }
}

apportion::conformance!(|| Memory);

/// The names in the list of the contract: those before the colon of each item, in back-quotes.
fn sentences() -> Vec<&'static str> {
    let contract = include_str!("../src/store/contract.rs");
    let list = contract.split("/// # Contract").nth(1).unwrap();
    let list = list.split("pub trait Store").next().unwrap();
    let items = list.lines().filter_map(|line| line.strip_prefix("/// - "));
    items.flat_map(|item| item.split(':').next().unwrap().split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_sentence_of_the_contract_has_a_case_and_every_case_a_sentence() {
    let sentences = sentences();
    let names: Vec<_> = cases().iter().map(apportion::conformance::Case::name).collect();
    let sets = |names: &[&'static str]| names.iter().copied().collect::<BTreeSet<_>>();
    assert_eq!(sets(&sentences), sets(&names));
    assert_eq!(names.len(), sets(&names).len(), "no name is used twice");
    assert_eq!(sentences, names, "the suite follows the order of the contract");
}
