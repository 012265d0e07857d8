//! What the list shows of a plugin, and the metric of its state.

use metrics::gauge;

use super::{PluginRow, Slot};
use crate::wanted::{Enablement, PluginState};

/// A row of the list.
pub(super) fn row(slot: &Slot) -> PluginRow {
    let (state, reason) = describe(slot);
    let code = slot.code.as_ref();
    PluginRow {
        id: slot.wanted.id.clone(),
        version: code.map_or_else(String::new, |code| code.manifest().version.to_owned()),
        enabled: matches!(slot.wanted.enablement, Enablement::Enabled(_)),
        // Only a file's code is not there before it is loaded.
        carrier: code.map_or("dylib", |code| code.carrier()),
        state,
        reason,
        generation: slot.numbers,
        routes: code.map_or(0, |code| code.descriptor().routes.len()),
        webhooks: code.map_or(0, |code| code.descriptor().webhooks.len()),
        health: slot.health.clone(),
    }
}

/// State and reason of a slot.
pub(super) fn describe(slot: &Slot) -> (PluginState, String) {
    match &slot.wanted.enablement {
        Enablement::Disabled(_) if !slot.leaving.is_empty() => {
            return (
                PluginState::Draining,
                "requests and jobs in flight are ending".to_owned(),
            );
        }
        Enablement::Disabled(reason) => return (PluginState::Disabled, reason.clone()),
        Enablement::Refused(reason) => return (PluginState::Refused, reason.clone()),
        Enablement::Enabled(_) => {}
    }
    if let Some(reason) = &slot.failed {
        return (PluginState::Failed, reason.clone());
    }
    if let Some(quarantine) = &slot.quarantine {
        return (PluginState::Quarantined, quarantine.reason.clone());
    }
    if slot.paused {
        return (PluginState::Paused, "paused by an operator".to_owned());
    }
    let Enablement::Enabled(reason) = &slot.wanted.enablement else {
        return (PluginState::Disabled, String::new());
    };
    (PluginState::Active, reason.clone())
}

pub(super) fn show_state(id: &str, now: PluginState) {
    for state in PluginState::ALL {
        let on = if state == now { 1.0 } else { 0.0 };
        gauge!("jackfield_plugin_state", "plugin" => id.to_owned(), "state" => state.as_str()).set(on);
    }
}
