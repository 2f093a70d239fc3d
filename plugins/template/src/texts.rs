//! Filters on texts. A value that is no text is taken as Python writes it.

use crate::arguments::Arguments;
use crate::python::{is_space, lines, to_str};
use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State};

/// `trim(value, chars=None)`.
pub fn trim(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Arguments::new(args)?;
    let chars = args.next("chars")?.filter(|c| !c.is_none());
    args.end()?;
    let text = to_str(value)?;
    state.consume_fuel(text.len() as u64 / 4)?;
    Ok(match chars {
        None => text.trim_matches(is_space).to_string(),
        Some(chars) => {
            let set = to_str(&chars)?;
            text.trim_matches(|c| set.contains(c)).to_string()
        }
    })
}

/// `indent(s, width=4, first=False, blank=False)`; width is a number of spaces, or the text to put in front.
pub fn indent(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let Some(text) = value.as_str() else {
        return Err(failure(format!("indent: expected a string, not {}", value.kind())));
    };
    let mut args = Arguments::new(args)?;
    let margin = match args.next("width")? {
        None => " ".repeat(4),
        Some(width) => match width.as_str() {
            Some(margin) => margin.to_string(),
            None => " ".repeat(i64::try_from(width)?.clamp(0, 1 << 16) as usize),
        },
    };
    let first = args.flag("first")?;
    let blank = args.flag("blank")?;
    args.end()?;
    let text = text.to_string() + "\n";
    let mut out = String::new();
    for (n, line) in lines(&text, false).into_iter().enumerate() {
        state.consume_fuel(1 + margin.len() as u64 / 16)?;
        if n > 0 {
            out.push('\n');
        }
        if if n == 0 { first } else { blank || !line.is_empty() } {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// `truncate(s, length=255, killwords=False, end='...', leeway=5)`.
pub fn truncate(value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Arguments::new(args)?;
    let length = args.next("length")?.map_or(Ok(255), i64::try_from)?;
    let kill = args.flag("killwords")?;
    let end = args.next("end")?.map_or_else(|| Ok("...".into()), |v| to_str(&v))?;
    let leeway = match args.next("leeway")?.filter(|v| !v.is_none()) {
        Some(leeway) => i64::try_from(leeway)?,
        None => 5,
    };
    args.end()?;
    let text = to_str(value)?;
    let tail = end.chars().count() as i64;
    if length < tail || leeway < 0 {
        return Err(failure(format!("truncate: length must be at least {tail} and leeway at least 0")));
    }
    if text.chars().count() as i64 <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let kept: String = text.chars().take((length - tail) as usize).collect();
    let kept = if kill { kept.as_str() } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(head, _)| head) };
    Ok(kept.to_string() + &end)
}

/// `center(value, width=80)`.
pub fn center(state: &mut State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Arguments::new(args)?;
    let width = args.next("width")?.unwrap_or_else(|| Value::from(80));
    args.end()?;
    crate::methods::call(state, &Value::from(to_str(value)?), "center", &[width])
}

/// `wordcount`: runs of letters, digits and underscores.
pub fn word_count(state: &State, value: &Value) -> Result<usize, Error> {
    let text = to_str(value)?;
    state.consume_fuel(text.len() as u64)?;
    Ok(text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty()).count())
}

fn failure(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
