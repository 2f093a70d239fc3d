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
//! Caveats: a template is a stranger's program. Run it in the sandbox, with the host's limits of memory and fuel;
//! the limits here turn the usual excesses into a message, they do not replace the sandbox.

#[cfg(target_arch = "wasm32")]
mod abi;
mod arguments;
mod filters;
mod generator;
mod json;
mod machine;
mod methods;
mod numbers;
mod pieces;
mod prompt;
mod python;
mod source;
mod texts;
mod time;

pub use pieces::{Pieces, Step};
pub use prompt::{ChatTemplate, Failure, Limits};
