//! The door to the host: frames in linear memory, as abi/v1.toml lays them out. All of the crate's unsafe code is here.

use crate::pieces::Pieces;
use crate::prompt::{ChatTemplate, Limits};
use std::cell::RefCell;

/// What the module says about itself, read by the host before it runs.
#[used]
#[link_section = "forge.abi"]
static MANIFEST: [u8; MANIFEST_TEXT.len()] = *MANIFEST_TEXT;
const MANIFEST_TEXT: &[u8; 64] = b"name = \"template\"\nversion = \"1.0\"\nkind = \"template\"\nabi = \"1.0\"\n";

const MAJOR: u32 = 1;
const PAGE: usize = 65536;

// Statuses.
const OK: i32 = 0;
const ERR_ABI: i32 = -1;
const ERR_ARG: i32 = -3;
const ERR_STATE: i32 = -4;

// Bits of the text frame's flags.
const FIRST: u32 = 1;
const LAST: u32 = 2;

/// The frame of a call: a pointer into linear memory and the bytes that the host filled.
struct Frame {
    at: *mut u8,
    size: usize,
}

// Offsets of fields.
const HEAD_SIZE: usize = 0;
const HEAD_ERROR_CAP: usize = 4;
const HEAD_ERROR_PTR: usize = 8;
const HEAD_ERROR_LEN: usize = 12;
const HEAD_BYTES: usize = 16;
const INIT_MAJOR: usize = 16;
const INIT_ACCEPTED: usize = 32;
const INIT_TEXT: usize = 60;
const INIT_BOS: usize = 68;
const INIT_EOS: usize = 76;
const INIT_BYTES: usize = 84;
const TEXT_FLAGS: usize = 16;
const TEXT_INPUT: usize = 20;
const TEXT_CONSUMED: usize = 28;
const TEXT_OUTPUT: usize = 32;
const TEXT_OUTPUT_CAP: usize = 36;
const TEXT_OUTPUT_LEN: usize = 40;
const TEXT_MORE: usize = 44;
const TEXT_NOW: usize = 64;
const TEXT_BYTES: usize = 72;

impl Frame {
    /// The frame at a place that the host gave. Nothing if it is smaller than the guest needs.
    ///
    /// # Safety
    /// The host keeps the frame and what it points to within the arena, apart from the guest's own memory, and
    /// unchanged during the call.
    unsafe fn at(place: u32, needs: usize) -> Option<Frame> {
        let mut frame = Frame { at: place as usize as *mut u8, size: HEAD_BYTES };
        frame.size = frame.u32(HEAD_SIZE) as usize;
        (frame.size >= needs).then_some(frame)
    }

    unsafe fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.at.add(offset).cast::<[u8; N]>().read_unaligned()
    }

    unsafe fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }

    unsafe fn i64(&self, offset: usize) -> i64 {
        i64::from_le_bytes(self.bytes(offset))
    }

    unsafe fn set_u32(&self, offset: usize, value: usize) {
        self.at.add(offset).cast::<[u8; 4]>().write_unaligned((value as u32).to_le_bytes());
    }

    /// The bytes of a span, a pointer and a length.
    unsafe fn span(&self, offset: usize) -> &[u8] {
        match self.u32(offset + 4) as usize {
            0 => &[],
            length => std::slice::from_raw_parts(self.u32(offset) as usize as *const u8, length),
        }
    }

    /// Room for bytes: a pointer and, elsewhere, how many fit.
    #[allow(clippy::mut_from_ref)] // it is the host's memory, not the frame's
    unsafe fn room(&self, pointer: usize, capacity: usize) -> &mut [u8] {
        match self.u32(capacity) as usize {
            0 => &mut [],
            length => std::slice::from_raw_parts_mut(self.u32(pointer) as usize as *mut u8, length),
        }
    }

    /// Writes as much of the sentence as the error slot holds, whole characters only.
    unsafe fn fail(&self, status: i32, sentence: &str) -> i32 {
        let slot = self.room(HEAD_ERROR_PTR, HEAD_ERROR_CAP);
        let mut length = sentence.len().min(slot.len());
        while !sentence.is_char_boundary(length) {
            length -= 1;
        }
        slot[..length].copy_from_slice(&sentence.as_bytes()[..length]);
        self.set_u32(HEAD_ERROR_LEN, length);
        status
    }
}

#[derive(Default)]
struct Guest {
    template: Option<ChatTemplate>,
    pieces: Pieces,
}

thread_local! {
    static GUEST: RefCell<Guest> = RefCell::default();
}

/// Marks the kind; never called.
#[export_name = "forge_template_1"]
extern "C" fn marker() {}

/// Gives `bytes` of fresh memory at the end of linear memory, or 0.
#[export_name = "forge_arena"]
extern "C" fn arena(bytes: u32) -> u32 {
    let pages = (bytes as usize).div_ceil(PAGE);
    match core::arch::wasm32::memory_grow(0, pages) {
        usize::MAX => 0,
        page => (page * PAGE) as u32,
    }
}

/// Compiles the template of the init frame.
#[export_name = "forge_init"]
unsafe extern "C" fn init(place: u32) -> i32 {
    let Some(frame) = Frame::at(place, INIT_BYTES) else { return ERR_ABI };
    if frame.u32(INIT_MAJOR) != MAJOR {
        return frame.fail(ERR_ABI, "template: this guest is for ABI 1: use the one that was shipped with this forge");
    }
    frame.set_u32(INIT_ACCEPTED, 0);
    frame.set_u32(INIT_ACCEPTED + 4, 0);
    let Ok(text) = std::str::from_utf8(frame.span(INIT_TEXT)) else {
        return frame.fail(ERR_ARG, "chat template: the text is not UTF-8");
    };
    let bos = String::from_utf8_lossy(frame.span(INIT_BOS));
    let eos = String::from_utf8_lossy(frame.span(INIT_EOS));
    match ChatTemplate::compile(text, &bos, &eos, Limits::default()) {
        Ok(template) => GUEST.with_borrow_mut(|guest| {
            *guest = Guest { template: Some(template), pieces: Pieces::default() };
            OK
        }),
        Err(err) => frame.fail(ERR_ARG, &err.to_string()),
    }
}

/// Takes a piece of input, gives a piece of prompt.
#[export_name = "template_render"]
unsafe extern "C" fn render(place: u32) -> i32 {
    let Some(frame) = Frame::at(place, TEXT_BYTES) else { return ERR_ABI };
    GUEST.with_borrow_mut(|guest| {
        let Some(template) = &mut guest.template else {
            return frame.fail(ERR_STATE, "template: template_render was called before forge_init");
        };
        let flags = frame.u32(TEXT_FLAGS);
        if flags & FIRST != 0 {
            guest.pieces.begin();
        }
        let (input, now) = (frame.span(TEXT_INPUT), frame.i64(TEXT_NOW));
        let output = frame.room(TEXT_OUTPUT, TEXT_OUTPUT_CAP);
        match guest.pieces.step(template, input, flags & LAST != 0, now, output) {
            Ok(step) => {
                frame.set_u32(TEXT_CONSUMED, step.consumed);
                frame.set_u32(TEXT_OUTPUT_LEN, step.written);
                frame.set_u32(TEXT_MORE, usize::from(step.more));
                OK
            }
            Err(err) => frame.fail(ERR_ARG, &err.to_string()),
        }
    })
}
