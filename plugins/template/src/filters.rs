//! Filters, tests and functions where the template language of transformers differs from minijinja's own set.

use crate::json::{self, Style};
use crate::python::{self, is_space};
use crate::time;
use minijinja::value::{from_args, Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

/// The name under which a rendering's time lies among the variables; no template can spell it.
pub const NOW: &str = " now";

/// Puts the filters, tests and functions into the environment.
pub fn install(env: &mut Environment) {
    env.add_filter("tojson", tojson);
    env.add_filter("string", |v: &Value| python::to_str(v));
    env.add_filter("safe", |v: &Value| Value::from_safe_string(python::to_str(v)));
    env.add_filter("join", join);
    env.add_filter("trim", trim);
    env.add_filter("center", center);
    env.add_filter("wordcount", |v: &Value| python::to_str(v).split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|w| !w.is_empty()).count());
    env.add_test("sequence", |v: &Value| {
        v.is_undefined() || matches!(v.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    env.add_test("iterable", |v: &Value| !v.is_none() && v.try_iter().is_ok());
    env.add_test("callable", |v: &Value| v.kind() == ValueKind::Plain);
    env.add_function("raise_exception", |v: &Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, python::to_str(v)).with_source(Raised))
    });
    env.add_function("strftime_now", strftime_now);
    env.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    env.add_function("joiner", minijinja_contrib::globals::joiner);
    env.remove_global("debug");
}

/// Marks an error that a template raised on purpose.
#[derive(Debug)]
pub struct Raised;

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("raise_exception")
    }
}

impl std::error::Error for Raised {}

/// `tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
fn tojson(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let (ascii, indent, separators, sort, named): (Option<Value>, Option<Value>, Option<Value>, Option<Value>, Kwargs) =
        from_args(&args)?;
    let pick = |given: Option<Value>, name: &str| match given {
        Some(v) => Ok(Some(v)),
        None => named.get::<Option<Value>>(name),
    };
    let ascii = pick(ascii, "ensure_ascii")?.is_some_and(|v| v.is_true());
    let sort_keys = pick(sort, "sort_keys")?.is_some_and(|v| v.is_true());
    let indent = match pick(indent, "indent")? {
        Some(v) if v.is_none() => None,
        None => None,
        Some(v) => Some(match v.as_str() {
            Some(s) => s.to_string(),
            None => " ".repeat(i64::try_from(v)?.clamp(0, 64) as usize),
        }),
    };
    let (item_separator, key_separator) = match pick(separators, "separators")? {
        Some(v) if !v.is_none() => {
            let pair: Vec<Value> = v.try_iter()?.collect();
            match pair.as_slice() {
                [a, b] => (python::to_str(a), python::to_str(b)),
                _ => return Err(failure("tojson: separators must be a pair of strings")),
            }
        }
        _ => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
    };
    named.assert_all_used()?;
    json::dumps(state, value, &Style { ensure_ascii: ascii, indent, item_separator, key_separator, sort_keys })
}

/// `join(value, d="", attribute=None)`: the items' texts with `d` between them.
fn join(state: &State, value: &Value, d: Option<Value>, attribute: Option<Value>, named: Kwargs) -> Result<String, Error> {
    let d = match d {
        Some(d) => d,
        None => named.get::<Option<Value>>("d")?.unwrap_or_else(|| Value::from("")),
    };
    let attribute = match attribute {
        Some(a) => Some(a),
        None => named.get::<Option<Value>>("attribute")?,
    };
    named.assert_all_used()?;
    let d = python::to_str(&d);
    let mut out = String::new();
    for (n, item) in value.try_iter()?.checked().enumerate() {
        let item = item?;
        state.consume_fuel((d.len() / 64) as u64 + 1)?;
        if n > 0 {
            out.push_str(&d);
        }
        match &attribute {
            Some(path) => out.push_str(&python::to_str(&attribute_of(&item, path)?)),
            None => out.push_str(&python::to_str(&item)),
        }
    }
    Ok(out)
}

/// The attribute that filters like `join` and `map` take: an index, or a path with dots.
fn attribute_of(item: &Value, path: &Value) -> Result<Value, Error> {
    let Some(path) = path.as_str() else { return item.get_item(path) };
    path.split('.').try_fold(item.clone(), |at, part| match part.parse::<i64>() {
        Ok(n) => at.get_item(&Value::from(n)),
        Err(_) => at.get_attr(part),
    })
}

fn trim(value: &Value, chars: Option<Value>, named: Kwargs) -> Result<String, Error> {
    let chars = match chars {
        Some(c) => Some(c),
        None => named.get::<Option<Value>>("chars")?,
    };
    named.assert_all_used()?;
    let text = python::to_str(value);
    Ok(match chars.as_ref().filter(|c| !c.is_none()) {
        None => text.trim_matches(is_space).to_string(),
        Some(chars) => {
            let set = python::to_str(chars);
            text.trim_matches(|c| set.contains(c)).to_string()
        }
    })
}

fn center(state: &mut State, value: &Value, width: Option<i64>) -> Result<Value, Error> {
    crate::methods::call(state, &Value::from(python::to_str(value)), "center", &[Value::from(width.unwrap_or(80))])
}

/// `strftime_now(format)`: the caller's time in UTC.
fn strftime_now(state: &State, format: &str) -> Result<String, Error> {
    // The years 1 to 9999, which Python's datetime can hold.
    match state.lookup(NOW).and_then(|v| v.as_i64()) {
        Some(now) if (-62135596800..=253402300799).contains(&now) => Ok(time::strftime(format, now)),
        _ => Err(failure("strftime_now: the time passed in is not within the years 1 to 9999")),
    }
}

fn failure(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
