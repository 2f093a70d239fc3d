//! margin keeps the candidates whose logit is at most `margin` below the best one's.
#![no_std]

use forge_guest::*;

manifest!(
    r#"name = "margin"
version = "1.0"
kind = "sampler"
abi = "1.0"
[[config]]
name = "margin"
type = "f32"
default = 5.0
min = 0.0
max = 1000.0
doc = "how far below the best"
[[entries]]
name = "margin"
config = ["margin"]
"#
);
marker!(forge_sampler_1);
panic_traps!();

#[no_mangle]
extern "C" fn forge_init(_: &mut Init) -> i32 {
    OK
}

#[no_mangle]
extern "C" fn sampler_margin(frame: &mut Rows) -> i32 {
    for row in frame.rows() {
        let best = row.table().0.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let least = best - row.param(0) as f32;
        row.keep(|_, logit| !(logit < least));
    }
    OK
}
