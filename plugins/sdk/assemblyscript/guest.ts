// The hand-written part of the AssemblyScript SDK: arena, errors, settings and the generator. abi.ts beside it is generated.
// A guest is one file:
//
//     export { forge_arena } from "./guest";
//     import { Init, OK, Row, Rows } from "./guest";
//     export function forge_sampler_1(): void {}
//     export function forge_init(frame: Init): i32 { return OK; }
//     export function sampler_mine(frame: Rows): i32 { ... return OK; }
//
// Compile it with asc -O3 --noAssert --runtime stub --use abort= and put its manifest in with forge plugin stamp. A guest that
// makes objects in its calls wants --runtime minimal or incremental instead, and must collect.
import { ARENA_ALIGN, Head, MaskRow, ROW_FLAG_WHOLE, Row, Vocab } from "./abi";
export * from "./abi";

// forge_arena takes the arena from the runtime's heap, which owns the end of memory.
export function forge_arena(bytes: u32): usize {
  if (bytes > 0x3fff0000) return 0;
  return (heap.alloc(<usize>bytes + ARENA_ALIGN) + ARENA_ALIGN - 1) & ~(<usize>ARENA_ALIGN - 1);
}

// fail writes a sentence for the user into the frame's error slot and gives the status back.
export function fail(head: Head, status: i32, sentence: string): i32 {
  const utf8 = String.UTF8.encode(sentence);
  const n = min(<u32>utf8.byteLength, head.errorCap);
  memory.copy(head.errorPtr, changetype<usize>(utf8), n);
  head.errorLen = n;
  return status;
}

// isWhole tells whether the table is the whole row: candidate i is token i, and ids are not there yet.
@inline export function isWhole(row: Row): bool { return (row.flags & ROW_FLAG_WHOLE) != 0; }

// logit and id of candidate i.
@inline export function logit(row: Row, i: u32): f32 { return load<f32>(row.logits + (<usize>i << 2)); }
@inline export function id(row: Row, i: u32): u32 { return isWhole(row) ? i : load<u32>(row.ids + (<usize>i << 2)); }

// put makes a candidate the table's k-th; narrow ends the narrowing with n of them.
@inline export function put(row: Row, k: u32, id: u32, logit: f32): void {
  store<u32>(row.ids + (<usize>k << 2), id);
  store<f32>(row.logits + (<usize>k << 2), logit);
}
@inline export function narrow(row: Row, n: u32): void {
  row.n = n;
  row.flags &= ~ROW_FLAG_WHOLE;
}

// param is setting number `slot` of a row, in the manifest's order; text is one that is a string.
@inline export function param(row: Row, slot: u32): f64 { return load<f64>(row.params + (<usize>slot << 3)); }
export function text(slots: usize, slot: u32): string {
  const at = slots + (<usize>slot << 3);
  return String.UTF8.decodeUnsafe(load<u32>(at), load<u32>(at, 4));
}

// piece is where the bytes begin that a token adds to a text; pieceLen is how many they are.
@inline export function piece(v: Vocab, id: u32): usize { return v.pieces + load<u32>(v.pieceOffsets + (<usize>id << 2)); }
@inline export function pieceLen(v: Vocab, id: u32): u32 {
  const at = v.pieceOffsets + (<usize>id << 2);
  return load<u32>(at, 4) - load<u32>(at);
}

// allow sets a token's bit in the mask of a constraint's row. The bits are the guest's to clear first.
@inline export function allow(row: MaskRow, id: u32): void {
  const at = row.mask + (<usize>(id >> 5) << 2);
  store<u32>(at, load<u32>(at) | (1 << (id & 31)));
}

// next is the next number in [0, 1) of the row's generator.
export function next(row: Row): f64 {
  const draw = row.draw;
  row.draw = draw + 1;
  return uniform(row.seed, draw);
}

// philox is the ABI's counter-based generator, Philox4x32-10 of Salmon et al., Parallel random numbers: as easy as 1, 2, 3
// (SC 2011). It gives the first of the four random words of a key and a counter.
export function philox(k0: u32, k1: u32, c0: u32, c1: u32, c2: u32, c3: u32): u32 {
  for (let round = 0; round < 10; round++) {
    const a = <u64>0xd2511f53 * c0;
    const b = <u64>0xcd9e8d57 * c2;
    c0 = <u32>(b >> 32) ^ c1 ^ k0;
    c1 = <u32>b;
    c2 = <u32>(a >> 32) ^ c3 ^ k1;
    c3 = <u32>a;
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  return c0;
}

// uniform is draw number `draw` of the stream that seed names: a multiple of 2^-24 in [0, 1).
export function uniform(seed: u64, draw: u64): f64 {
  return <f64>(philox(<u32>seed, <u32>(seed >> 32), <u32>draw, <u32>(draw >> 32), 0, 0) >> 8) / 16777216.0;
}
