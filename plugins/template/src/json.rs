//! JSON in and out: the variables of a dialogue, and the filter `tojson` as Python's `json.dumps` writes it.

use crate::python;
use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use std::fmt::{self, Write};
use std::sync::Arc;

/// A list of the input. Its text is Python's, wherever the text is asked for.
pub struct List(Vec<Value>);

/// A dictionary of the input, in the input's order.
pub struct Dict(IndexMap<Arc<str>, Value>);

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(f, |out| {
            out.write_char('[')?;
            for (n, item) in self.0.iter().enumerate() {
                out.write_str(if n > 0 { ", " } else { "" })?;
                python::write_repr(out, item, 1)?;
            }
            out.write_char(']')
        })
    }
}

/// Writes a text of bounded length. Who formats a value must not meet an error.
fn shown(f: &mut fmt::Formatter<'_>, write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> fmt::Result {
    f.write_str(python::bounded(write).as_deref().unwrap_or("..."))
}

impl Object for Dict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(Value::from).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown(f, |out| {
            out.write_char('{')?;
            for (n, (key, item)) in self.0.iter().enumerate() {
                out.write_str(if n > 0 { ", " } else { "" })?;
                python::write_repr(out, &Value::from(key), 1)?;
                out.write_str(": ")?;
                python::write_repr(out, item, 1)?;
            }
            out.write_char('}')
        })
    }
}

/// The members of a JSON object, in order; of two members with one name the later value counts, at the first one's
/// place, as in Python.
pub type Members = IndexMap<Arc<str>, Value>;

/// Reads the input of a rendering, which must be one JSON object. The text is bounded by 128 levels of nesting.
pub fn read_object(input: &[u8]) -> Result<Members, String> {
    match serde_json::from_slice(input) {
        Ok(serde_json::Value::Object(members)) => Ok(members.into_iter().map(|(k, v)| (k.into(), value(v))).collect()),
        Ok(_) => Err("input: expected a JSON object with the member messages".into()),
        Err(err) => Err(format!("input: not valid JSON: {err}")),
    }
}

/// The template value of a list or of the members of an object.
pub fn dict(members: Members) -> Value {
    Value::from_object(Dict(members))
}

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(b) => Value::from(b),
        serde_json::Value::Number(n) => number(n.as_str()),
        serde_json::Value::String(s) => Value::from(s),
        serde_json::Value::Array(items) => Value::from_object(List(items.into_iter().map(value).collect())),
        serde_json::Value::Object(members) => dict(members.into_iter().map(|(k, v)| (k.into(), value(v))).collect()),
    }
}

/// A whole number stays one up to 128 bits; anything else is a float.
fn number(text: &str) -> Value {
    if let Ok(n) = text.parse::<i64>() {
        Value::from(n)
    } else if let Ok(n) = text.parse::<i128>() {
        Value::from(n)
    } else {
        Value::from(text.parse::<f64>().unwrap_or(f64::NAN))
    }
}

/// How `json.dumps` is to write.
pub struct Style {
    pub ensure_ascii: bool,
    pub indent: Option<String>,
    pub item_separator: String,
    pub key_separator: String,
    pub sort_keys: bool,
}

/// Writes a value as `json.dumps` does. What Python cannot serialise is an error, undefined values included.
pub fn dumps(state: &State, value: &Value, style: &Style) -> Result<String, Error> {
    let mut writer = Writer { state, style, out: String::new(), paid: 0 };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct Writer<'a> {
    state: &'a State<'a, 'a>,
    style: &'a Style,
    out: String,
    paid: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > python::MAX_DEPTH {
            return Err(failure("tojson: the value is nested too deeply".into()));
        }
        self.pay()?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number_text(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq => self.seq(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            ValueKind::Undefined => return Err(failure("tojson: an undefined value is not JSON serializable".into())),
            kind => return Err(failure(format!("tojson: a value of type {kind} is not JSON serializable"))),
        }
        Ok(())
    }

    /// Lets the writing count against the template's work: each value, and what was written of it.
    fn pay(&mut self) -> Result<(), Error> {
        let grown = self.out.len() - self.paid;
        self.paid = self.out.len();
        self.state.consume_fuel(4 + (grown / 4) as u64)
    }

    fn seq(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut n = 0;
        for item in value.try_iter()?.checked() {
            self.separate(n, depth + 1);
            self.value(&item?, depth + 1)?;
            n += 1;
        }
        self.close(n, depth, ']');
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let Some(pairs) = value.as_object().and_then(|o| o.try_iter_pairs()) else {
            return Err(failure("tojson: the value is not JSON serializable".into()));
        };
        let mut pairs: Vec<(Value, Value)> = pairs.collect();
        if self.style.sort_keys {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.out.push('{');
        for (n, (key, item)) in pairs.iter().enumerate() {
            self.separate(n, depth + 1);
            match key.kind() {
                ValueKind::String => self.string(key.as_str().unwrap_or_default()),
                ValueKind::Number => self.string(&number_text(key)),
                ValueKind::Bool => self.string(if key.is_true() { "true" } else { "false" }),
                ValueKind::None => self.string("null"),
                kind => return Err(failure(format!("tojson: keys must be strings or numbers, not {kind}"))),
            }
            self.out.push_str(&self.style.key_separator);
            self.value(item, depth + 1)?;
        }
        self.close(pairs.len(), depth, '}');
        Ok(())
    }

    fn separate(&mut self, n: usize, depth: usize) {
        if n > 0 {
            self.out.push_str(&self.style.item_separator);
        }
        self.line(depth);
    }

    fn close(&mut self, n: usize, depth: usize, mark: char) {
        if n > 0 {
            self.line(depth);
        }
        self.out.push(mark);
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn string(&mut self, s: &str) {
        let out = &mut self.out;
        out.push('"');
        for c in s.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.style.ensure_ascii && c > '~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(x) if x.is_nan() => "NaN".into(),
        Ok(x) if x.is_infinite() => if x > 0.0 { "Infinity".into() } else { "-Infinity".into() },
        Ok(x) => python::float(x),
        Err(_) => value.to_string(),
    }
}

fn failure(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
