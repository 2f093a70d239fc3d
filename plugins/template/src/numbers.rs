//! Numbers as Python reads and divides them.

use crate::arguments::Arguments;
use minijinja::formatting::{format, FormatStyle};
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind};

/// The filter `int(value, default=0, base=10)`.
pub fn int(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Arguments::new(args)?;
    let default = args.next("default")?.unwrap_or_else(|| Value::from(0));
    let base = args.next("base")?.map_or(Ok(10), u32::try_from)?;
    args.end()?;
    let whole = match value.kind() {
        ValueKind::Bool => Some(i128::from(value.is_true())),
        ValueKind::Number if value.is_integer() => return Ok(value.clone()),
        ValueKind::Number => truncated(f64::try_from(value.clone())?),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            read_int(text, base).or_else(|| read_float(text).and_then(truncated))
        }
        _ => None,
    };
    Ok(whole.map_or(default, Value::from))
}

/// The filter `float(value, default=0.0)`.
pub fn float(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Arguments::new(args)?;
    let default = args.next("default")?.unwrap_or_else(|| Value::from(0.0));
    args.end()?;
    let number = match value.kind() {
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::Number => Some(f64::try_from(value.clone())?),
        ValueKind::String => read_float(value.as_str().unwrap_or_default()),
        _ => None,
    };
    Ok(number.map_or(default, Value::from))
}

fn truncated(x: f64) -> Option<i128> {
    x.is_finite().then_some(x as i128)
}

/// Digits with underscores between them, as Python allows; nothing if they lie elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    let misplaced = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    (!misplaced).then(|| text.replace('_', ""))
}

fn read_int(text: &str, base: u32) -> Option<i128> {
    if !(2..=36).contains(&base) {
        return None;
    }
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let prefixes = match base {
        2 => ["0b", "0B"],
        8 => ["0o", "0O"],
        16 => ["0x", "0X"],
        _ => ["", ""],
    };
    let digits = digits.strip_prefix(prefixes[0]).or_else(|| digits.strip_prefix(prefixes[1])).unwrap_or(digits);
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let n = i128::from_str_radix(&without_underscores(digits)?, base).ok()?;
    Some(if text.starts_with('-') { -n } else { n })
}

fn read_float(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// The operator `%`: fills a text's places, or gives the remainder, which has the divisor's sign.
pub fn percent(a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(text) = a.as_str() {
        let args: Vec<Value> = if b.is_tuple() { b.try_iter()?.collect() } else { vec![b.clone()] };
        return format(FormatStyle::Printf, text, &args).map(Value::from);
    }
    if let (Some(x), Some(y)) = (whole(a), whole(b)) {
        if y == 0 {
            return Err(failure("division by zero".into()));
        }
        let rest = x.wrapping_rem(y);
        return Ok(Value::from(if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }));
    }
    if !is_number(a) || !is_number(b) {
        return Err(failure(format!("%: {} and {} do not fit", a.kind(), b.kind())));
    }
    let (x, y) = (f64::try_from(a.clone())?, f64::try_from(b.clone())?);
    if y == 0.0 {
        return Err(failure("division by zero".into()));
    }
    let rest = x % y;
    Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest }))
}

/// The sum of two numbers, if they are numbers.
pub fn sum(a: &Value, b: &Value) -> Option<Result<Value, Error>> {
    if !is_number(a) || !is_number(b) {
        return None;
    }
    Some(match (whole(a), whole(b)) {
        (Some(x), Some(y)) => {
            x.checked_add(y).map(Value::from).ok_or_else(|| failure("+: the sum is too large".into()))
        }
        _ => f64::try_from(a.clone()).and_then(|x| Ok(Value::from(x + f64::try_from(b.clone())?))),
    })
}

/// A whole number or a bool, which Python counts as one.
pub fn whole(v: &Value) -> Option<i128> {
    match v.kind() {
        ValueKind::Bool => Some(i128::from(v.is_true())),
        ValueKind::Number if v.is_integer() => i128::try_from(v.clone()).ok(),
        _ => None,
    }
}

/// Whether Python can calculate with it.
pub fn is_number(v: &Value) -> bool {
    matches!(v.kind(), ValueKind::Number | ValueKind::Bool)
}

fn failure(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
