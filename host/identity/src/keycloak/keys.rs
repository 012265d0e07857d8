//! Keycloak's signing keys: kept, asked for again when a token names one that is not among them or when they are old, and
//! used as they are while Keycloak does not answer.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jsonwebtoken::{
    DecodingKey,
    jwk::{JwkSet, KeyAlgorithm, PublicKeyUse},
};
use tokio::sync::Mutex;

use super::endpoints::{CallError, Endpoints};

/// Between two questions, however many tokens name unknown keys.
const COOLDOWN: Duration = Duration::from_secs(10);
/// Age at which keys are asked for again: one that was withdrawn opens nothing after that.
const OLD: Duration = Duration::from_secs(300);

#[derive(Default)]
pub(crate) struct Keys {
    known: ArcSwap<Known>,
    asked: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<String, Arc<DecodingKey>>,
    read: Option<Instant>,
}

impl Keys {
    /// The key of that id; none when Keycloak has no such key.
    pub(crate) async fn key(&self, endpoints: &Endpoints, id: &str) -> Result<Option<Arc<DecodingKey>>, CallError> {
        if let Some(found) = self.fresh(id) {
            return Ok(Some(found));
        }
        let mut asked = self.asked.lock().await;
        if let Some(found) = self.fresh(id) {
            return Ok(Some(found));
        }
        let stale = || self.known.load().by_id.get(id).cloned();
        if asked.is_some_and(|asked| asked.elapsed() < COOLDOWN) {
            return Ok(stale());
        }
        *asked = Some(Instant::now());
        match self.read(endpoints).await {
            Ok(()) => Ok(stale()),
            Err(error) => match stale() {
                Some(found) => {
                    tracing::warn!(%error, "the signing keys cannot be read again; the known ones stay");
                    Ok(Some(found))
                }
                None => {
                    // Whoever comes next may find it back.
                    *asked = None;
                    Err(error)
                }
            },
        }
    }

    /// Reads them anew.
    pub(crate) async fn read(&self, endpoints: &Endpoints) -> Result<(), CallError> {
        let set = endpoints.keys().await?;
        self.known.store(Arc::new(Known {
            by_id: usable(&set),
            read: Some(Instant::now()),
        }));
        Ok(())
    }

    fn fresh(&self, id: &str) -> Option<Arc<DecodingKey>> {
        let known = self.known.load();
        let young = known.read.is_some_and(|read| read.elapsed() < OLD);
        young.then(|| known.by_id.get(id).cloned()).flatten()
    }
}

/// Keys that sign with RS256; the realm has others, to encrypt.
fn usable(set: &JwkSet) -> HashMap<String, Arc<DecodingKey>> {
    let signs = set.keys.iter().filter(|key| {
        key.common.key_algorithm == Some(KeyAlgorithm::RS256)
            && key.common.public_key_use == Some(PublicKeyUse::Signature)
    });
    signs
        .filter_map(|key| Some((key.common.key_id.clone()?, Arc::new(DecodingKey::from_jwk(key).ok()?))))
        .collect()
}
