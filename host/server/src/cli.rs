//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

/// Plugin host for SaaS platforms.
#[derive(Debug, Parser)]
#[command(name = "jackfield", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where configuration is.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// Host settings [default: ./jackfield.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Plugins file [default: ./plugins.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) plugins: Option<PathBuf>,
    /// Machine-readable output
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the host
    Serve {
        /// Main listener
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
        /// Admin listener (metrics, probes); never expose it
        #[arg(long, value_name = "ADDRESS")]
        admin_listen: Option<String>,
    },
    /// Check configuration and every plugin's settings without running anything
    Check,
    /// Effective settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Plugins of the running host
    Plugins {
        #[command(subcommand)]
        command: PluginsCommand,
    },
    /// Stored deliveries
    Deliveries {
        #[command(subcommand)]
        command: DeliveriesCommand,
    },
    /// Everything that is mounted
    Routes,
    /// The merged OpenAPI document
    Openapi,
    /// Database migrations
    Migrate {
        #[command(subcommand)]
        command: MigrateCommand,
    },
    /// Shell completions
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
    /// Manual page
    Man,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the effective settings, secrets redacted
    Show {
        /// Say where each value came from
        #[arg(long)]
        sources: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginsCommand {
    /// List them
    List,
    /// Switch one on in plugins.toml, and wait until it runs
    Enable {
        /// Plugin id
        id: String,
    },
    /// Switch one off in plugins.toml, and wait until it is off
    Disable {
        /// Plugin id
        id: String,
    },
    /// Make a new generation
    Reload {
        /// Plugin id
        id: String,
    },
    /// Store its deliveries, process none
    Pause {
        /// Plugin id
        id: String,
    },
    /// End a pause or a quarantine
    Resume {
        /// Plugin id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List them, newest first
    List {
        /// Plugin id
        #[arg(long)]
        plugin: Option<String>,
        /// pending, running, waiting, blocked, held, done, dead or cancelled
        #[arg(long)]
        state: Option<jackfield_inbox::model::State>,
        /// Stored at or after (RFC 3339)
        #[arg(long)]
        since: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one with headers, body, attempts and steps
    Show {
        /// Delivery id
        id: Uuid,
    },
    /// End one that has not ended
    Cancel {
        /// Delivery id
        id: Uuid,
    },
    /// Run ended ones again
    Replay {
        /// Delivery ids
        ids: Vec<Uuid>,
        /// Plugin id
        #[arg(long)]
        plugin: Option<String>,
        /// State, as dead
        #[arg(long)]
        state: Option<jackfield_inbox::model::State>,
        /// Stored at or after (RFC 3339)
        #[arg(long)]
        since: Option<String>,
        /// Only say how many
        #[arg(long)]
        dry_run: bool,
        /// Every step again, with the same keys
        #[arg(long)]
        from_start: bool,
        /// Every step again, with new keys
        #[arg(long, conflicts_with = "from_start")]
        again: bool,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum MigrateCommand {
    /// What is applied
    Status,
    /// Apply what is pending
    Up,
    /// What `up` would apply
    Plan,
}
