//! Renders the requests of standard input, one JSON object a line: template, bos, eos, now and input, the input as a
//! text of JSON. Answers a line each: {"prompt": ...} or {"error": ...}. The comparison with Jinja2 runs it.

use std::io::{BufRead, Write};
use template::{ChatTemplate, Limits};

fn main() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("a request");
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        let done = ChatTemplate::compile(text("template"), text("bos"), text("eos"), Limits::default())
            .and_then(|mut t| t.render(text("input").as_bytes(), request["now"].as_i64().unwrap_or(0)));
        let answer = match done {
            Ok(prompt) => serde_json::json!({ "prompt": prompt }),
            Err(err) => serde_json::json!({ "error": err.to_string() }),
        };
        writeln!(out, "{answer}").expect("standard output");
    }
}
