//! The result of filters that are generators in Python: it can be run through once, it has no length, it is true even
//! if nothing comes out, and it is no sequence.

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::Error;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Items not yet run through.
pub struct Generator(Mutex<Vec<Value>>);

impl Generator {
    /// A generator over the items of a list.
    pub fn over(items: &Value) -> Result<Value, Error> {
        let items = items.try_iter()?.checked().collect::<Result<Vec<Value>, Error>>()?;
        Ok(Value::from_object(Generator(Mutex::new(items))))
    }

    /// Takes what is left.
    pub fn drain(&self) -> Vec<Value> {
        self.0.lock().map(|mut items| std::mem::take(&mut *items)).unwrap_or_default()
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.drain())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<generator>")
    }
}
