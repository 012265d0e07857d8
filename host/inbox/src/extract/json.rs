//! A streaming pass over JSON that descends only along the wanted pointers (RFC 6901).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// What is wanted below one place.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// Positions in the answer that want the scalar here.
    here: Vec<usize>,
    below: Vec<(String, Wanted)>,
}

impl Wanted {
    /// The tree of `pointers`; their positions are the answer's.
    pub(super) fn of(pointers: &[String]) -> Self {
        let mut root = Self::default();
        for (at, pointer) in pointers.iter().enumerate() {
            let mut node = &mut root;
            let steps = pointer
                .strip_prefix('/')
                .map(|rest| rest.split('/'))
                .into_iter()
                .flatten();
            for step in steps {
                let step = step.replace("~1", "/").replace("~0", "~");
                let found = node.below.iter().position(|(name, _)| *name == step);
                let index = found.unwrap_or_else(|| {
                    node.below.push((step, Self::default()));
                    node.below.len() - 1
                });
                node = &mut node.below[index].1;
            }
            node.here.push(at);
        }
        root
    }

    /// The scalars found; all none when the text is no JSON.
    pub(super) fn read(&self, text: &[u8], count: usize) -> Vec<Option<String>> {
        let mut values = vec![None; count];
        let mut reader = serde_json::Deserializer::from_slice(text);
        let read = Seed {
            wanted: self,
            values: &mut values,
        }
        .deserialize(&mut reader);
        if read.and_then(|()| reader.end()).is_err() {
            values.iter_mut().for_each(|value| *value = None);
        }
        values
    }

    fn step(&self, name: &str) -> Option<&Self> {
        self.below
            .iter()
            .find(|(step, _)| step == name)
            .map(|(_, wanted)| wanted)
    }
}

struct Seed<'s> {
    wanted: &'s Wanted,
    values: &'s mut Vec<Option<String>>,
}

impl Seed<'_> {
    /// The first value of a duplicate key wins.
    fn take(self, text: &str) {
        for &at in &self.wanted.here {
            self.values[at].get_or_insert_with(|| text.to_owned());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.take(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.take(&value.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.take(&value.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.take(&value.to_string());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.take(value);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen: Vec<String> = Vec::new();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.wanted.step(&key) {
                Some(wanted) if !seen.iter().any(|old| *old == key) => {
                    seen.push(key.into_owned());
                    map.next_value_seed(Seed {
                        wanted,
                        values: self.values,
                    })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            let more = match self.wanted.step(&index.to_string()) {
                Some(wanted) => seq
                    .next_element_seed(Seed {
                        wanted,
                        values: self.values,
                    })?
                    .is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }
}
