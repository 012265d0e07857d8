//! Reads a body field by field, as leniently as the reference's validator, and collects everything that is wrong with it.
//!
//! A field that is missing is told from one that is null: only what was sent is changed. Mistakes in secrets are named
//! without what was sent.

use serde_json::{Map, Value, json};

use crate::answer::{Answer, Mistake, Refused};

/// Longest text that is not a secret, in characters.
const TEXT: usize = 4_096;

/// What a field holds: nothing sent, null, or a value.
pub(crate) type Given<T> = Option<Option<T>>;

/// Whether a field may be null.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Null {
    /// It may.
    Allowed,
    /// It may not.
    Refused,
}

/// An object of a body and what is wrong so far.
pub(crate) struct Body {
    fields: Map<String, Value>,
    at: Vec<Value>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Body {
    /// A JSON object.
    pub(crate) fn read(bytes: &[u8]) -> Answer<Self> {
        let at = vec![json!("body")];
        let wrong = |kind, loc, msg: &str, ctx| {
            Refused::Mistakes(vec![Mistake {
                kind,
                loc,
                msg: msg.to_owned(),
                input: None,
                ctx,
            }])
        };
        if bytes.is_empty() {
            return Err(wrong("missing", at, "Field required", None));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Self {
                fields,
                at,
                mistakes: Vec::new(),
            }),
            Ok(_) => {
                let msg = "Input should be a valid dictionary or object to extract fields from";
                Err(wrong("model_attributes_type", at, msg, None))
            }
            Err(error) => {
                let loc = vec![json!("body"), json!(offset(bytes, &error))];
                let ctx = json!({ "error": cause(&error) });
                Err(wrong("json_invalid", loc, "JSON decode error", Some(ctx)))
            }
        }
    }

    /// An object within the body.
    pub(crate) fn within(fields: Map<String, Value>, at: Vec<Value>) -> Self {
        Self {
            fields,
            at,
            mistakes: Vec::new(),
        }
    }

