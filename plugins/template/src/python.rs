//! How Python writes values: `str`, `repr` and the text of a float.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};
use std::fmt::{self, Write};

/// Containers nested deeper than this are written as `...`, so that a value that a template nested
/// on purpose cannot use up the stack.
pub const MAX_DEPTH: usize = 200;

/// The longest text that a value may have, and the most pieces: lists that share their items may mean more than any
/// memory holds.
const MAX_TEXT: usize = 8 << 20;
const MAX_PIECES: usize = 1 << 20;

/// Python's `str(value)`. An undefined value gives the empty text, as Jinja2's does.
pub fn to_str(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(s) => Ok(s.to_string()),
        None => bounded(|out| write_str(out, value)),
    }
}

/// Python's `repr(value)`.
pub fn to_repr(value: &Value) -> Result<String, Error> {
    bounded(|out| write_repr(out, value, 0))
}

/// What is written, unless it is too long.
pub fn bounded(write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> Result<String, Error> {
    #[derive(Default)]
    struct Bounded {
        text: String,
        pieces: usize,
    }

    impl Write for Bounded {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.pieces += 1;
            if s.len() > MAX_TEXT - self.text.len() || self.pieces > MAX_PIECES {
                return Err(fmt::Error);
            }
            self.text.push_str(s);
            Ok(())
        }
    }

    let mut out = Bounded::default();
    match write(&mut out) {
        Ok(()) => Ok(out.text),
        Err(_) => Err(Error::new(ErrorKind::InvalidOperation, "the text of the value is too long")),
    }
}

/// Writes Python's `str(value)`.
pub fn write_str(out: &mut dyn Write, value: &Value) -> fmt::Result {
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::String => out.write_str(value.as_str().unwrap_or_default()),
        _ => write_repr(out, value, 0),
    }
}

/// Writes Python's `repr(value)`; `depth` counts the containers around it.
pub fn write_repr(out: &mut dyn Write, value: &Value, depth: usize) -> fmt::Result {
    match value.kind() {
        ValueKind::Undefined => out.write_str("Undefined"),
        ValueKind::String => quote(out, value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(x) => out.write_str(&float(x)),
            Err(_) => write!(out, "{value}"),
        },
        ValueKind::Seq if value.as_object().is_some() => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            write_seq(out, value, depth, open, close)
        }
        ValueKind::Map if value.as_object().is_some() => write_map(out, value, depth),
        _ => write!(out, "{value}"),
    }
}

fn write_seq(out: &mut dyn Write, value: &Value, depth: usize, open: char, close: char) -> fmt::Result {
    out.write_char(open)?;
    let mut n = 0;
    if depth >= MAX_DEPTH {
        out.write_str("...")?;
    } else if let Some(items) = value.as_object().and_then(|o| o.try_iter()) {
        for item in items {
            if n > 0 {
                out.write_str(", ")?;
            }
            write_repr(out, &item, depth + 1)?;
            n += 1;
        }
    }
    if n == 1 && open == '(' {
        out.write_char(',')?;
    }
    out.write_char(close)
}

fn write_map(out: &mut dyn Write, value: &Value, depth: usize) -> fmt::Result {
    out.write_char('{')?;
    if depth >= MAX_DEPTH {
        out.write_str("...")?;
    } else if let Some(pairs) = value.as_object().and_then(|o| o.try_iter_pairs()) {
        for (n, (key, item)) in pairs.enumerate() {
            if n > 0 {
                out.write_str(", ")?;
            }
            write_repr(out, &key, depth + 1)?;
            out.write_str(": ")?;
            write_repr(out, &item, depth + 1)?;
        }
    }
    out.write_char('}')
}

/// Writes a string literal as Python's `repr` does: single quotes unless the text holds one and no double quote.
fn quote(out: &mut dyn Write, s: &str) -> fmt::Result {
    let mark = if s.contains('\'') && !s.contains('"') { '"' } else { '\'' };
    out.write_char(mark)?;
    for c in s.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c == mark => write!(out, "\\{c}")?,
            ' '..='~' => out.write_char(c)?,
            c if (c as u32) < 0x100 && !printable(c) => write!(out, "\\x{:02x}", c as u32)?,
            c if printable(c) => out.write_char(c)?,
            c if (c as u32) < 0x10000 => write!(out, "\\u{:04x}", c as u32)?,
            c => write!(out, "\\U{:08x}", c as u32)?,
        }
    }
    out.write_char(mark)
}

/// Whether Python calls the character printable. Rust's debug text escapes by the same categories (control, format,
/// surrogate, private, unassigned, separators other than the space), except that it also escapes a combining mark
/// at the start of a text: hence the letter in front.
fn printable(c: char) -> bool {
    let mut probe = String::from("a");
    probe.push(c);
    !probe.escape_debug().to_string().contains("\\u{") && !c.is_control()
}

/// Python's `repr` of a float: the shortest digits that read back the same, an exponent below 1e-4 and from 1e16.
pub fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if x == 0.0 {
        return if x.is_sign_negative() { "-0.0".into() } else { "0.0".into() };
    }
    let text = format!("{x:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{x}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Whether Python's `str.strip` and `str.split` take the character for white space. Rust's set lacks the four
/// information separators.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `str.splitlines`, which ends a line at more characters than `\n`: see the table in its documentation.
pub fn lines(s: &str, keep_ends: bool) -> Vec<&str> {
    let breaks = |c| matches!(c, '\n'..='\r' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = s;
    while !rest.is_empty() {
        let Some((at, c)) = rest.char_indices().find(|(_, c)| breaks(*c)) else {
            lines.push(rest);
            break;
        };
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { c.len_utf8() };
        lines.push(&rest[..if keep_ends { end } else { at }]);
        rest = &rest[end..];
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repr(v: Value) -> String {
        to_repr(&v).unwrap()
    }

    #[test]
    fn floats_read_as_python_writes_them() {
        for (x, want) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e15, "1000000000000000.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (1e300, "1e+300"),
            (-0.0, "-0.0"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(x), want);
        }
    }

    #[test]
    fn strings_are_quoted_as_python_quotes_them() {
        for (s, want) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("\"it's\"", "'\"it\\'s\"'"),
            ("a\nb\t\\", "'a\\nb\\t\\\\'"),
            ("\u{0}\u{7f}\u{a0}\u{ad}", "'\\x00\\x7f\\xa0\\xad'"),
            ("é e\u{301} 日本 😀", "'é e\u{301} 日本 😀'"),
            ("\u{301}", "'\u{301}'"),
            ("\u{200b}\u{2028}\u{e000}", "'\\u200b\\u2028\\ue000'"),
            ("\u{f0000}", "'\\U000f0000'"),
        ] {
            assert_eq!(repr(Value::from(s)), want);
        }
    }

    #[test]
    fn containers_read_as_python_writes_them() {
        let list = Value::from(vec![Value::from(1), Value::from("a"), Value::from(()), Value::from(true)]);
        let map = Value::from_pairs([("b", list), ("a", Value::from(1.5))]);
        assert_eq!(repr(map), "{'b': [1, 'a', None, True], 'a': 1.5}");
    }

    #[test]
    fn deep_nesting_is_cut() {
        let mut v = Value::from(1);
        for _ in 0..MAX_DEPTH + 50 {
            v = Value::from(vec![v]);
        }
        assert_eq!(repr(v), "[".repeat(MAX_DEPTH + 1) + "..." + &"]".repeat(MAX_DEPTH + 1));
    }
}
