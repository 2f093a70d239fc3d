// NAME: with the probability `chance` the likeliest candidate is left out, so that the text takes a turn now and then. It stays
// where it is the only one that is possible.
import { Init, OK, Row, Rows, id, logit, narrow, next, param, put } from "./sdk/guest";
export { forge_arena } from "./sdk/guest";

export function forge_sampler_1(): void {}

export function forge_init(_frame: Init): i32 {
  return OK;
}

// Rows of many sequences come in one call. What depends on a row alone needs no state.
export function sampler_NAME(frame: Rows): i32 {
  for (let r: u32 = 0; r < frame.nRows; r++) {
    const row = Row.at(frame.rows, r);
    const n = row.n;
    let best: u32 = 0;
    let possible: u32 = 0;
    for (let i: u32 = 0; i < n; i++) {
      if (logit(row, i) > -Infinity) possible++;
      if (logit(row, i) > logit(row, best)) best = i;
    }
    // Chance comes from the row's own generator: the same seed gives the same text.
    const u = next(row);
    if (possible < 2 || !(u < param(row, 0))) continue;
    let kept: u32 = 0;
    for (let i: u32 = 0; i < n; i++) {
      if (i != best) put(row, kept++, id(row, i), logit(row, i));
    }
    narrow(row, kept);
  }
  return OK;
}
