//! How deeply a template is nested. minijinja's parser and code generator call themselves for each bracket, block and
//! operator of a chain, so that a text of many levels would use up the stack, which ends the guest without a sentence.

use minijinja::machinery::Token;

/// What the levels may come to, in calls; the host allows a thousand.
const LIMIT: usize = 800;

/// Calls that a level takes: of a bracket, a block, an `elif`, an operator of a chain or a sign in front. They are
/// measured: the tests hold the sum to what the host allows.
const BRACKET: usize = 16;
const BLOCK: usize = 7;
const ELIF: usize = 3;
const LINK: usize = 3;

/// Blocks with an end. `set` has one where it assigns nothing.
const BLOCKS: [&str; 9] = ["if", "for", "macro", "call", "filter", "with", "generation", "autoescape", "set"];

/// The levels around the token that was last seen.
#[derive(Default)]
pub struct Nesting {
    /// What each open block takes, with its branches.
    blocks: Vec<usize>,
    /// What each open bracket of the tag takes, with the chain so far; the first is the tag itself.
    brackets: Vec<usize>,
    tag: Tag,
}

#[derive(Default, PartialEq)]
enum Tag {
    #[default]
    None,
    /// The block's name comes next.
    Opens,
    Inside,
    /// A `set` that has assigned nothing so far: the block that it opened counts until it does.
    Set,
}

impl Nesting {
    /// Takes note of a token. Gives the text of a refusal if it lies too deep.
    pub fn passes(&mut self, token: &Token) -> Option<&'static str> {
        match token {
            Token::BlockStart | Token::VariableStart => {
                self.brackets = vec![0];
                self.tag = if matches!(token, Token::BlockStart) { Tag::Opens } else { Tag::Inside };
            }
            Token::BlockEnd | Token::VariableEnd => {
                self.brackets.clear();
                self.tag = Tag::None;
            }
            Token::Ident(name) if self.tag == Tag::Opens => self.block(name),
            Token::Assign if self.tag == Tag::Set && self.brackets.len() == 1 => {
                self.blocks.pop();
                self.tag = Tag::Inside;
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => {
                self.link();
                self.brackets.push(BRACKET);
            }
            Token::ParenClose | Token::BracketClose | Token::BraceClose if self.brackets.len() > 1 => {
                self.brackets.pop();
            }
            Token::Comma => {
                if let Some(chain) = self.brackets.last_mut() {
                    *chain = (*chain).min(BRACKET);
                }
            }
            Token::Ident("and" | "or" | "not" | "in" | "is" | "if" | "else") => self.link(),
            Token::TemplateData(_) | Token::Ident(_) | Token::Str(_) | Token::String(_) => (),
            Token::Int(_) | Token::Int128(_) | Token::Float(_) | Token::Colon | Token::Assign => (),
            _ => self.link(), // an operator, a dot or a pipe
        }
        let sum = |levels: &[usize]| levels.iter().sum::<usize>();
        if sum(&self.blocks) + sum(&self.brackets) <= LIMIT {
            return None;
        }
        Some(if sum(&self.brackets) > LIMIT / 2 { "the expression is too long" } else { "the blocks are nested too deeply" })
    }

    fn link(&mut self) {
        if let Some(chain) = self.brackets.last_mut() {
            *chain += LINK;
        }
    }

    fn block(&mut self, name: &str) {
        self.tag = if name == "set" { Tag::Set } else { Tag::Inside };
        if name.starts_with("end") {
            self.blocks.pop();
        } else if BLOCKS.contains(&name) {
            self.blocks.push(BLOCK);
        } else if let ("elif", Some(branches)) = (name, self.blocks.last_mut()) {
            *branches += ELIF;
        }
    }
}
