//! The states of callers in this process.
//!
//! - A caller is known by 128 bits of keyed hashes of class and name: a check stores no text and allocates for new callers
//!   only, and nobody outside can make two of them meet.
//! - A caller whose amounts are all there again is as one that never came: it is dropped when its shard has doubled, or
//!   10 s after the last look. So there are at most twice as many entries as callers that are being counted.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use smallvec::smallvec;

use crate::{
    class::Class,
    gcra::{Fulls, Pace, admit},
    verdict::Verdict,
};

/// Fewer waits for a lock than there are cores.
const SHARDS: usize = 64;
/// A shard of fewer is not looked through for being full.
const FEW: usize = 64;
/// Between two looks through a shard, in microseconds.
const LOOK: i64 = 10_000_000;

type Caller = (u64, u64);

pub(crate) struct Memory {
    hashers: (RandomState, RandomState),
    shards: Box<[Mutex<Shard>]>,
}

struct Shard {
    callers: HashMap<Caller, Fulls>,
    look_at: i64,
    look_above: usize,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let shard = || {
            Mutex::new(Shard {
                callers: HashMap::new(),
                look_at: 0,
                look_above: FEW,
            })
        };
        Self {
            hashers: (RandomState::new(), RandomState::new()),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
        }
    }

    /// Decides a request at `now`, in microseconds, as one of so many replicas.
    pub(crate) fn check(&self, class: &Class, who: &str, now: i64, replicas: u32) -> Verdict {
        let paces = class.limits().iter().map(|limit| Pace::of(limit, replicas));
        let name = (class.name(), who);
        let caller = (self.hashers.0.hash_one(name), self.hashers.1.hash_one(name));
        let shard = &self.shards[caller.0 as usize % SHARDS];
        let (allowed, fulls) = {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.look_through(now);
            let fulls = shard.callers.entry(caller).or_default();
            if fulls.len() != class.limits().len() {
                *fulls = smallvec![now; class.limits().len()];
            }
            (admit(now, paces.clone(), fulls), fulls.clone())
        };
        Verdict::of(class, replicas, now, allowed, &fulls)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| shard.lock().unwrap().callers.len();
        self.shards.iter().map(count).sum()
    }
}

impl Shard {
    fn look_through(&mut self, now: i64) {
        if now < self.look_at && self.callers.len() < self.look_above {
            return;
        }
        self.callers.retain(|_, fulls| fulls.iter().any(|full| *full > now));
        self.callers.shrink_to(self.callers.len() * 2);
        self.look_at = now.saturating_add(LOOK);
        self.look_above = (self.callers.len() * 2).max(FEW);
    }
}
