//! Plugins for forge in Rust, without the standard library.
//!
//! ```ignore
//! #![no_std]
//! use forge_guest::*;
//!
//! manifest!("name = \"mine\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[entries]]\nname = \"mine\"\n");
//! marker!(forge_sampler_1);
//! panic_traps!();
//!
//! #[no_mangle]
//! extern "C" fn forge_init(_frame: &mut Init) -> i32 { OK }
//!
//! #[no_mangle]
//! extern "C" fn sampler_mine(frame: &mut Rows) -> i32 {
//!     for row in frame.rows() {
//!         if row.flags & ROW_FLAG_WHOLE != 0 { /* ids are not there: candidate i is token i */ }
//!     }
//!     OK
//! }
//! ```
//!
//! `abi` is generated from the ABI's definition: records with public fields, and constants. What a record points to is
//! reached through [`Ptr`] and [`Span`], or through the methods here. The host keeps every pointer of a frame inside the
//! arena and valid for the call; that promise is what the unsafe code of this crate rests on.

#![no_std]

mod abi;
mod random;

pub use abi::*;
pub use random::{philox, uniform};

use core::marker::PhantomData;

/// An address in the guest's memory; 0 means absent.
#[repr(transparent)]
pub struct Ptr<T>(u32, PhantomData<*mut T>);

impl<T> Ptr<T> {
    pub fn is_null(&self) -> bool {
        self.0 == 0
    }

    pub fn as_ptr(&self) -> *mut T {
        self.0 as usize as *mut T
    }

    /// The `n` elements that lie here; none where the address is 0.
    ///
    /// # Safety
    /// The frame must say that there are so many, and nothing else may hold a reference to them.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, n: u32) -> &mut [T] {
        if self.is_null() {
            return &mut [];
        }
        core::slice::from_raw_parts_mut(self.as_ptr(), n as usize)
    }
}

/// An address and a number of elements.
#[repr(C)]
pub struct Span<T> {
    pub ptr: Ptr<T>,
    pub len: u32,
}

impl<T> Span<T> {
    /// The elements, as the host wrote them.
    pub fn get(&self) -> &[T] {
        unsafe { self.ptr.slice(self.len) }
    }
}

impl Init {
    /// The vocabulary, for tokenizers and guests that were granted it.
    pub fn vocab(&self) -> Option<&Vocab> {
        unsafe { self.vocab.slice(1).first() }
    }
}

impl Vocab {
    /// The bytes that a token adds to a text.
    pub fn piece(&self, id: u32) -> &[u8] {
        let at = unsafe { self.piece_offsets.slice(self.n + 1) };
        &self.pieces.get()[at[id as usize] as usize..at[id as usize + 1] as usize]
    }
}

impl Rows {
    pub fn rows(&mut self) -> &mut [Row] {
        unsafe { self.rows.slice(self.n_rows) }
    }
}

impl Row {
    /// The candidates: their logits and, where the table is not whole, their ids.
    pub fn table(&mut self) -> (&mut [f32], &mut [u32]) {
        unsafe { (self.logits.slice(self.n), self.ids.slice(self.n)) }
    }

    /// Whether the table is the whole row: candidate i is token i, and ids are not there yet.
    pub fn whole(&self) -> bool {
        self.flags & ROW_FLAG_WHOLE != 0
    }

    /// Keeps the candidates that a question, asked with id and logit, answers with true, in their order.
    pub fn keep(&mut self, mut question: impl FnMut(u32, f32) -> bool) {
        let whole = self.whole();
        let (logits, ids) = self.table();
        let mut kept = 0;
        for i in 0..logits.len() {
            let (id, logit) = (if whole { i as u32 } else { ids[i] }, logits[i]);
            if question(id, logit) {
                ids[kept] = id;
                logits[kept] = logit;
                kept += 1;
            }
        }
        self.n = kept as u32;
        self.flags &= !ROW_FLAG_WHOLE;
    }

