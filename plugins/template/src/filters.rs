//! Filters, tests and functions where the template language of transformers differs from minijinja's own set.

use crate::arguments::Arguments;
use crate::generator::Generator;
use crate::json::{self, Style};
use crate::namespace::Namespace;
use crate::{attributes, machine, numbers, python, texts, time};
use minijinja::value::{Rest, Tuple, Value, ValueIter, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State};

/// The name under which a rendering's time lies among the variables; no template can spell it.
pub const NOW: &str = " now";

/// Puts the filters, tests and functions into the environment.
pub fn install(env: &mut Environment) {
    env.add_filter("tojson", tojson);
    env.add_filter("string", |v: &Value| python::to_str(v));
    env.add_filter("pprint", |v: &Value| python::to_repr(v));
    env.add_filter("safe", |v: &Value| python::to_str(v).map(Value::from_safe_string));
    env.add_filter("trim", texts::trim);
    env.add_filter("indent", texts::indent);
    env.add_filter("truncate", texts::truncate);
    env.add_filter("center", texts::center);
    env.add_filter("wordcount", texts::word_count);
    env.add_filter("filesizeformat", minijinja_contrib::filters::filesizeformat);
    env.add_filter("int", numbers::int);
    env.add_filter("float", numbers::float);
    env.add_filter("join", join);
    env.add_filter("list", list);
    env.add_filter("dictsort", dictsort);
    env.add_filter("attr", attributes::attr);
    env.add_filter("default", default);
    env.add_filter("d", default);
    guard(env);
    for own_of_minijinja in ["split", "lines", "bool", "chain", "zip"] {
        env.remove_filter(own_of_minijinja);
    }

    env.add_test("sequence", |v: &Value| {
        v.is_undefined() || matches!(v.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
    });
    env.add_test("iterable", |v: &Value| {
        v.downcast_object_ref::<Generator>().is_some() || (!v.is_none() && v.try_iter().is_ok())
    });
    env.add_test("callable", |v: &Value| v.kind() == ValueKind::Plain);
    for own_of_minijinja in ["startingwith", "endingwith", "safe", "int"] {
        env.remove_test(own_of_minijinja);
    }

    env.add_function("raise_exception", |v: &Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, python::to_str(v)?).with_source(Raised))
    });
    env.add_function("strftime_now", strftime_now);
    env.add_function("dict", dict);
    env.add_function("namespace", |args: Rest<ValueOrKwargs>| Namespace::of(&dict(args)?));
    env.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    env.add_function("joiner", minijinja_contrib::globals::joiner);
    env.remove_global("debug");
}

/// Puts what Python makes of a value that cannot be run through in front of filters on lists. minijinja takes none as an
/// empty list. Python refuses it, but some filters look first whether the value is true, and give nothing if it is not.
fn guard(env: &mut Environment) {
    // The filters proper get names that no template can spell.
    env.add_filter("map()", minijinja::filters::map);
    env.add_filter("select()", minijinja::filters::select);
    env.add_filter("reject()", minijinja::filters::reject);
    env.add_filter("selectattr()", minijinja::filters::selectattr);
    env.add_filter("rejectattr()", minijinja::filters::rejectattr);
    env.add_filter("batch()", minijinja::filters::batch);
    env.add_filter("slice()", minijinja::filters::slice);
    env.add_filter("unique()", minijinja::filters::unique);
    env.add_filter("groupby()", minijinja::filters::groupby);
    env.add_filter("sort()", minijinja::filters::sort);
    env.add_filter("sum()", minijinja::filters::sum);
    env.add_filter("min()", minijinja::filters::min);
    env.add_filter("max()", minijinja::filters::max);
    for (name, proper) in [("map", "map()"), ("select", "select()"), ("reject", "reject()"),
                           ("selectattr", "selectattr()"), ("rejectattr", "rejectattr()")] {
        guarded(env, name, proper, |value| {
            let nothing = !value.is_true() && !value.is_undefined();
            Ok(nothing.then(|| Value::from(Vec::<Value>::new())))
        });
    }
    for (name, proper) in [("batch", "batch()"), ("slice", "slice()"), ("unique", "unique()"), ("groupby", "groupby()"),
                           ("sort", "sort()"), ("sum", "sum()"), ("min", "min()"), ("max", "max()")] {
        guarded(env, name, proper, |value| if value.is_none() { Err(failure("None is not iterable")) } else { Ok(None) });
    }
}

/// Names a filter that first looks at its value: what `first` gives of it, if anything, is the result.
fn guarded(env: &mut Environment, name: &'static str, proper: &'static str, first: fn(&Value) -> Result<Option<Value>, Error>) {
    env.add_filter(name, move |state: &mut State, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        match args.first().map(first).transpose()?.flatten() {
            Some(result) => Ok(result),
            None => state.apply_filter(proper, &args),
        }
    });
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
    let mut args = Arguments::new(args)?;
    let ensure_ascii = args.flag("ensure_ascii")?;
    let indent = match args.next("indent")?.filter(|v| !v.is_none()) {
        None => None,
        Some(v) => Some(match v.as_str() {
            Some(s) => s.to_string(),
            None => " ".repeat(i64::try_from(v)?.clamp(0, 64) as usize),
        }),
    };
    let (item_separator, key_separator) = match args.next("separators")?.filter(|v| !v.is_none()) {
        None => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
        Some(v) => match v.try_iter()?.collect::<Vec<_>>().as_slice() {
            [a, b] => (python::to_str(a)?, python::to_str(b)?),
            _ => return Err(failure("tojson: separators must be a pair of strings")),
        },
    };
    let sort_keys = args.flag("sort_keys")?;
    args.end()?;
    json::dumps(state, value, &Style { ensure_ascii, indent, item_separator, key_separator, sort_keys })
}

