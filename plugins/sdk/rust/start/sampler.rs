//! NAME: with the probability `chance` the likeliest candidate is left out, so that the text takes a turn now and then. It stays
//! where it is the only one that is possible.
#![no_std]

use forge_guest::*;

manifest!(
    r#"name = "NAME"
version = "0.1"
kind = "sampler"
abi = "1.0"
[[config]]
name = "chance"
type = "f32"
default = 0.1
min = 0.0
max = 1.0
doc = "how often the likeliest candidate is left out"
[[entries]]
name = "NAME"
config = ["chance"]
neutral = { chance = 0.0 }
"#
);
marker!(forge_sampler_1);
panic_traps!();

#[no_mangle]
extern "C" fn forge_init(_: &mut Init) -> i32 {
    OK
}

/// Rows of many sequences come in one call. What depends on a row alone needs no state.
#[no_mangle]
extern "C" fn sampler_NAME(frame: &mut Rows) -> i32 {
    for row in frame.rows() {
        let logits = row.table().0;
        let possible = logits.iter().filter(|x| **x > f32::NEG_INFINITY).count();
        let mut best = 0;
        for i in 0..logits.len() {
            if logits[i] > logits[best] {
                best = i;
            }
        }
        // Chance comes from the row's own generator: the same seed gives the same text.
        let u = row.draw();
        if possible < 2 || !(u < row.param(0)) {
            continue;
        }
        let mut i = 0;
        row.keep(|_, _| {
            i += 1;
            i - 1 != best
        });
    }
    OK
}
