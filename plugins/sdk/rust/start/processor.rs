//! NAME: a token is made less likely right after itself, by `penalty`.
#![no_std]

use forge_guest::*;

manifest!(
    r#"name = "NAME"
version = "0.1"
kind = "processor"
abi = "1.0"
grants = ["history"]
[[config]]
name = "penalty"
type = "f32"
default = 2.0
min = 0.0
max = 1000.0
doc = "subtracted from the logit of the newest token"
[[entries]]
name = "NAME"
config = ["penalty"]
neutral = { penalty = 0.0 }
"#
);
marker!(forge_processor_1);
panic_traps!();

#[no_mangle]
extern "C" fn forge_init(frame: &mut Init) -> i32 {
    frame.accepted = frame.offered & CAP_HISTORY;
    if frame.accepted == 0 {
        return fail(&mut frame.head, ERR_CONFIG, "it looks at the tokens so far: grant it history");
    }
    OK
}

/// A processor sees whole rows: logit i is that of token i.
#[no_mangle]
extern "C" fn processor_NAME(frame: &mut Rows) -> i32 {
    for row in frame.rows() {
        let Some(newest) = row.history.get().last().map(|id| *id as usize) else { continue };
        let penalty = row.param(0) as f32;
        if let Some(logit) = row.table().0.get_mut(newest) {
            *logit -= penalty;
        }
    }
    OK
}
