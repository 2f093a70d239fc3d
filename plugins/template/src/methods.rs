//! Methods of Python's strings, lists and dictionaries. Those that change a list or dictionary do not exist: the
//! sandbox of the Python original refuses them too.

use crate::python::{is_space, lines};
use minijinja::value::{from_args, Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Calls `value.method(args)`.
pub fn call(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => string(state, value.as_str().unwrap_or_default(), method, args)?,
        ValueKind::Seq => list(value, method, args)?,
        ValueKind::Map if method == "copy" => {
            let () = from_args(args)?;
            Some(value.clone())
        }
        _ => None,
    };
    match found {
        Some(result) => Ok(result),
        None => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn list(value: &Value, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    Ok(match method {
        "copy" => {
            let () = from_args(args)?;
            Some(value.clone())
        }
        "index" => {
            let (what,): (&Value,) = from_args(args)?;
            for (n, item) in value.try_iter()?.checked().enumerate() {
                if item? == *what {
                    return Ok(Some(Value::from(n)));
                }
            }
            return Err(failure("list.index: the value is not in the list"));
        }
        _ => None,
    })
}

/// Which end a method works at.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Left,
    Right,
    Both,
}

/// Gives `None` for the methods left to minijinja's own set.
fn string(state: &State, s: &str, method: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    // To look at each letter by itself is dearer than to search.
    let letters = matches!(method, "title" | "swapcase" | "casefold") || method.starts_with("is");
    state.consume_fuel(s.len() as u64 / if letters { 1 } else { 4 })?;
    let result = match method {
        "strip" => strip(s, args, End::Both)?,
        "lstrip" => strip(s, args, End::Left)?,
        "rstrip" => strip(s, args, End::Right)?,
        "split" => split(s, args, End::Left)?,
        "rsplit" => split(s, args, End::Right)?,
        "splitlines" => split_lines(s, args)?,
        "partition" | "rpartition" => {
            let (sep,): (&str,) = from_args(args)?;
            if sep.is_empty() {
                return Err(failure("empty separator"));
            }
            let at = if method == "partition" { s.find(sep) } else { s.rfind(sep) };
            let parts = match at {
                Some(at) => [&s[..at], sep, &s[at + sep.len()..]],
                None if method == "partition" => [s, "", ""],
                None => ["", "", s],
            };
            Value::from(minijinja::value::Tuple::from(parts.map(Value::from).to_vec()))
        }
        "removeprefix" => {
            let (prefix,): (&str,) = from_args(args)?;
            Value::from(s.strip_prefix(prefix).unwrap_or(s))
        }
        "removesuffix" => {
            let (suffix,): (&str,) = from_args(args)?;
            Value::from(s.strip_suffix(suffix).unwrap_or(s))
        }
        "startswith" | "endswith" => affix(s, method == "startswith", args)?,
        "find" | "rfind" | "index" | "rindex" | "count" => search(s, method, args)?,
        "ljust" | "rjust" | "center" | "zfill" => pad(state, s, method, args)?,
        "join" => join(state, s, args)?,
        "format" => {
            bound_widths(s, args)?;
            return Ok(None);
        }
        "title" => {
            let () = from_args(args)?;
            Value::from(title(s))
        }
        "swapcase" => {
            let () = from_args(args)?;
            let swap = |c: char| if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect::<String>() };
            Value::from(s.chars().map(swap).collect::<String>())
        }
        "casefold" => {
            let () = from_args(args)?;
            Value::from(s.to_lowercase().replace('ß', "ss").replace('ς', "σ"))
        }
        "isspace" => {
            let () = from_args(args)?;
            Value::from(!s.is_empty() && s.chars().all(is_space))
        }
        "isdecimal" => {
            let () = from_args(args)?;
            Value::from(!s.is_empty() && s.chars().all(|c| c.is_ascii_digit()))
        }
        "isdigit" => {
            let () = from_args(args)?;
            // Digits, superscripts and circled digits are; fractions, Roman and ideographic numerals are only numeric.
            let digit = |c: char| c.is_numeric() && !matches!(c, '¼'..='¾' | '\u{2150}'..='\u{218b}' | '\u{3007}'..='\u{3029}');
            Value::from(!s.is_empty() && s.chars().all(digit))
        }
        "isidentifier" => {
            let () = from_args(args)?;
            let rest = |c: char| c == '_' || c.is_alphanumeric();
            Value::from(s.chars().next().is_some_and(|c| c == '_' || c.is_alphabetic()) && s.chars().all(rest))
        }
        _ => return Ok(None),
    };
    Ok(Some(result))
}

fn strip(s: &str, args: &[Value], end: End) -> Result<Value, Error> {
    let (chars,): (Option<&str>,) = from_args(args)?;
    let drop = |c: char| chars.map_or_else(|| is_space(c), |set| set.contains(c));
    let s = if end == End::Right { s } else { s.trim_start_matches(drop) };
    Ok(Value::from(if end == End::Left { s } else { s.trim_end_matches(drop) }))
}

