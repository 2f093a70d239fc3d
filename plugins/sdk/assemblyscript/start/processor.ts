// NAME: a token is made less likely right after itself, by `penalty`.
import { CAP_HISTORY, ERR_CONFIG, Init, OK, Row, Rows, fail, logit, param } from "./sdk/guest";
export { forge_arena } from "./sdk/guest";

export function forge_processor_1(): void {}

export function forge_init(frame: Init): i32 {
  frame.accepted = frame.offered & CAP_HISTORY;
  if (frame.accepted == 0) return fail(frame.head, ERR_CONFIG, "it looks at the tokens so far: grant it history");
  return OK;
}

// A processor sees whole rows: logit i is that of token i.
export function processor_NAME(frame: Rows): i32 {
  for (let r: u32 = 0; r < frame.nRows; r++) {
    const row = Row.at(frame.rows, r);
    if (row.historyLen == 0) continue;
    const newest = load<u32>(row.history + ((<usize>row.historyLen - 1) << 2));
    if (newest < row.n) store<f32>(row.logits + (<usize>newest << 2), logit(row, newest) - <f32>param(row, 0));
  }
  return OK;
}
