//! Prepares the text of a template: what Jinja2 takes and minijinja does not.

use minijinja::machinery::{tokenize, Token};
use minijinja::syntax::SyntaxConfig;
use minijinja::Error;

/// White space control as transformers sets it.
pub fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(false).build()
}

/// Gives the text with every line end as `\n`, as Jinja2 reads it, and with the tag `generation`, by which
/// transformers marks the assistant's own words, as a block `with`: its body is rendered in a scope of its own.
/// Lines keep their numbers. A text that does not tokenise is left to the parser's message.
pub fn prepare(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    if !text.contains("generation") {
        return text;
    }
    let Ok(syntax) = syntax() else { return text };
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut opens = false;
    let mut tag = None;
    for token in tokenize(&text, false, syntax) {
        let Ok((token, span)) = token else { return text.clone() };
        match token {
            Token::Ident(name @ ("generation" | "endgeneration")) if opens => {
                tag = Some((name, span.start_offset as usize..span.end_offset as usize));
            }
            Token::BlockEnd => {
                if let Some((name, range)) = tag.take() {
                    out.push_str(&text[copied..range.start]);
                    out.push_str(if name == "generation" { "with" } else { "endwith" });
                    copied = range.end;
                }
            }
            _ => tag = None,
        }
        opens = matches!(token, Token::BlockStart);
    }
    out.push_str(&text[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn only_tags_are_rewritten() {
        for (text, want) in [
            ("{% generation %}a{%- endgeneration -%}", "{% with %}a{%- endwith -%}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{% raw %}{% generation %}{% endraw %}", "{% raw %}{% generation %}{% endraw %}"),
            ("{{ '{% generation %}' }}generation", "{{ '{% generation %}' }}generation"),
            ("{% if generation %}{% set generation = 1 %}{% endif %}", "{% if generation %}{% set generation = 1 %}{% endif %}"),
            ("a\r\n{%generation%}\rb{% endgeneration %}", "a\n{%with%}\nb{% endwith %}"),
        ] {
            assert_eq!(prepare(text), want);
        }
    }
}
