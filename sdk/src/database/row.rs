//! Rows as Rust values, through serde.

use bytes::Bytes;
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, Error as _, Expected, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};

use super::{Rows, Value};
use crate::error::{Error, Result};

pub(super) fn read<T: DeserializeOwned>(rows: Rows) -> Result<Vec<T>> {
    let columns = rows.columns;
    let read = |values| {
        T::deserialize(Row {
            columns: &columns,
            values,
        })
    };
    let all: std::result::Result<Vec<T>, Wrong> = rows.rows.into_iter().map(read).collect();
    all.map_err(|error| Error::permanent(format!("a row ({}) does not fit: {error}", columns.join(", "))))
}

/// Why a row does not fit. Says of which kind a value is and never the value: it may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

impl serde::de::Error for Wrong {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self(format!("{} stands where {expected} is asked for", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(format!("a text is none of {}", expected.join(", ")))
    }
}

fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Unit => "NULL",
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Signed(_) | Unexpected::Unsigned(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Str(_) | Unexpected::Char(_) => "a text",
        Unexpected::Bytes(_) => "a blob",
        _ => "a row",
    }
}

/// One row: a map for structs, a sequence for tuples, its only value otherwise.
struct Row<'c> {
    columns: &'c [String],
    values: Vec<Value>,
}

impl Row<'_> {
    fn only(self) -> std::result::Result<Cell, Wrong> {
        let count = self.values.len();
        let mut values = self.values.into_iter();
        match (values.next(), count) {
            (Some(value), 1) => Ok(Cell(value)),
            _ => Err(Wrong::custom(format!("{count} columns are no single value"))),
        }
    }
}

macro_rules! only {
    ($($name:ident)*) => { $(
        fn $name<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Wrong> {
            self.only()?.$name(visitor)
        }
    )* };
}

impl<'de> Deserializer<'de> for Row<'_> {
    type Error = Wrong;

    only! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Wrong> {
        let cells = self.values.into_iter().map(Cell);
        visitor.visit_map(MapDeserializer::new(self.columns.iter().map(String::as_str).zip(cells)))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Wrong> {
        visitor.visit_seq(SeqDeserializer::new(self.values.into_iter().map(Cell)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> std::result::Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> std::result::Result<V::Value, Wrong> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Wrong> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! { i128 u128 unit unit_struct map struct ignored_any }
}

/// One value. SQLite has no boolean of its own: 0 and 1 read as one where a `bool` is asked for.
struct Cell(Value);

impl IntoDeserializer<'_, Wrong> for Cell {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Cell {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(flag) => visitor.visit_bool(flag),
            Value::Int(number) => visitor.visit_i64(number),
            Value::Real(number) => visitor.visit_f64(number),
            Value::Text(text) => visitor.visit_string(text),
            Value::Blob(bytes) => visitor.visit_byte_buf(bytes.into()),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Wrong> {
        match self.0 {
            Value::Int(number @ (0 | 1)) => visitor.visit_bool(number == 1),
            other => Self(other).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Wrong> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            other => visitor.visit_some(Self(other)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Wrong> {
        match self.0 {
            Value::Text(text) => {
                IntoDeserializer::<Wrong>::into_deserializer(text).deserialize_enum(name, variants, visitor)
            }
            _ => Err(Wrong::custom(format!("`{name}` is read from a text"))),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Wrong> {
        match self.0 {
            // `Vec<u8>` asks for a sequence.
            Value::Blob(bytes) => visitor.visit_seq(SeqDeserializer::new(Bytes::into_iter(bytes))),
            other => Self(other).deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct tuple tuple_struct
        map struct identifier ignored_any
    }
}
