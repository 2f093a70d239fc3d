//! Rewrites a compiled template where Python's operators differ from minijinja's: they become calls of the filters
//! below, which follow Python. No template can name these filters, for their names are no identifiers.

use crate::generator::Generator;
use crate::{attributes, namespace, numbers, python, slices};
use minijinja::machinery::{CodeGenerator, Instruction, Instructions};
use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use std::cmp::Ordering;

const ITER: &str = "for..";
const IN: &str = "..in..";
const CONCAT: &str = "~";
const ADD: &str = "+";
const PERCENT: &str = "%";
const ASSIGN: &str = ".=";
const ATTRIBUTE: &str = ".";
const ITEM: &str = "[]";
const SLICE: &str = "[:]";
const REPEATED: &str = "*..";
const GENERATOR: &str = "yield..";
const ORDER: [&str; 4] = ["<", "<=", ">", ">="];

/// The filters that are generators in Python.
const GENERATORS: [&str; 10] =
    ["map", "select", "reject", "selectattr", "rejectattr", "batch", "slice", "unique", "items", "reverse"];

/// No cache slot for the filter.
const NO_SLOT: u8 = !0;

/// Puts the operators' filters into the environment.
pub fn install(env: &mut Environment) {
    env.add_filter(ITER, iterable);
    env.add_filter(IN, contains);
    env.add_filter(CONCAT, |a: &Value, b: &Value| Ok::<_, Error>(python::to_str(a)? + &python::to_str(b)?));
    env.add_filter(ADD, add);
    env.add_filter(PERCENT, numbers::percent);
    env.add_filter(ASSIGN, namespace::assign);
    env.add_filter(ATTRIBUTE, attributes::attribute);
    env.add_filter(ITEM, attributes::item);
    env.add_filter(SLICE, slices::slice);
    env.add_filter(REPEATED, repeated);
    env.add_filter(GENERATOR, generator);
    env.add_filter("<", |a: &Value, b: &Value| order(a, b).map(|o| o == Some(Ordering::Less)));
    env.add_filter("<=", |a: &Value, b: &Value| order(a, b).map(|o| o.is_some_and(Ordering::is_le)));
    env.add_filter(">", |a: &Value, b: &Value| order(a, b).map(|o| o == Some(Ordering::Greater)));
    env.add_filter(">=", |a: &Value, b: &Value| order(a, b).map(|o| o.is_some_and(Ordering::is_ge)));
}

/// Ends the generation of code and gives the rewritten program. Lines are kept, jumps go where they went.
pub fn finish(code: CodeGenerator<'static>, name: &'static str, source: &'static str) -> Instructions<'static> {
    let (old, _) = code.finish();
    let mut parts = Vec::new();
    let mut starts = Vec::new(); // where the part of each old instruction begins
    let mut length = 0;
    let mut before = None;
    for at in 0.. {
        let Some(instruction) = old.get(at) else { break };
        let part = rewritten(instruction, before);
        starts.push(length);
        length += part.len() as u32;
        parts.push((part, old.get_line(at).map_or(0, |line| line as u16)));
        before = Some(instruction);
    }
    starts.push(length);

    let mut new = Instructions::new(name, source);
    for (part, line) in parts {
        for instruction in part {
            new.add_with_line(redirected(instruction, &starts), line);
        }
    }
    new
}

/// What an instruction becomes; `before` is the one in front of it.
fn rewritten(old: &Instruction<'static>, before: Option<&Instruction<'static>>) -> Vec<Instruction<'static>> {
    let filter = |name, args| Instruction::ApplyFilter(name, Some(args), NO_SLOT);
    vec![match old {
        Instruction::PushLoop(_) => return vec![filter(ITER, 1), old.clone()],
        Instruction::ApplyFilter(name, ..) if GENERATORS.contains(name) => return vec![old.clone(), filter(GENERATOR, 1)],
        Instruction::Mul => return vec![Instruction::Mul, filter(REPEATED, 1)],
        Instruction::SetAttr(name) => {
            return vec![Instruction::LoadConst(Value::from(*name)), filter(ASSIGN, 3), Instruction::DiscardTop]
        }
        Instruction::GetAttr(name) if attributes::exists(name) => {
            return vec![Instruction::LoadConst(Value::from(*name)), filter(ATTRIBUTE, 2)]
        }
        Instruction::GetItem if before.is_some_and(names_attribute) => filter(ITEM, 2),
        Instruction::LoadConst(value) => Instruction::LoadConst(constant(value)),
        Instruction::Slice => filter(SLICE, 4),
        Instruction::In => filter(IN, 2),
        Instruction::StringConcat => filter(CONCAT, 2),
        Instruction::Add => filter(ADD, 2),
        Instruction::Rem => filter(PERCENT, 2),
        Instruction::Lt => filter(ORDER[0], 2),
        Instruction::Lte => filter(ORDER[1], 2),
        Instruction::Gt => filter(ORDER[2], 2),
        Instruction::Gte => filter(ORDER[3], 2),
        other => other.clone(),
    }]
}

