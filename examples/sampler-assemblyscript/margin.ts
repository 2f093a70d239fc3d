// margin keeps the candidates whose logit is at most `margin` below the best one's.
import { Init, OK, Row, Rows, id, logit, narrow, param, put } from "../../plugins/sdk/assemblyscript/guest";
export { forge_arena } from "../../plugins/sdk/assemblyscript/guest";

export function forge_sampler_1(): void {}

export function forge_init(_frame: Init): i32 {
  return OK;
}

export function sampler_margin(frame: Rows): i32 {
  for (let r: u32 = 0; r < frame.nRows; r++) {
    const row = Row.at(frame.rows, r);
    const n = row.n;
    let best: f32 = -Infinity;
    for (let i: u32 = 0; i < n; i++) if (logit(row, i) > best) best = logit(row, i);
    const least = best - <f32>param(row, 0);
    let kept: u32 = 0;
    for (let i: u32 = 0; i < n; i++) {
      const x = logit(row, i);
      if (x < least) continue;
      put(row, kept++, id(row, i), x);
    }
    narrow(row, kept);
  }
  return OK;
}
