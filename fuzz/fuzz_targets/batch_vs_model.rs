//! Random batches on a redb store and on a plain model: answers, rows, scans and feed are the same.
#![no_main]

use apportion_fuzz::script::Script;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: Script| apportion_fuzz::compare::run(&script));
