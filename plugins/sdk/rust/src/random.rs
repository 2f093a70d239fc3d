//! The ABI's counter-based generator, Philox4x32-10 of Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

/// The four random words of a key and a counter.
pub fn philox(mut key: [u32; 2], mut c: [u32; 4]) -> [u32; 4] {
    for _ in 0..10 {
        let a = 0xD2511F53u64 * c[0] as u64;
        let b = 0xCD9E8D57u64 * c[2] as u64;
        c = [(b >> 32) as u32 ^ c[1] ^ key[0], b as u32, (a >> 32) as u32 ^ c[3] ^ key[1], a as u32];
        key = [key[0].wrapping_add(0x9E3779B9), key[1].wrapping_add(0xBB67AE85)];
    }
    c
}

/// Draw number `draw` of the stream that `seed` names: a multiple of 2^-24 in [0, 1).
pub fn uniform(seed: u64, draw: u64) -> f64 {
    let words = philox([seed as u32, (seed >> 32) as u32], [draw as u32, (draw >> 32) as u32, 0, 0]);
    (words[0] >> 8) as f64 / 16777216.0
}
