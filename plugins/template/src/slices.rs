//! `value[start:stop:step]` as Python has it: a list of a list, a tuple of a tuple, a text of a text.

use crate::{generator::Generator, numbers};
use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// The slice. What Python cannot slice is an error, none and undefined values included.
pub fn slice(state: &State, value: &Value, start: &Value, stop: &Value, step: &Value) -> Result<Value, Error> {
    let step = bound(step)?.unwrap_or(1);
    let (start, stop) = (bound(start)?, bound(stop)?);
    if step == 0 {
        return Err(failure("a slice cannot have a step of 0".into()));
    }
    if let Some(text) = value.as_str() {
        state.consume_fuel(text.len() as u64 / 64)?;
        return Ok(Value::from(slice_text(text, start, stop, step)));
    }
    let listed = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) && value.downcast_object_ref::<Generator>().is_none();
    if !listed {
        return Err(failure(format!("a value of type {} cannot be sliced", value.kind())));
    }
    let items = value.try_iter()?.checked().collect::<Result<Vec<Value>, Error>>()?;
    state.consume_fuel(items.len() as u64 / 2)?;
    let kept: Vec<Value> = places(items.len(), start, stop, step).map(|at| items[at].clone()).collect();
    Ok(if value.is_tuple() { Value::from(Tuple::from(kept)) } else { Value::from(kept) })
}

fn slice_text(text: &str, start: Option<i64>, stop: Option<i64>, step: i64) -> String {
    if text.is_ascii() {
        return places(text.len(), start, stop, step).map(|at| text.as_bytes()[at] as char).collect();
    }
    let chars: Vec<char> = text.chars().collect();
    places(chars.len(), start, stop, step).map(|at| chars[at]).collect()
}

/// The places that a slice takes of `length` items, in its order. The step is not 0.
fn places(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let n = length as i64;
    // The places that an end may have: before the first item only where the slice runs backwards.
    let (least, most) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let place = |at: i64| if at < 0 { at.saturating_add(n).max(least) } else { at.min(most) };
    let (first, last) = if step > 0 { (least, most) } else { (most, least) };
    let mut at = start.map_or(first, place);
    let stop = stop.map_or(last, place);
    std::iter::from_fn(move || {
        let inside = if step > 0 { at < stop } else { at > stop };
        let here = at;
        at = at.saturating_add(step);
        inside.then_some(here as usize)
    })
}

/// An end or a step: nothing for none, else a whole number.
fn bound(value: &Value) -> Result<Option<i64>, Error> {
    if value.is_none() {
        return Ok(None);
    }
    let Some(n) = numbers::whole(value) else {
        return Err(failure(format!("the ends and the step of a slice are whole numbers, not of type {}", value.kind())));
    };
    Ok(Some(n.clamp(i64::MIN.into(), i64::MAX.into()) as i64))
}

fn failure(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn places_are_python_s() {
        // The expectations are Python's: list(range(N))[start:stop:step].
        for (n, start, stop, step, want) in [
            (5, None, None, 1, vec![0, 1, 2, 3, 4]),
            (5, Some(-2), None, 1, vec![3, 4]),
            (5, Some(-9), Some(9), 2, vec![0, 2, 4]),
            (5, None, None, -1, vec![4, 3, 2, 1, 0]),
            (5, Some(3), Some(0), -2, vec![3, 1]),
            (5, Some(9), Some(-9), -3, vec![4, 1]),
            (5, Some(4), Some(2), 1, vec![]),
            (0, None, None, -1, vec![]),
            (3, Some(i64::MIN), Some(i64::MAX), i64::MAX, vec![0]),
            (3, Some(i64::MAX), Some(i64::MIN), i64::MIN, vec![2]),
        ] {
            assert_eq!(places(n, start, stop, step).collect::<Vec<_>>(), want, "{n} {start:?} {stop:?} {step}");
        }
    }
}
