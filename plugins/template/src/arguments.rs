//! The arguments of a filter or function, by position or by name as in Python.

use minijinja::value::{from_args, Kwargs, Rest, Value, ValueOrKwargs};
use minijinja::{Error, ErrorKind};

/// What a template passed.
pub struct Arguments {
    given: std::vec::IntoIter<Value>,
    named: Kwargs,
}

impl Arguments {
    /// Splits what was passed into the arguments by position and those by name.
    pub fn new(args: Rest<ValueOrKwargs>) -> Result<Arguments, Error> {
        let mut given = args.into_values();
        let tail = if given.last().is_some_and(Value::is_kwargs) { given.pop() } else { None };
        let (named,): (Kwargs,) = from_args(tail.as_slice())?;
        Ok(Arguments { given: given.into_iter(), named })
    }

    /// The next parameter's value, if one was passed. Call it once for each parameter, in their order.
    pub fn next(&mut self, name: &str) -> Result<Option<Value>, Error> {
        match self.given.next() {
            Some(value) if self.named.has(name) => {
                let text = format!("{name} is passed twice, first as {}", value.kind());
                Err(Error::new(ErrorKind::TooManyArguments, text))
            }
            Some(value) => Ok(Some(value)),
            None if self.named.has(name) => self.named.get::<Value>(name).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the next parameter was passed as a true value.
    pub fn flag(&mut self, name: &str) -> Result<bool, Error> {
        Ok(self.next(name)?.is_some_and(|v| v.is_true()))
    }

    /// Refuses what no parameter took.
    pub fn end(mut self) -> Result<(), Error> {
        if self.given.next().is_some() {
            return Err(ErrorKind::TooManyArguments.into());
        }
        self.named.assert_all_used()
    }
}
