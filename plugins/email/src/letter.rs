//! Mail as people read it: each template is one source, from which subject, text and HTML are made.
//!
//! A source's pieces are filled in as plain text first; the HTML layout then escapes all of them. So no template can forget to
//! escape a value, and text and HTML say the same.

mod sources;

use jackfield_sdk::prelude::*;
use minijinja::{Environment, UndefinedBehavior, context, syntax::SyntaxConfig, value::Serde};
use serde_json::{Map, Value};

use self::sources::{SOURCES, Source};

/// Longest value but for addresses: a name is no place for a text of one's own.
const LONGEST: usize = 200;
/// Longest address.
const LONGEST_LINK: usize = 2_048;
/// Name of the layouts; the first one's ending is what makes the engine escape.
const HTML: &str = "letter.html";
const TEXT: &str = "letter.txt";

/// A mail that is filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Letter {
    pub(crate) subject: String,
    before: Vec<String>,
    label: String,
    link: String,
    after: Vec<String>,
}

/// Every template.
pub(crate) struct Letters(Environment<'static>);

impl Letters {
    /// Reads the templates.
    pub(crate) fn new() -> Result<Self> {
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        // Blocks stand on lines of their own and leave none behind.
        engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        engine.add_template(HTML, include_str!("letter/letter.html"))?;
        engine.add_template(TEXT, include_str!("letter/letter.txt"))?;
        Ok(Self(engine))
    }

    /// Fills a template in. What is missing or cannot be used is a permanent error that names it.
    pub(crate) fn write(&self, template: &str, values: &Map<String, Value>, product: &str) -> Result<Letter> {
        let source = SOURCES.iter().find(|source| source.name == template).ok_or_else(|| {
            let names: Vec<&str> = SOURCES.iter().map(|source| source.name).collect();
            Error::permanent(format!(
                "there is no template `{template}`; there are {}",
                names.join(", ")
            ))
        })?;
        let mut filled = Map::new();
        for name in source.needs {
            let value = plain(source, name, values.get(*name))?.ok_or_else(|| {
                Error::permanent(format!(
                    "template `{}` needs the value `{name}`, which is missing",
                    source.name
                ))
            })?;
            filled.insert((*name).to_owned(), value.into());
        }
        for name in source.may {
            if let Some(value) = plain(source, name, values.get(*name))? {
                filled.insert((*name).to_owned(), value.into());
            }
        }
        let link = link(source, &filled)?;
        filled.insert("product".to_owned(), product.into());
        let context = minijinja::Value::from(Serde(&filled));
        let fill = |piece: &&str| -> Result<String> {
            let unfilled = |error| Error::permanent(format!("template `{}` cannot be filled in: {error}", source.name));
            self.0.render_str(piece, context.clone()).map_err(unfilled)
        };
        Ok(Letter {
            subject: fill(&source.subject)?,
            before: source.before.iter().map(fill).collect::<Result<_>>()?,
            label: source.label.to_owned(),
            link,
            after: source.after.iter().map(fill).collect::<Result<_>>()?,
        })
    }

    /// As plain text.
    pub(crate) fn text(&self, letter: &Letter) -> Result<String> {
        self.lay_out(TEXT, letter)
    }

    /// As HTML.
    pub(crate) fn html(&self, letter: &Letter) -> Result<String> {
        self.lay_out(HTML, letter)
    }

    fn lay_out(&self, layout: &str, letter: &Letter) -> Result<String> {
        let letter = minijinja::Value::from(Serde(letter));
        let made = self
            .0
            .get_template(layout)
            .and_then(|layout| layout.render(context! { letter }));
        made.map_err(|error| Error::permanent(format!("the layout `{layout}` cannot be filled in: {error}")))
    }
}

/// A value in one line; none when it is missing or empty.
fn plain(source: &Source, name: &str, value: Option<&Value>) -> Result<Option<String>> {
    let wrong = |what: &str| Error::permanent(format!("the value `{name}` of template `{}` {what}", source.name));
    let text = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => return Err(wrong("is neither a text nor a number")),
    };
    let longest = if name == "link" { LONGEST_LINK } else { LONGEST };
    match () {
        () if text.is_empty() => Ok(None),
        () if text.chars().count() > longest => Err(wrong(&format!("is longer than {longest} characters"))),
        () if text.contains(char::is_control) => Err(wrong("holds a control character")),
        () => Ok(Some(text)),
    }
}

/// The address that the button leads to.
fn link(source: &Source, filled: &Map<String, Value>) -> Result<String> {
    let text = filled.get("link").and_then(Value::as_str).unwrap_or_default();
    match text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "https" | "http") => Ok(url.into()),
        _ => Err(Error::permanent(format!(
            "the value `link` of template `{}` is no http address",
            source.name
        ))),
    }
}

#[cfg(test)]
mod tests;
