//! What changes while the host runs: settings, `plugins.toml`, plugin files. A changed file, SIGHUP, the admin API and the
//! command line all end here.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};

use jackfield_config::{Flags, Loaded};
use jackfield_plugins::{PluginRow, PluginState};

use crate::{
    plan::{self, Plan},
    serve::{ApplyError, Running},
};

impl Running {
    /// The settings that hold now.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.loaded.load_full()
    }

    /// The command line that it was started with.
    pub(crate) fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Reads everything again, host settings, `plugins.toml` and secret files, and brings about what may change while the
    /// host runs. On a problem the old configuration stays.
    pub(crate) async fn reload(&self) -> Result<(), ApplyError> {
        let fresh = plan::load(&self.flags).map_err(ApplyError::Config)?;
        let before = self.loaded();
        for key in fresh.settings.restart_needed(&before.settings) {
            tracing::warn!(key, "this setting changed; it takes effect after a restart");
        }
        self.live.logs.set(&fresh.settings.log);
        self.live.origins.set(fresh.settings.origins());
        self.identity.set_places(crate::build::places(&fresh.settings));
        self.live.mail.set_base(&crate::serve::base(&fresh.settings));
        self.live.operators.set_key(fresh.settings.operator_key.as_deref());
        self.loaded.store(Arc::new(fresh));
        self.replan().await
    }

    fn plan(&self) -> Result<Plan, ApplyError> {
        // Files are read, and those that changed are loaded, which blocks.
        let plan = || plan::plan(&self.loaded().settings, Some(&self.dylibs));
        tokio::task::block_in_place(plan).map_err(ApplyError::Config)
    }

    /// Reads `plugins.toml` again and brings the plugins to it.
    async fn replan(&self) -> Result<(), ApplyError> {
        let _one = self.planning.lock().await;
        let planned = self.plan()?;
        let problems = planned.problems;
        self.plugins.apply(planned.wanted).await?;
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ApplyError::Config(problems))
        }
    }

    /// A new generation of one plugin, of the code that its file holds now. With `force` that is loaded although the process
    /// keeps as many images of the plugin as it may.
    pub(crate) async fn renew(&self, id: &str, force: bool) -> Result<(), ApplyError> {
        let _one = self.planning.lock().await;
        if force {
            self.dylibs.allow_one_more(id);
        }
        let planned = self.plan()?;
        let fresh = planned.wanted.into_iter().find(|wanted| wanted.id == id);
        self.plugins.reload(id, fresh).await?;
        Ok(())
    }

    /// Switches a plugin on or off where that persists, applies it, and waits until what was replaced has ended.
    pub(crate) async fn set_enabled(&self, id: &str, enabled: bool) -> Result<(), ApplyError> {
        let path = plan::plugins_file(&self.loaded().settings).unwrap_or_else(|| PathBuf::from("plugins.toml"));
        let edit = jackfield_config::set_enabled(&path, id, enabled)?;
        self.own(edit.hash.clone());
        if let Err(error) = self.replan().await {
            let refused = |row: &PluginRow| row.id == id && row.state == PluginState::Refused;
            if matches!(error, ApplyError::Change(_)) || self.plugins.list().iter().any(refused) {
                // Kept, it would stop the next start of this host.
                self.own(edit.undo()?);
                if let Err(other) = self.replan().await {
                    tracing::warn!(error = %other, "the configuration before the edit has problems of its own");
                }
            }
            return Err(error);
        }
        self.plugins.settled(id, Duration::from_secs(10)).await;
        Ok(())
    }

    fn own(&self, hash: String) {
        *self.own_edit.lock().unwrap_or_else(PoisonError::into_inner) = hash;
    }

    /// Whether this content is what we wrote last.
    pub(crate) fn is_own_edit(&self, content: &[u8]) -> bool {
        *self.own_edit.lock().unwrap_or_else(PoisonError::into_inner) == jackfield_config::content_hash(content)
    }
}
