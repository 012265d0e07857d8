//! Evaluates the expressions of a webhook in one pass over its body, without building a tree.
//!
//! A miss is never an error. JSON that does not parse, is nested deeper than 128, or has trailing text yields nothing at
//! all; values longer than 512 bytes yield nothing, because they name things.

mod json;

#[cfg(test)]
mod tests;

use http::HeaderMap;
use jackfield_sdk::expr::Expr;

/// Longest value in bytes.
const MAX_VALUE: usize = 512;

/// The expressions of one webhook, compiled once.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    expressions: Vec<Option<Expr>>,
    pointers: Vec<String>,
    tree: json::Wanted,
}

impl Plan {
    /// Compiles; `evaluate` answers in the same order.
    pub fn new(expressions: &[Option<&Expr>]) -> Self {
        let mut pointers = Vec::new();
        for expression in expressions.iter().flatten() {
            collect(expression, &mut pointers);
        }
        pointers.sort();
        pointers.dedup();
        let tree = json::Wanted::of(&pointers);
        Self {
            expressions: expressions.iter().map(|one| one.cloned()).collect(),
            pointers,
            tree,
        }
    }

    /// What each expression yields.
    pub fn evaluate(&self, headers: &HeaderMap, body: &[u8]) -> Vec<Option<String>> {
        let values = if self.pointers.is_empty() {
            Vec::new()
        } else {
            self.tree.read(body, self.pointers.len())
        };
        let found = Found {
            headers,
            body,
            pointers: &self.pointers,
            values: &values,
        };
        self.expressions
            .iter()
            .map(|one| one.as_ref().and_then(|one| found.value(one)).filter(short))
            .collect()
    }
}

#[expect(clippy::ptr_arg, reason = "a filter over Option<String>")]
fn short(value: &String) -> bool {
    value.len() <= MAX_VALUE
}

struct Found<'f> {
    headers: &'f HeaderMap,
    body: &'f [u8],
    pointers: &'f [String],
    values: &'f [Option<String>],
}

impl Found<'_> {
    fn value(&self, expression: &Expr) -> Option<String> {
        match expression {
            Expr::Header(name) => self.headers.get(name)?.to_str().ok().map(str::to_owned),
            Expr::Json(pointer) => {
                let at = self.pointers.binary_search(pointer).ok()?;
                self.values.get(at).cloned().flatten()
            }
            Expr::Form(field) => self.form(field),
            Expr::FormJson { field, pointer } => {
                let text = self.form(field)?;
                let pointers = [pointer.clone()];
                json::Wanted::of(&pointers).read(text.as_bytes(), 1).pop().flatten()
            }
            Expr::First(all) => all.iter().find_map(|one| self.value(one)),
            Expr::Concat(all) => all.iter().map(|one| self.value(one)).collect(),
            Expr::Text(text) => Some(text.clone()),
        }
    }

    fn form(&self, field: &str) -> Option<String> {
        url::form_urlencoded::parse(self.body)
            .find(|(name, _)| name == field)
            .map(|(_, value)| value.into_owned())
    }
}

fn collect(expression: &Expr, pointers: &mut Vec<String>) {
    match expression {
        Expr::Json(pointer) => pointers.push(pointer.clone()),
        Expr::First(all) | Expr::Concat(all) => all.iter().for_each(|one| collect(one, pointers)),
        Expr::Header(_) | Expr::Form(_) | Expr::FormJson { .. } | Expr::Text(_) => {}
    }
}
