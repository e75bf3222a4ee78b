//! Eight processes race: of what there is too little of, exactly what there is, is given out, at every isolation.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../sql/tests/racing/mod.rs"]
mod racing;

use std::sync::Arc;

use apportion::store::Store;
use apportion_postgres::{Isolation, PostgresOptions, PostgresStore};
use apportion_throwaway_postgres::ThrowawayPostgres;

const ISOLATIONS: [(&str, Isolation); 3] = [
    ("read_committed", Isolation::ReadCommitted),
    ("repeatable_read", Isolation::RepeatableRead),
    ("serializable", Isolation::Serializable),
];

/// Opens what an isolation and an address name.
async fn open(address: &str) -> Arc<dyn Store> {
    let (name, url) = address.split_once(' ').unwrap();
    let isolation = ISOLATIONS.into_iter().find(|(known, _)| *known == name).unwrap().1;
    let options = PostgresOptions::default().isolation(isolation).max_connections(4);
    let opened = PostgresStore::connect_with(url, &racing::TABLES, racing::clock(), options).await;
    Arc::new(opened.unwrap())
}

fn main() {
    let runtime = racing::runtime();
    if let Some(address) = racing::address() {
        let store = runtime.block_on(open(&address));
        return racing::be_a_child(&runtime, &store);
    }
    for (name, _) in ISOLATIONS {
        let address = format!("{name} {}", ThrowawayPostgres::shared().unwrap().fresh_database().unwrap());
        let store = runtime.block_on(open(&address));
        racing::race(&runtime, name, &address, &store);
    }
}
