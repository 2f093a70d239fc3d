//! Prepares the text of a template: what Jinja2 takes and minijinja does not.

use crate::nesting::Nesting;
use minijinja::machinery::{tokenize, Token};
use minijinja::syntax::SyntaxConfig;
use minijinja::Error;

/// The tokens that a template may have. The longest in use have some five thousand.
const MAX_TOKENS: usize = 100_000;

/// White space control as transformers sets it.
pub fn syntax() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(false).build()
}

/// Gives the text as minijinja is to read it; lines keep their numbers. What changes:
/// - Every line end becomes `\n`, as Jinja2 reads it.
/// - The tag `generation`, by which transformers marks the assistant's own words, becomes a block `with`: its body is
///   rendered in a scope of its own.
/// - A line end behind the tag `raw` belongs to the block in Jinja2: the tag gets the sign that keeps it.
/// - The escapes of Python's strings that minijinja does not know become ones that it does.
///
/// A text that does not tokenise is left to the parser's message. An error is the line and the text of a refusal.
pub fn prepare(text: &str) -> Result<String, (usize, &'static str)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let Ok(syntax) = syntax() else { return Ok(text) };
    let mut nesting = Nesting::default();
    let mut edits = Vec::new();
    let mut end = 0; // of the token before
    let mut opens = false; // the token before opened a block
    for (count, token) in tokenize(&text, false, syntax).enumerate() {
        let Ok((token, span)) = token else { return Ok(text.clone()) };
        if count == MAX_TOKENS {
            return Err((span.start_line.into(), "the template is too long"));
        }
        if let Some(refusal) = nesting.passes(&token) {
            return Err((span.start_line.into(), refusal));
        }
        let range = span.start_offset as usize..span.end_offset as usize;
        match token {
            Token::Ident("generation") if opens && closes(&text[range.end..]) => edits.push((range.clone(), "with".into())),
            Token::Ident("endgeneration") if opens => edits.push((range.clone(), "endwith".into())),
            Token::TemplateData(_) => edits.extend(raw_end(&text[end..range.start]).map(|at| (end + at..end + at, "+".into()))),
            Token::Str(_) | Token::String(_) => edits.extend(escapes(&text[range.clone()]).map(|new| (range.clone(), new))),
            _ => (),
        }
        opens = matches!(token, Token::BlockStart);
        end = range.end;
    }
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for (range, new) in edits {
        out.push_str(&text[copied..range.start]);
        out.push_str(&new);
        copied = range.end;
    }
    Ok(out + &text[copied..])
}

/// Whether the text begins with the end of a block.
fn closes(text: &str) -> bool {
    let text = text.trim_start();
    text.strip_prefix(['-', '+']).unwrap_or(text).starts_with("%}")
}

/// Where, in what was skipped in front of plain text, a tag `raw` without a sign ends: comments are skipped, and the
/// tags of raw blocks.
fn raw_end(skipped: &str) -> Option<usize> {
    let tag = skipped.trim_end().strip_suffix("%}")?;
    let inside = tag[tag.rfind("{%")? + 2..].trim_start_matches(['-', '+']).trim_start();
    (inside.trim_end() == "raw").then_some(tag.len())
}

/// The string literal with Python's `\/`, `\a`, `\v` and `\U` written in another way, if it has one of them.
fn escapes(literal: &str) -> Option<String> {
    let mut out = String::with_capacity(literal.len());
    let mut changed = false;
    let mut rest = literal;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let code = rest[1..].chars().next()?;
        let wide = rest.get(2..10).and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        let (new, length) = match (code, wide) {
            ('/', _) => ("\\\\/".into(), 2),
            ('a', _) => ("\\x07".into(), 2),
            ('v', _) => ("\\x0b".into(), 2),
            ('U', Some(c)) => (c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect(), 10),
            _ => (rest[..1 + code.len_utf8()].to_string(), 1 + code.len_utf8()),
        };
        changed |= new != rest[..length];
        out.push_str(&new);
        rest = &rest[length..];
    }
    changed.then(|| out + rest)
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn only_what_differs_is_rewritten() {
        for (text, want) in [
            ("{% generation %}a{%- endgeneration -%}", "{% with %}a{%- endwith -%}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{% raw %}{% generation %}{% endraw %}", "{% raw +%}{% generation %}{% endraw %}"),
            ("{% raw -%}\n{% endraw %}{#{% raw %}#}\na", "{% raw -%}\n{% endraw %}{#{% raw %}#}\na"),
            ("{{ '\\/\\n\\\\/\\v\\U0001f642' }}", "{{ '\\\\/\\n\\\\/\\x0b\\ud83d\\ude42' }}"),
            ("{{ 'é\\é' ~ \"\\'\" }}", "{{ 'é\\é' ~ \"\\'\" }}"),
            ("{{ '{% generation %}' }}generation", "{{ '{% generation %}' }}generation"),
            ("{% if generation %}{% set generation = 1 %}{% endif %}", "{% if generation %}{% set generation = 1 %}{% endif %}"),
            ("a\r\n{%generation%}\rb{% endgeneration %}", "a\n{%with%}\nb{% endwith %}"),
        ] {
            assert_eq!(prepare(text).unwrap(), want);
        }
    }
}
