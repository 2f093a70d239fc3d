//! A rendering whose input comes and whose prompt goes in pieces.

use crate::prompt::{ChatTemplate, Failure};

/// What a step did.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// Bytes of the input taken.
    pub consumed: usize,
    /// Bytes of the prompt written.
    pub written: usize,
    /// Whether prompt is left, or input still wanted.
    pub more: bool,
}

/// Input gathered and prompt not yet handed out.
#[derive(Default)]
pub struct Pieces {
    input: Vec<u8>,
    prompt: Option<String>,
    given: usize,
}

impl Pieces {
    /// Forgets what was gathered: a new input begins.
    pub fn begin(&mut self) {
        *self = Pieces::default();
    }

    /// Takes a piece of input; once the last has come, renders; then hands out prompt as it fits. The caller goes on
    /// with empty pieces until no more is left. After a failure nothing is kept.
    pub fn step(&mut self, template: &mut ChatTemplate, piece: &[u8], last: bool, now: i64, out: &mut [u8]) -> Result<Step, Failure> {
        let done = self.try_step(template, piece, last, now, out);
        if !matches!(done, Ok(Step { more: true, .. })) {
            self.begin();
        }
        done
    }

    fn try_step(&mut self, template: &mut ChatTemplate, piece: &[u8], last: bool, now: i64, out: &mut [u8]) -> Result<Step, Failure> {
        if self.prompt.is_none() {
            let limit = template.limits().input;
            if piece.len() > limit - self.input.len() {
                return Err(Failure::Input(format!("input: the dialogue is longer than {limit} bytes of JSON")));
            }
            self.input.extend_from_slice(piece);
            if !last {
                return Ok(Step { consumed: piece.len(), written: 0, more: true });
            }
            let input = std::mem::take(&mut self.input);
            self.prompt = Some(template.render(&input, now)?);
        } else if !piece.is_empty() {
            return Err(Failure::Input("input: bytes came after the last piece".into()));
        }
        let rest = self.prompt.as_ref().map_or(&[][..], |p| &p.as_bytes()[self.given..]);
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(Step { consumed: piece.len(), written: n, more: n < rest.len() })
    }
}
