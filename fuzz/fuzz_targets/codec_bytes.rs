//! Random bytes as everything that a file holds: they are read or refused, and what is read is written again.
#![no_main]

use apportion::store::Schema;
use apportion_fuzz::tables::TABLES;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let schema = Schema::new(&TABLES).unwrap();
    assert!(apportion_redb::testing::decode(&schema, bytes).is_some());
});