    /// Takes a field out as it is.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name)
    }

    /// Names of what was not taken.
    pub(crate) fn left(&self) -> Vec<String> {
        self.fields.keys().cloned().collect()
    }

    /// Where a field stands.
    pub(crate) fn loc(&self, name: &str) -> Vec<Value> {
        place(&self.at, name)
    }

    /// Notes a mistake in a field.
    pub(crate) fn wrong(&mut self, kind: &'static str, name: &str, msg: impl Into<String>, input: Option<Value>) {
        self.mistakes.push(Mistake {
            kind,
            loc: self.loc(name),
            msg: msg.into(),
            input,
            ctx: None,
        });
    }

    /// What was read, unless something is wrong or missing.
    pub(crate) fn checked<T>(self, read: Option<T>) -> Answer<T> {
        match read {
            Some(read) if self.mistakes.is_empty() => Ok(read),
            _ => Err(Refused::Mistakes(self.mistakes)),
        }
    }

    pub(crate) fn flag(&mut self, name: &str, null: Null) -> Given<bool> {
        let value = self.take(name)?;
        let read = match &value {
            Value::Null if null == Null::Allowed => return Some(None),
            Value::Bool(flag) => Ok(*flag),
            Value::Number(number) if number.as_f64() == Some(0.0) => Ok(false),
            Value::Number(number) if number.as_f64() == Some(1.0) => Ok(true),
            Value::String(text) => match text.to_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
                "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
                _ => Err("bool_parsing"),
            },
            Value::Number(_) => Err("bool_parsing"),
            _ => Err("bool_type"),
        };
        self.taken(name, value, read, |kind| match kind {
            "bool_type" => "Input should be a valid boolean",
            _ => "Input should be a valid boolean, unable to interpret input",
        })
    }

    pub(crate) fn integer(&mut self, name: &str) -> Given<i64> {
        let value = self.take(name)?;
        let read = match &value {
            Value::Null => return Some(None),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Ok(whole),
                (None, Some(float)) if float.fract() != 0.0 => Err("int_from_float"),
                (None, Some(float)) if float.abs() < 9e15 => Ok(float as i64),
                _ => Err("int_parsing_size"),
            },
            Value::String(text) => text.trim().parse().map_err(|_| "int_parsing"),
            Value::Bool(flag) => Ok(i64::from(*flag)),
            _ => Err("int_type"),
        };
        self.taken(name, value, read, |kind| match kind {
            "int_from_float" => "Input should be a valid integer, got a number with a fractional part",
            "int_parsing" => "Input should be a valid integer, unable to parse string as an integer",
            "int_parsing_size" => "Unable to parse input string as an integer, exceeded maximum size",
            _ => "Input should be a valid integer",
        })
    }

    pub(crate) fn number(&mut self, name: &str) -> Given<f64> {
        let value = self.take(name)?;
        let read = match &value {
            Value::Null => return Some(None),
            Value::Number(number) => number.as_f64().ok_or("float_type"),
            Value::String(text) => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err("float_parsing"),
            },
            _ => Err("float_type"),
        };
        self.taken(name, value, read, |kind| match kind {
            "float_parsing" => "Input should be a valid number, unable to parse string as a number",
            _ => "Input should be a valid number",
        })
    }

    /// A text of at most 4,096 characters.
    pub(crate) fn text(&mut self, name: &str) -> Given<String> {
        let sent = self.fields.get(name).cloned();
        let text = self.secret(name, TEXT, Null::Allowed);
        // What is wrong with a text that is no secret is told with the text.
        if text.is_none()
            && let Some(last) = self.mistakes.last_mut()
            && last.loc == place(&self.at, name)
        {
            last.input = sent.filter(|sent| !sent.is_array() && !sent.is_object());
        }
        text
    }

    /// A secret text of at most `longest` characters.
    pub(crate) fn secret(&mut self, name: &str, longest: usize, null: Null) -> Given<String> {
        match self.take(name)? {
            Value::Null if null == Null::Allowed => Some(None),
            Value::String(text) if text.contains('\0') => {
                self.wrong("value_error", name, "Value error, a text must not contain NUL", None);
                None
            }
            Value::String(text) if text.chars().count() > longest => {
                let msg = format!("String should have at most {longest} characters");
                self.wrong("string_too_long", name, msg, None);
                None
            }
            Value::String(text) => Some(Some(text)),
            _ => {
                self.wrong("string_type", name, "Input should be a valid string", None);
                None
            }
        }
    }

    /// A secret text that has to be there.
    pub(crate) fn required(&mut self, name: &str, longest: usize) -> Option<String> {
        if !self.fields.contains_key(name) {
            self.wrong("missing", name, "Field required", None);
            return None;
        }
        self.secret(name, longest, Null::Refused).flatten()
    }

    fn taken<T>(
        &mut self,
        name: &str,
        value: Value,
        read: Result<T, &'static str>,
        says: impl Fn(&str) -> &'static str,
    ) -> Given<T> {
        match read {
            Ok(read) => Some(Some(read)),
            Err(kind) => {
                let shown = Some(value).filter(|value| !value.is_array() && !value.is_object());
                self.wrong(kind, name, says(kind), shown);
                None
            }
        }
    }
}

/// One step deeper.
pub(crate) fn place(at: &[Value], next: impl Into<Value>) -> Vec<Value> {
    let mut loc = at.to_vec();
    loc.push(next.into());
    loc
}

/// Whether a text may name an environment variable.
pub(crate) fn names_variable(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// What the parser did not like, without its place, which stands in `loc`. It never holds what was sent.
fn cause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// Byte of the body where the parser gave up.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let before = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1));
    let begins: usize = before.map(<[u8]>::len).sum();
    (begins + error.column().saturating_sub(1)).min(bytes.len())
}