/// `split` (from the left) and `rsplit` (from the right): without a separator at runs of white space.
fn split(s: &str, args: &[Value], from: End) -> Result<Value, Error> {
    let (sep, max, named): (Option<Value>, Option<i64>, Kwargs) = from_args(args)?;
    let sep = match sep {
        Some(sep) => Some(sep),
        None => named.get::<Option<Value>>("sep")?,
    };
    let max = match max {
        Some(max) => max,
        None => named.get::<Option<i64>>("maxsplit")?.unwrap_or(-1),
    };
    named.assert_all_used()?;
    let max = usize::try_from(max).unwrap_or(usize::MAX - 1);
    let sep = sep.filter(|sep| !sep.is_none());
    let Some(sep) = sep else {
        return Ok(if from == End::Left { words(s, max) } else { words_from_right(s, max) });
    };
    let Some(sep) = sep.as_str() else {
        return Err(failure(format!("split: the separator must be a string, not {}", sep.kind())));
    };
    if sep.is_empty() {
        return Err(failure("empty separator"));
    }
    if from == End::Left {
        return Ok(s.splitn(max + 1, sep).map(Value::from).collect());
    }
    let mut parts: Vec<&str> = s.rsplitn(max + 1, sep).collect();
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

fn words(s: &str, max: usize) -> Value {
    let mut parts = Vec::new();
    let mut rest = s.trim_start_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == max {
            parts.push(rest);
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts.into_iter().map(Value::from).collect()
}

fn words_from_right(s: &str, max: usize) -> Value {
    let mut parts = Vec::new();
    let mut rest = s.trim_end_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == max {
            parts.push(rest);
            break;
        }
        let start = rest.char_indices().rev().find(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    parts.reverse();
    parts.into_iter().map(Value::from).collect()
}

fn split_lines(s: &str, args: &[Value]) -> Result<Value, Error> {
    let (keep, named): (Option<bool>, Kwargs) = from_args(args)?;
    let keep = keep.or(named.get("keepends")?).unwrap_or(false);
    named.assert_all_used()?;
    Ok(lines(s, keep).into_iter().map(Value::from).collect())
}

/// The part of the text between two character positions, counted as in Python, and where it begins.
/// Nothing where the start lies behind the end of the text.
fn window(s: &str, start: Option<i64>, end: Option<i64>) -> Option<(&str, usize)> {
    if start.is_none() && end.is_none() {
        return Some((s, 0));
    }
    let n = s.chars().count() as i64;
    let place = |at: i64| if at < 0 { (at + n).max(0) } else { at };
    let (start, end) = (place(start.unwrap_or(0)), place(end.unwrap_or(n)).min(n));
    if start > end {
        return None;
    }
    let byte = |at: i64| s.char_indices().nth(at as usize).map_or(s.len(), |(b, _)| b);
    Some((&s[byte(start)..byte(end)], start as usize))
}

fn affix(s: &str, at_start: bool, args: &[Value]) -> Result<Value, Error> {
    let (what, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let fits = |affix: &Value| match (affix.as_str(), window(s, start, end)) {
        (None, _) => Err(failure(format!("expected a string or a tuple of strings, not {}", affix.kind()))),
        (Some(_), None) => Ok(false),
        (Some(affix), Some((part, _))) => Ok(if at_start { part.starts_with(affix) } else { part.ends_with(affix) }),
    };
    if what.is_tuple() {
        for item in what.try_iter()? {
            if fits(&item)? {
                return Ok(Value::from(true));
            }
        }
        return Ok(Value::from(false));
    }
    fits(what).map(Value::from)
}

fn search(s: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (what, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let part = window(s, start, end);
    if method == "count" {
        return Ok(Value::from(part.map_or(0, |(part, _)| part.matches(what).count())));
    }
    let found = part.and_then(|(part, skipped)| {
        let at = if method.starts_with('r') { part.rfind(what) } else { part.find(what) };
        at.map(|at| skipped + part[..at].chars().count())
    });
    match found {
        Some(at) => Ok(Value::from(at)),
        None if method.ends_with("find") => Ok(Value::from(-1)),
        None => Err(failure("substring not found")),
    }
}

fn pad(state: &State, s: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (i64, Option<char>) = from_args(args)?;
    let fill = fill.unwrap_or(if method == "zfill" { '0' } else { ' ' });
    let n = s.chars().count();
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(n);
    state.consume_fuel((missing / 16) as u64)?;
    let fills = |n: usize| fill.to_string().repeat(n);
    Ok(Value::from(match method {
        "ljust" => s.to_string() + &fills(missing),
        "rjust" => fills(missing) + s,
        "zfill" => {
            let digits = s.trim_start_matches(['+', '-']);
            let sign = if s.len() - digits.len() == 1 { &s[..1] } else { "" };
            format!("{sign}{}{}", fills(missing), &s[sign.len()..])
        }
        // Where the fill does not halve, Python puts the odd one to the left if the width is odd.
        _ => {
            let left = missing / 2 + (missing & width as usize & 1);
            fills(left) + s + &fills(missing - left)
        }
    }))
}

fn join(state: &State, s: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut out = String::new();
    for (n, item) in items.try_iter()?.checked().enumerate() {
        let item = item?;
        let Some(text) = item.as_str() else {
            return Err(failure(format!("join: item {n} is not a string but {}", item.kind())));
        };
        state.consume_fuel((s.len() / 16) as u64)?;
        if n > 0 {
            out.push_str(s);
        }
        out.push_str(text);
    }
    Ok(Value::from(out))
}

/// Refuses a format with a width or precision of six digits or more, written out or passed for a field like
/// `{:{width}}`: the text would be made at once, whatever its size.
fn bound_widths(format: &str, args: &[Value]) -> Result<(), Error> {
    let long_digits = format.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > 5);
    let nested = format.split('{').skip(1).any(|field| field.ends_with(':') || (field.contains(':') && !field.contains('}')));
    let large = |v: &Value| v.as_i64().is_some_and(|n| n > 99_999);
    let large_argument = || {
        args.iter().any(|v| large(v) || (v.is_kwargs() && v.as_object().and_then(|o| o.try_iter_pairs()).is_some_and(|mut p| p.any(|(_, v)| large(&v)))))
    };
    if long_digits || (nested && large_argument()) {
        return Err(failure("format: a width or precision of more than 99999"));
    }
    Ok(())
}

/// A letter after anything but a letter is upper case, every other lower.
fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn failure(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

