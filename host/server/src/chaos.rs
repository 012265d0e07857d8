//! For the host's own tests: reloads a random plugin again and again, so that a suite that passes has also passed through
//! reloads at moments that nobody chose. Never in production, which is why a variable of the tests switches it on and why
//! the host says so, loudly, at start.

use std::{sync::Arc, time::Duration};

use jackfield_plugins::PluginState;

use crate::serve::Running;

/// Milliseconds between two reloads.
const VARIABLE: &str = "JACKFIELD_TEST_CHAOS_RELOAD_MS";

/// Pauses between reloads when the tests ask for them.
pub(crate) fn asked() -> Option<Duration> {
    let text = std::env::var(VARIABLE).ok()?;
    match text.parse::<u64>() {
        Ok(pause @ 1..) => {
            tracing::warn!(
                pause,
                "{VARIABLE} is set: a random plugin is reloaded every so many milliseconds; this is for tests alone"
            );
            Some(Duration::from_millis(pause))
        }
        _ => {
            tracing::warn!("{VARIABLE} is no number of milliseconds and changes nothing");
            None
        }
    }
}

/// Reloads until the drain begins.
pub(crate) async fn reload_at_random(running: Arc<Running>, pause: Duration) {
    // Chance is in the moments: which plugin is next only has to differ.
    let mut next = usize::try_from(std::process::id()).unwrap_or_default();
    loop {
        tokio::select! {
            () = running.draining.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let active: Vec<String> = running
            .plugins
            .list()
            .into_iter()
            .filter(|row| row.state == PluginState::Active)
            .map(|row| row.id)
            .collect();
        if active.is_empty() {
            continue;
        }
        next = next.wrapping_mul(31).wrapping_add(7);
        let id = &active[next % active.len()];
        metrics::counter!("jackfield_test_chaos_reloads_total", "plugin" => id.clone()).increment(1);
        if let Err(error) = running.plugins.replace(id).await {
            tracing::warn!(plugin = id, %error, "chaos: not reloaded");
        }
    }
}
