//! Attributes that Python's own values have: their methods. `x.name` is the method where there is one, whatever items x
//! has; `x['name']` is the item, and the method only without one.

use crate::methods;
use minijinja::value::{Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, State};
use std::fmt;
use std::sync::Arc;

const OF_DICT: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const OF_LIST: [&str; 3] = ["copy", "count", "index"];
const OF_TUPLE: [&str; 2] = ["count", "index"];
const OF_STRING: [&str; 47] = [
    "capitalize", "casefold", "center", "count", "encode", "endswith", "expandtabs", "find", "format", "format_map",
    "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric",
    "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "maketrans", "partition",
    "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "translate", "upper", "zfill",
];

/// Methods that change what they are called on: the sandbox of the Python original hides them, and items of their name.
const CHANGE_DICT: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const CHANGE_LIST: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];

/// Whether some value of Python has an attribute of this name.
pub fn exists(name: &str) -> bool {
    [&OF_DICT[..], &OF_LIST, &OF_STRING, &CHANGE_DICT, &CHANGE_LIST].iter().any(|names| names.contains(&name))
}

/// `value.name`, of a name that `exists`.
pub fn attribute(value: &Value, name: &str) -> Result<Value, Error> {
    match method(value, name) {
        Some(found) => Ok(found),
        None => value.get_attr(name),
    }
}

/// `value[name]`, of a name that `exists`.
pub fn item(value: &Value, name: &Value) -> Result<Value, Error> {
    let found = value.get_item(name)?;
    if !found.is_undefined() {
        return Ok(found);
    }
    Ok(name.as_str().and_then(|name| method(value, name)).unwrap_or(found))
}

/// The filter `attr`: an attribute, never an item.
pub fn attr(value: &Value, name: &str) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Map | ValueKind::Seq | ValueKind::String => Ok(method(value, name).unwrap_or(Value::UNDEFINED)),
        _ => value.get_attr(name),
    }
}

/// The method of a value; undefined where it is hidden.
fn method(value: &Value, name: &str) -> Option<Value> {
    let (methods, hidden): (&'static [&'static str], &[&str]) = match value.kind() {
        ValueKind::Map => (&OF_DICT, &CHANGE_DICT),
        ValueKind::Seq if value.is_tuple() => (&OF_TUPLE, &[]),
        ValueKind::Seq => (&OF_LIST, &CHANGE_LIST),
        ValueKind::String => (&OF_STRING, &[]),
        _ => return None,
    };
    if hidden.contains(&name) {
        return Some(Value::UNDEFINED);
    }
    let name = methods.iter().find(|m| **m == name)?;
    Some(Value::from_object(Method { of: value.clone(), name }))
}

/// A method of a value, not called yet.
struct Method {
    of: Value,
    name: &'static str,
}

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State, args: &[Value]) -> Result<Value, Error> {
        methods::call(state, &self.of, self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<built-in method {}>", self.name)
    }
}