/// The instruction with its jump, if it has one, to where its target now is.
fn redirected(instruction: Instruction<'static>, starts: &[u32]) -> Instruction<'static> {
    let to = |target: u32| starts.get(target as usize).copied().unwrap_or(target);
    match instruction {
        Instruction::Iterate(target) => Instruction::Iterate(to(target)),
        Instruction::Jump(target) => Instruction::Jump(to(target)),
        Instruction::JumpIfFalse(target) => Instruction::JumpIfFalse(to(target)),
        Instruction::JumpIfFalseOrPop(target) => Instruction::JumpIfFalseOrPop(to(target)),
        Instruction::JumpIfTrueOrPop(target) => Instruction::JumpIfTrueOrPop(to(target)),
        Instruction::BuildMacro(name, target, flags) => Instruction::BuildMacro(name, to(target), flags),
        other => other,
    }
}

/// Whether the instruction loads a text that names an attribute of Python's values.
fn names_attribute(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::LoadConst(v) if v.as_str().is_some_and(attributes::exists))
}

/// What a loop runs over. minijinja takes none as an empty list; Python does not. A generator and a text become lists,
/// for a loop knows how many items it has.
fn iterable(state: &State, value: &Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        state.consume_fuel(text.len() as u64 / 2)?;
        return Ok(text.chars().map(Value::from).collect());
    }
    if let Some(generator) = value.downcast_object_ref::<Generator>() {
        return Ok(Value::from(generator.drain()));
    }
    if value.is_none() {
        return Err(failure("None is not iterable".into()));
    }
    Ok(value.clone())
}

/// What a filter that is a generator in Python gives. Only `reverse` gives a text, of a text.
fn generator(value: &Value) -> Result<Value, Error> {
    if value.as_str().is_some() {
        return Ok(value.clone());
    }
    Generator::over(value)
}

/// A product. A list that is repeated is a list again, where minijinja makes something to run through.
fn repeated(state: &State, value: &Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Iterable {
        return Ok(value.clone());
    }
    let items = value.try_iter()?.checked().collect::<Result<Vec<Value>, Error>>()?;
    state.consume_fuel(items.len() as u64)?;
    Ok(Value::from(items))
}

/// A constant that the compiler worked out. One that is a repeated list of sensible length becomes a list, as above.
fn constant(value: &Value) -> Value {
    match value.len() {
        Some(0..=10_000) if value.kind() == ValueKind::Iterable => value.try_iter().map_or(value.clone(), Iterator::collect),
        _ => value.clone(),
    }
}

fn contains(state: &mut State, needle: &Value, container: &Value) -> Result<bool, Error> {
    match container.kind() {
        ValueKind::Undefined => Ok(false),
        ValueKind::None | ValueKind::Bool | ValueKind::Number => {
            Err(failure(format!("in: {container} is not iterable")))
        }
        ValueKind::String if needle.as_str().is_none() => {
            Err(failure(format!("in: a string contains strings only, not {}", needle.kind())))
        }
        _ => state.perform_test("in", &[needle.clone(), container.clone()]),
    }
}

/// The order of two values that Python can compare: numbers, strings, lists or tuples. `None` for a NaN.
pub fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    let class = |v: &Value| match v.kind() {
        ValueKind::Bool | ValueKind::Number => 1,
        ValueKind::String => 2,
        ValueKind::Seq if v.is_tuple() => 3,
        ValueKind::Seq => 4,
        _ => 0,
    };
    if class(a) == 0 || class(a) != class(b) {
        return Err(failure(format!("{} and {} have no order", a.kind(), b.kind())));
    }
    if class(a) > 1 {
        return Ok(Some(a.cmp(b)));
    }
    match (numbers::whole(a), numbers::whole(b)) {
        (Some(x), Some(y)) => Ok(Some(x.cmp(&y))),
        _ => Ok(f64::try_from(a.clone())?.partial_cmp(&f64::try_from(b.clone())?)),
    }
}

/// The sum of two values. Of a text marked as safe and a plain one, the plain one is escaped.
fn add(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
        return Ok(match (a.is_safe(), b.is_safe()) {
            (false, false) => Value::from(x.to_string() + y),
            (true, true) => Value::from_safe_string(x.to_string() + y),
            (true, false) => Value::from_safe_string(x.to_string() + &escape(y)),
            (false, true) => Value::from_safe_string(escape(x) + y),
        });
    }
    if let Some(sum) = numbers::sum(a, b) {
        return sum;
    }
    if a.kind() == ValueKind::Seq && b.kind() == ValueKind::Seq && a.is_tuple() == b.is_tuple() {
        state.consume_fuel((a.len().unwrap_or(0) + b.len().unwrap_or(0)) as u64)?;
        let items = a.try_iter()?.chain(b.try_iter()?);
        return Ok(if a.is_tuple() { Value::from(Tuple::from(items.collect::<Vec<_>>())) } else { items.collect() });
    }
    Err(failure(format!("+: {} and {} cannot be added", a.kind(), b.kind())))
}

/// The text with the five characters of markup as entities, as Python's markupsafe writes them.
fn escape(s: &str) -> String {
    s.replace('&', "&amp;").replace('>', "&gt;").replace('<', "&lt;").replace('\'', "&#39;").replace('"', "&#34;")
}

fn failure(text: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
