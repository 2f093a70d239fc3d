//! Compiles a chat template and renders dialogues with it.

use crate::filters::{self, Raised};
use crate::{json, machine, methods, python, source};
use minijinja::machinery::{self, CodeGenerator, Instructions};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind};
use std::collections::BTreeMap;
use std::fmt;

/// How messages name the template.
const NAME: &str = "chat template";

/// What one rendering may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of input that are taken.
    pub input: usize,
    /// Bytes of prompt that are given.
    pub output: usize,
    /// Steps of the template's machine, plus one for about 64 bytes that it makes or reads. This many for any
    /// input, ...
    pub work: u64,
    /// ... and this many for each of its bytes.
    pub work_per_byte: u64,
    /// Levels of calls; a macro takes four, and one for each loop around the call.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { input: 16 << 20, output: 16 << 20, work: 400_000, work_per_byte: 100, depth: 160 }
    }
}

/// Why there is no prompt.
#[derive(Debug)]
pub enum Failure {
    /// The template called `raise_exception`; its message.
    Raised(String),
    /// The template is wrong, or not for this dialogue.
    Template { line: Option<usize>, text: String },
    /// The input is wrong, or too large.
    Input(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Raised(text) => f.write_str(text),
            Failure::Template { line: Some(line), text } => write!(f, "{NAME}, line {line}: {text}"),
            Failure::Template { line: None, text } => write!(f, "{NAME}: {text}"),
            Failure::Input(text) => f.write_str(text),
        }
    }
}

impl From<Error> for Failure {
    fn from(err: Error) -> Failure {
        let raised = std::error::Error::source(&err).is_some_and(|s| s.is::<Raised>());
        if raised {
            return Failure::Raised(err.detail().unwrap_or_default().to_string());
        }
        let text = match (err.kind(), err.detail()) {
            (ErrorKind::OutOfFuel, _) => "does more work than a dialogue of this size may cost".to_string(),
            (ErrorKind::InvalidOperation, Some(detail)) => detail.to_string(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        Failure::Template { line: err.line(), text }
    }
}

/// A compiled chat template.
pub struct ChatTemplate {
    env: Environment<'static>,
    program: Instructions<'static>,
    bos: String,
    eos: String,
    limits: Limits,
}

impl ChatTemplate {
    /// Compiles `text`. `bos` and `eos` become the variables bos_token and eos_token. The text is kept for good: a
    /// guest has one template for its life.
    pub fn compile(text: &str, bos: &str, eos: &str, limits: Limits) -> Result<ChatTemplate, Failure> {
        let mut env = Environment::new();
        env.set_formatter(|out, _, value| {
            match value.as_str() {
                Some(s) => out.write_str(s),
                None => out.write_str(&python::to_str(value)?),
            }
            .map_err(Error::from)
        });
        env.set_unknown_method_callback(methods::call);
        env.set_recursion_limit(limits.depth);
        filters::install(&mut env);
        machine::install(&mut env);
        let text = source::prepare(text)
            .map_err(|(line, text)| Failure::Template { line: Some(line), text: text.to_string() })?;
        let text: &'static str = text.leak();
        let mut code = CodeGenerator::new(NAME, text);
        code.compile_stmt(&machinery::parse(text, NAME, source::syntax()?)?);
        let program = machine::finish(code, NAME, text);
        Ok(ChatTemplate { env, program, bos: bos.into(), eos: eos.into(), limits })
    }

    /// The limits that it was compiled with.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Renders the prompt. `input` is a JSON object of the template's variables; `now` is the time for
    /// `strftime_now`, in seconds since 1970.
    pub fn render(&mut self, input: &[u8], now: i64) -> Result<String, Failure> {
        let mut variables = json::Members::new();
        variables.insert(filters::NOW.into(), Value::from(now));
        variables.insert("bos_token".into(), Value::from(self.bos.as_str()));
        variables.insert("eos_token".into(), Value::from(self.eos.as_str()));
        variables.extend(json::read_object(input).map_err(Failure::Input)?);

        let work = self.limits.work.saturating_add(self.limits.work_per_byte.saturating_mul(input.len() as u64));
        self.env.set_fuel(Some(work));
        let mut prompt = String::new();
        let mut out = machinery::make_string_output(&mut prompt);
        machinery::eval(&self.env, &self.program, json::dict(variables), &BTreeMap::new(), &mut out, AutoEscape::None)?;
        if prompt.len() > self.limits.output {
            let text = format!("the prompt is {} bytes long, more than {}", prompt.len(), self.limits.output);
            return Err(Failure::Template { line: None, text });
        }
        Ok(prompt)
    }
}
