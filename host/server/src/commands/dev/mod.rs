//! `plugin dev`: builds the plugin of this directory, starts a host that loads its file, and again each time a source is saved.
//!
//! The host is a process of its own, because a plugin under development may take its process down. It ends when its standard
//! input closes, so it never outlives this command, however that ends.

mod crate_here;
mod host;
mod sources;

use std::path::PathBuf;

use jackfield_config::{Flags, Loaded};
use jackfield_loader::{Manifest, Sha256, inspect};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{
    crate_here::{Built, Crate},
    host::{DevHost, Settings},
    sources::{Changed, Sources},
};
use super::{Failure, output};
use crate::cli::DevOptions;

pub(super) async fn dev(loaded: &Loaded, flags: &Flags, options: &DevOptions) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let plugin = Crate::here(options.release).await?;
    let mut sources = Sources::watch(&plugin.directory);
    let mut session = Session {
        loaded,
        flags,
        options,
        plugin,
        host: None,
        served: None,
    };
    session.build(&mut stop).await?;
    while !stop.told {
        tokio::select! {
            () = stop.wait() => {}
            status = DevHost::ended(&mut session.host) => {
                session.host = None;
                session.served = None;
                say(format_args!("the host {status}; save a source to start it again"));
            }
            changed = sources.changed() => match changed {
                Changed::Sources => session.build(&mut stop).await?,
                Changed::PluginsToml => session.settings_changed(),
            },
        }
    }
    if let Some(host) = session.host.take() {
        host.stop().await;
    }
    Ok(())
}

/// What a run of the command goes through.
struct Session<'c> {
    loaded: &'c Loaded,
    flags: &'c Flags,
    options: &'c DevOptions,
    plugin: Crate,
    host: Option<DevHost>,
    served: Option<Served>,
}

/// What the host was last told to load.
struct Served {
    file: PathBuf,
    sha256: Sha256,
    manifest: Manifest,
}

impl Session<'_> {
    /// Builds, and brings the host to what was built.
    async fn build(&mut self, stop: &mut Stop) -> Result<(), Failure> {
        let built = tokio::select! {
            built = self.plugin.build() => built?,
            () = stop.wait() => return Ok(()),
        };
        let waits = || match self.host {
            Some(_) => "the generation before goes on serving",
            None => "save a source to try again",
        };
        let file = match built {
            Built::File(file) => file,
            Built::Failed => {
                say(format_args!("it does not build; {}", waits()));
                return Ok(());
            }
        };
        let candidate = match inspect(&file) {
            Ok(candidate) => candidate,
            Err(refusal) => {
                let (code, reason) = (refusal.code(), &refusal.reason);
                say(format_args!("{code}: {reason}; {}; {}", code.fix(), waits()));
                return Ok(());
            }
        };
        let served = Served {
            sha256: candidate.sha256(),
            manifest: candidate.manifest().clone(),
            file,
        };
        if self
            .served
            .as_ref()
            .is_some_and(|before| before.sha256 == served.sha256)
        {
            return Ok(());
        }
        let settings = Settings::for_file(self.loaded, &self.plugin, &served.manifest, &served.file)?;
        let id = &served.manifest.id;
        if let Some(host) = &mut self.host {
            host.reload(id).await;
        } else {
            self.host = tokio::select! {
                host = DevHost::start(self.loaded, self.flags, self.options, &settings, id) => host?,
                () = stop.wait() => None,
            };
        }
        self.served = Some(served);
        Ok(())
    }

    /// Only where the host reads a file that was made from the author's: otherwise it has seen the change itself.
    fn settings_changed(&self) {
        let Some(served) = &self.served else { return };
        if let Err(error) = Settings::for_file(self.loaded, &self.plugin, &served.manifest, &served.file) {
            say(error);
        }
    }
}

fn say(text: impl std::fmt::Display) {
    output::line(format_args!("dev: {text}"));
}

/// Ctrl-C, or SIGTERM.
struct Stop {
    told: bool,
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            told: false,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.told = true;
    }
}
