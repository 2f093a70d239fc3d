//! The function `namespace` and what it gives, the one thing whose attributes a template may set.

use crate::python;
use indexmap::IndexMap;
use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};
use std::fmt;
use std::sync::{Arc, Mutex};

/// Attributes in the order in which they were first set. It is no mapping: it cannot be run through, and it is true
/// even if it is empty.
pub struct Namespace(Mutex<IndexMap<Arc<str>, Value>>);

impl Namespace {
    /// A namespace with the pairs of a dictionary. Keys that are no texts are no attributes.
    pub fn of(dict: &Value) -> Result<Value, Error> {
        let mut attributes = IndexMap::new();
        for key in dict.try_iter()?.checked() {
            let key = key?;
            if let Some(name) = key.as_str() {
                attributes.insert(name.into(), dict.get_item(&key)?);
            }
        }
        Ok(Value::from_object(Namespace(Mutex::new(attributes))))
    }

    fn get(&self, name: &str) -> Option<Value> {
        self.0.lock().ok()?.get(name).cloned()
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.get(key)
    }

    fn call_method(self: &Arc<Self>, state: &mut State, method: &str, args: &[Value]) -> Result<Value, Error> {
        self.get(method).ok_or(ErrorKind::UnknownMethod)?.call(state, args)
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Namespace {
    /// A namespace may hold itself: while its values are written it is locked, and what is locked is not written again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(attributes) = self.0.try_lock() else { return f.write_str("<Namespace {...}>") };
        let shown = python::to_repr(&crate::json::dict(attributes.clone()));
        write!(f, "<Namespace {}>", shown.as_deref().unwrap_or("{...}"))
    }
}

/// `{% set namespace.name = value %}`.
pub fn assign(value: &Value, namespace: &Value, name: &str) -> Result<(), Error> {
    let Some(Namespace(attributes)) = namespace.downcast_object_ref() else {
        let text = format!("an attribute can be set on a namespace only, not on a value of type {}", namespace.kind());
        return Err(Error::new(ErrorKind::InvalidOperation, text));
    };
    if let Ok(mut attributes) = attributes.lock() {
        attributes.insert(name.into(), value.clone());
    }
    Ok(())
}
