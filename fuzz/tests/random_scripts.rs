//! A few hundred random scripts without a fuzzer, for any toolchain.

use apportion_fuzz::compare;
use apportion_fuzz::script::Script;
use arbitrary::{Arbitrary as _, Unstructured};

/// `SplitMix64` (Steele, Lea, Flood 2014), the lowest byte.
fn byte(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_le_bytes()[0]
}

#[test]
fn store_and_model_agree_on_random_scripts() {
    let mut state = 1;
    for round in 0..300 {
        let bytes: Vec<u8> = (0..100 + round * 2).map(|_| byte(&mut state)).collect();
        let script = Script::arbitrary(&mut Unstructured::new(&bytes)).unwrap();
        compare::run(&script);
    }
}
