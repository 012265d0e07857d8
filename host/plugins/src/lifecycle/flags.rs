//! Pauses and quarantines: kept in the store, so that they hold on every replica and after a restart.

use std::collections::HashMap;

use bytes::Bytes;

use super::{ChangeError, Plugins};
use crate::quarantine::Quarantine;

impl Plugins {
    /// Stores its deliveries and does not process them, on every replica, also after a restart.
    pub async fn pause(&self, id: &str) -> Result<(), ChangeError> {
        self.set_flag(id, "pause", Some(Bytes::from_static(b"{}"))).await
    }

    /// Ends a pause and a quarantine.
    pub async fn resume(&self, id: &str) -> Result<(), ChangeError> {
        self.lift_quarantine(id).await?;
        self.set_flag(id, "pause", None).await
    }

    /// Takes over pauses and quarantines that other replicas have set. Called every few seconds.
    pub async fn sync(&self) -> Result<(), ChangeError> {
        let _one = self.0.changing.lock().await;
        if self.load_flags().await? {
            self.rebuild().await
        } else {
            Ok(())
        }
    }

    /// Acts on faults that requests and jobs have reported.
    pub async fn judge(&self) -> Result<(), ChangeError> {
        let (guilty, cleared) = self.0.watch.take();
        for (id, reason) in guilty {
            let now = self.0.backends.clock.now_ms();
            let old = self.slots().get(&id).and_then(|slot| slot.quarantine.clone());
            let next = match old {
                Some(old) if old.probing(now) => old.again(now),
                Some(_) => continue,
                None => Quarantine::begin(reason, now),
            };
            tracing::error!(plugin = id, reason = next.reason, "quarantined");
            let bytes = serde_json::to_vec(&next).unwrap_or_default();
            self.set_flag(&id, "quarantine", Some(bytes.into())).await?;
        }
        for id in cleared {
            let probing = self.slots().get(&id).and_then(|slot| slot.quarantine.clone());
            if probing.is_some_and(|quarantine| quarantine.probing(self.0.backends.clock.now_ms())) {
                tracing::info!(plugin = id, "the probe succeeded; quarantine ends");
                self.lift_quarantine(&id).await?;
            }
        }
        self.show_tasks();
        self.sync().await
    }

    /// What a plugin's own runtime runs is not ours to count one by one.
    fn show_tasks(&self) {
        for (id, slot) in self.slots().iter() {
            let running = slot.generation.iter().chain(&slot.leaving);
            let tasks: Vec<u64> = running.filter_map(|generation| generation.instance().tasks()).collect();
            if !tasks.is_empty() {
                let sum: u64 = tasks.into_iter().sum();
                metrics::gauge!("jackfield_plugin_own_tasks", "plugin" => id.clone()).set(sum as f64);
            }
        }
    }

    async fn set_flag(&self, id: &str, kind: &str, value: Option<Bytes>) -> Result<(), ChangeError> {
        let _one = self.0.changing.lock().await;
        if !self.knows(id) {
            return Err(ChangeError::Unknown(id.to_owned()));
        }
        self.0.inbox.store().set_value(&format!("{kind}/{id}"), value).await?;
        self.load_flags().await?;
        self.rebuild().await
    }

    pub(super) async fn lift_quarantine(&self, id: &str) -> Result<(), ChangeError> {
        self.0.watch.forgive(id);
        self.0
            .inbox
            .store()
            .set_value(&format!("quarantine/{id}"), None)
            .await?;
        if let Some(slot) = self.slots().get_mut(id) {
            slot.quarantine = None;
        }
        Ok(())
    }

    /// Reads pauses and quarantines from the store; tells whether anything changed.
    pub(super) async fn load_flags(&self) -> Result<bool, ChangeError> {
        let store = self.0.inbox.store();
        let paused: HashMap<String, Bytes> = store.values("pause/").await?.into_iter().collect();
        let quarantined: HashMap<String, Bytes> = store.values("quarantine/").await?.into_iter().collect();
        let now = self.0.backends.clock.now_ms();
        let mut changed = false;
        for (id, slot) in self.slots().iter_mut() {
            let pause = paused.contains_key(&format!("pause/{id}"));
            let quarantine: Option<Quarantine> = quarantined
                .get(&format!("quarantine/{id}"))
                .and_then(|bytes| serde_json::from_slice(bytes).ok());
            let probe_begins = quarantine.as_ref().is_some_and(|quarantine| quarantine.probing(now))
                && self
                    .0
                    .watch
                    .probe_begins(id, quarantine.as_ref().map_or(0, |quarantine| quarantine.strikes));
            changed |= pause != slot.paused || quarantine != slot.quarantine || probe_begins;
            slot.paused = pause;
            slot.quarantine = quarantine;
        }
        Ok(changed)
    }
}
