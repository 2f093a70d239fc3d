//! The chat template guest: a dialogue in JSON becomes the prompt text that a model was trained on.
//!
//! Nouns: a template is the Jinja program in a model file; the input is a JSON object of its variables; a rendering is
//! one run of the program. Jinja is minijinja's; what is here makes it read as the Jinja of transformers: the same
//! white space, filters, methods and texts of values.
//!
//! ```
//! use template::{ChatTemplate, Limits};
//! let text = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
//! let mut t = ChatTemplate::compile(text, "", "", Limits::default()).unwrap();
//! let prompt = t.render(br#"{"messages": [{"role": "user", "content": "hi"}]}"#, 0).unwrap();
//! assert_eq!(prompt, "<user>hi");
//! ```
//!
//! What differs from Jinja2, and why: a macro has no `varargs` and `kwargs`, the filters `random`, `urlize`,
//! `urlencode`, `xmlattr`, `striptags` and `wordwrap` and the function `lipsum` do not exist, and neither do blocks,
//! inheritance and imports (no chat template of the field uses them, and one file has nothing to import); an unknown
//! filter is an error when it is reached, not before; whole numbers end at 128 bits; operators between two constants
//! are worked out by minijinja's rules; a macro's default value does not see the parameters before it, and macros call
//! each other some forty levels deep; `+x` is no expression, nor is `1, 2` without brackets; the text of a method is not
//! Python's; `!r`, `%r` and `%` as formats, and fields with an index, do not exist.
//!
//! Caveats: a template is a stranger's program. Run it in the sandbox, with the host's limits of memory and fuel;
//! the limits here turn the usual excesses into a message, they do not replace the sandbox.

#[cfg(target_arch = "wasm32")]
mod abi;
mod arguments;
mod attributes;
mod filters;
mod generator;
mod json;
mod machine;
mod methods;
mod namespace;
mod nesting;
mod numbers;
mod pieces;
mod prompt;
mod python;
mod slices;
mod source;
mod texts;
mod time;

pub use pieces::{Pieces, Step};
pub use prompt::{ChatTemplate, Failure, Limits};