    /// Setting number `slot` of the row, in the manifest's order.
    pub fn param(&self, slot: usize) -> f64 {
        self.params.get()[slot]
    }

    /// The next number in [0, 1) of the row's generator.
    pub fn draw(&mut self) -> f64 {
        self.draw += 1;
        uniform(self.seed, self.draw - 1)
    }
}

impl Masks {
    pub fn rows(&mut self) -> &mut [MaskRow] {
        unsafe { self.rows.slice(self.n_rows) }
    }
}

impl MaskRow {
    /// Allows a token. The bits of the mask are the guest's to clear first: `mask(n_vocab).fill(0)`.
    pub fn allow(&mut self, id: u32) {
        unsafe { self.mask.slice(id / 32 + 1)[id as usize / 32] |= 1 << (id % 32) }
    }

    /// The words of the mask.
    pub fn mask(&mut self, n_vocab: u32) -> &mut [u32] {
        unsafe { self.mask.slice((n_vocab + 31) / 32) }
    }
}

impl Route {
    /// The scores of a token, and where its experts and their weights go.
    pub fn token(&mut self, i: u32) -> (&[f32], &mut [u32], &mut [f32]) {
        let (n, k, i) = (self.n_experts as usize, self.top_k as usize, i as usize);
        unsafe {
            (
                &self.scores.slice(self.n_tokens * self.n_experts)[i * n..(i + 1) * n],
                &mut self.ids.slice(self.n_tokens * self.top_k)[i * k..(i + 1) * k],
                &mut self.weights.slice(self.n_tokens * self.top_k)[i * k..(i + 1) * k],
            )
        }
    }
}

/// Text of a string setting: the slot's eight bytes are an address and a length.
pub fn text(slot: &f64) -> &str {
    let bits = slot.to_bits();
    let (ptr, len) = (bits as u32 as usize as *const u8, (bits >> 32) as usize);
    if len == 0 {
        return "";
    }
    // The host passes UTF-8 only. The bytes live as long as the slot that points to them.
    unsafe { core::str::from_utf8_unchecked(core::slice::from_raw_parts(ptr, len)) }
}

/// Writes a sentence for the user into the frame's error slot and gives the status back.
pub fn fail(head: &mut Head, status: i32, sentence: &str) -> i32 {
    let slot = unsafe { head.error_ptr.slice(head.error_cap) };
    let n = sentence.len().min(slot.len());
    slot[..n].copy_from_slice(&sentence.as_bytes()[..n]);
    head.error_len = n as u32;
    status
}

/// The arena: fresh pages at the end of memory.
#[cfg(target_arch = "wasm32")]
#[no_mangle]
extern "C" fn forge_arena(bytes: u32) -> u32 {
    let at = core::arch::wasm32::memory_grow(0, (bytes as usize + 65535) / 65536);
    if at == usize::MAX {
        return 0;
    }
    (at * 65536) as u32
}

/// Puts a text into the custom section that says what the plugin is.
#[macro_export]
macro_rules! manifest {
    ($text:expr) => {
        const _: () = {
            const TEXT: &str = $text;
            #[used]
            #[link_section = "forge.abi"]
            static MANIFEST: [u8; TEXT.len()] = $crate::bytes(TEXT);
        };
    };
}

#[doc(hidden)]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = text.as_bytes()[i];
        i += 1;
    }
    out
}

/// The marker export of a kind: `marker!(forge_sampler_1);`
#[macro_export]
macro_rules! marker {
    ($name:ident) => {
        #[no_mangle]
        extern "C" fn $name() {}
    };
}

/// A panic ends the call with a trap. Not for guests that use std, which has a handler of its own.
#[macro_export]
macro_rules! panic_traps {
    () => {
        #[panic_handler]
        fn panic(_: &core::panic::PanicInfo) -> ! {
            core::arch::wasm32::unreachable()
        }
    };
}