/// `join(value, d="", attribute=None)`: the items' texts with `d` between them.
fn join(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let mut args = Arguments::new(args)?;
    let d = args.next("d")?.map_or_else(|| Ok(String::new()), |d| python::to_str(&d))?;
    let attribute = args.next("attribute")?.filter(|a| !a.is_none());
    args.end()?;
    let mut out = String::new();
    for (n, item) in items(value)?.checked().enumerate() {
        let item = item?;
        state.consume_fuel((d.len() / 16) as u64 + 1)?;
        if n > 0 {
            out.push_str(&d);
        }
        match &attribute {
            Some(path) => out.push_str(&python::to_str(&attribute_of(&item, path)?)?),
            None => out.push_str(&python::to_str(&item)?),
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

/// The items of a value; minijinja's iteration takes none as empty, Python refuses it.
fn items(value: &Value) -> Result<ValueIter, Error> {
    if value.is_none() {
        return Err(failure("None is not iterable"));
    }
    value.try_iter()
}

fn list(state: &State, value: &Value) -> Result<Value, Error> {
    let items = items(value)?.checked().collect::<Result<Vec<Value>, Error>>()?;
    state.consume_fuel(items.len() as u64)?;
    Ok(Value::from(items))
}

/// `dictsort(value, case_sensitive=False, by='key', reverse=False)`.
fn dictsort(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Arguments::new(args)?;
    let case_sensitive = args.flag("case_sensitive")?;
    let by = args.next("by")?.map_or_else(|| Ok("key".into()), |v| python::to_str(&v))?;
    let reverse = args.flag("reverse")?;
    args.end()?;
    let by_key = match by.as_str() {
        "key" => true,
        "value" => false,
        _ => return Err(failure("dictsort: by must be key or value")),
    };
    let Some(pairs) = value.as_object().filter(|_| value.kind() == ValueKind::Map).and_then(|o| o.try_iter_pairs()) else {
        return Err(failure("dictsort: expected a mapping"));
    };
    let rank = |v: &Value| match v.as_str() {
        Some(s) if !case_sensitive => Value::from(s.to_lowercase()),
        _ => v.clone(),
    };
    let mut ranked: Vec<(Value, Value, Value)> =
        pairs.map(|(k, v)| (rank(if by_key { &k } else { &v }), k, v)).collect();
    state.consume_fuel(8 * ranked.len() as u64)?;
    for pair in ranked.windows(2) {
        machine::order(&pair[0].0, &pair[1].0)?;
    }
    ranked.sort_by(|a, b| if reverse { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
    Ok(ranked.into_iter().map(|(_, k, v)| Value::from(Tuple::from([k, v]))).collect())
}

/// `default(value, default_value='', boolean=False)`.
fn default(value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut args = Arguments::new(args)?;
    let other = args.next("default_value")?.unwrap_or_else(|| Value::from(""));
    let boolean = args.flag("boolean")?;
    args.end()?;
    Ok(if value.is_undefined() || (boolean && !value.is_true()) { other } else { value.clone() })
}

/// `dict(mapping or pairs, **named)`.
fn dict(args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut values = args.into_values();
    let named = if values.last().is_some_and(Value::is_kwargs) { values.pop() } else { None };
    let mut pairs: Vec<(Value, Value)> = Vec::new();
    for value in values.iter().take(1).chain(&named) {
        match value.as_object().filter(|_| value.kind() == ValueKind::Map).and_then(|o| o.try_iter_pairs()) {
            Some(items) => pairs.extend(items),
            None => {
                for pair in items(value)?.checked() {
                    match pair?.try_iter()?.collect::<Vec<_>>().as_slice() {
                        [k, v] => pairs.push((k.clone(), v.clone())),
                        _ => return Err(failure("dict: expected pairs")),
                    }
                }
            }
        }
    }
    if values.len() > 1 {
        return Err(ErrorKind::TooManyArguments.into());
    }
    Ok(Value::from_pairs(pairs))
}

/// `strftime_now(format)`: the caller's time in UTC.
fn strftime_now(state: &State, format: &str) -> Result<String, Error> {
    // The years 1 to 9999, which Python's datetime can hold.
    state.consume_fuel(16 * format.len() as u64)?;
    match state.lookup(NOW).and_then(|v| v.as_i64()) {
        Some(now) if (-62135596800..=253402300799).contains(&now) => Ok(time::strftime(format, now)),
        _ => Err(failure("strftime_now: the time passed in is not within the years 1 to 9999")),
    }
}

fn failure(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, text)
}
