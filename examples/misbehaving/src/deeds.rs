//! What is done wrong, and where.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use jackfield_sdk::prelude::*;

/// One thing that can be done wrong.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Panic,
    Hang,
    Slow,
    Fail,
}

/// Deeds by the place where they are done.
pub(crate) struct Deeds(RwLock<BTreeMap<String, Deed>>);

impl Deeds {
    /// Reads the setting.
    pub(crate) fn parse(list: &[String]) -> Result<Self> {
        let read = |text: &String| {
            let (deed, place) = text.split_once(':')?;
            let deed = match deed {
                "panic" => Deed::Panic,
                "hang" => Deed::Hang,
                "slow" => Deed::Slow,
                "fail" => Deed::Fail,
                _ => return None,
            };
            Some((place.to_owned(), deed))
        };
        let deeds = list.iter().map(|text| {
            read(text).ok_or_else(|| Error::permanent(format!("`{text}` is no deed; write such as `panic:health`")))
        });
        Ok(Self(RwLock::new(deeds.collect::<Result<_>>()?)))
    }

    /// From now on these.
    pub(crate) fn replace(&self, other: Self) {
        let other = other.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = other;
    }

    fn find(&self, place: &str) -> Option<Deed> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(place)
            .copied()
    }

    /// Does what is to be done at `place`.
    pub(crate) async fn at(&self, place: &str) -> Result<()> {
        match self.find(place) {
            // The panic comes at the second poll, with values of the plugin alive.
            Some(Deed::Panic) => tokio::task::yield_now().await,
            Some(Deed::Hang) => std::future::pending().await,
            Some(Deed::Slow) => tokio::time::sleep(Duration::from_millis(300)).await,
            Some(Deed::Fail) | None => {}
        }
        self.at_once(place)
    }

    /// The same where nothing can be waited for.
    pub(crate) fn at_once(&self, place: &str) -> Result<()> {
        match self.find(place) {
            Some(Deed::Panic) => panic!("misbehaving panics in {place}"),
            Some(Deed::Fail) => Err(Error::transient(format!("misbehaving fails in {place}"))),
            _ => Ok(()),
        }
    }
}
