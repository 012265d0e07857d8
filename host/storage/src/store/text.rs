//! Text as it is stored. PostgreSQL refuses the NUL character in a text, and a sender can put one (JSON `\\u0000`) into
//! anything that is extracted from a delivery. So NUL is written as U+0001 `0`, and U+0001 itself as U+0001 `1`: different
//! texts stay different, and every text comes back as it was. Texts without either, which is to say all of them, are not
//! touched. JSON needs none of this: its writer escapes control characters.

use sea_orm::{QueryResult, Value, sea_query::ArrayType};

use super::rows::get;
use jackfield_inbox::store::StoreResult;

const ESCAPE: char = '\u{1}';

/// A value that both databases take.
pub(super) fn storable(value: Value) -> Value {
    match value {
        Value::String(Some(text)) => Value::String(Some(escape(text))),
        Value::Array(ArrayType::String, Some(texts)) => Value::Array(
            ArrayType::String,
            Some(Box::new(texts.into_iter().map(storable).collect())),
        ),
        other => other,
    }
}

fn escape(text: String) -> String {
    if !text.contains(['\0', ESCAPE]) {
        return text;
    }
    let mut stored = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => stored.extend([ESCAPE, '0']),
            ESCAPE => stored.extend([ESCAPE, '1']),
            other => stored.push(other),
        }
    }
    stored
}

fn unescape(stored: String) -> String {
    if !stored.contains(ESCAPE) {
        return stored;
    }
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE => text.push(if characters.next() == Some('0') { '\0' } else { ESCAPE }),
            other => text.push(other),
        }
    }
    text
}

/// A column's text as it was given.
pub(super) fn text(row: &QueryResult, column: &str) -> StoreResult<String> {
    get(row, column).map(unescape)
}

/// The same for a column that may be null.
pub(super) fn text_option(row: &QueryResult, column: &str) -> StoreResult<Option<String>> {
    get::<Option<String>>(row, column).map(|found| found.map(unescape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_and_none_holds_nul() {
        for text in ["", "plain", "\0", "a\0b", "\u{1}", "\u{1}0", "\0\u{1}1\0", "ü\0ß"] {
            let stored = escape(text.to_owned());
            assert!(!stored.contains('\0'), "{text:?}");
            assert_eq!(unescape(stored), text);
        }
        assert_ne!(escape("\u{1}0".to_owned()), escape("\0".to_owned()));
    }
}
