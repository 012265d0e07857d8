//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use jackfield_inbox::model::State;
use jackfield_scaffold::PluginName;
use uuid::Uuid;

use crate::since::Since;

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
        /// End when standard input closes: `plugin dev` starts its host so, which then never outlives it
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
    },
    /// Check configuration and every plugin's settings without running anything
    Check,
    /// Effective settings
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// List, switch, reload and pause plugins
    Plugins {
        #[command(subcommand)]
        command: PluginsCommand,
    },
    /// Write a plugin
    Plugin {
        #[command(subcommand)]
        command: PluginCommand,
    },
    /// List, show, cancel, replay and send deliveries
    Deliveries {
        #[command(subcommand)]
        command: DeliveriesCommand,
    },
    /// Everything that the running host has mounted (JSON unless a person looks)
    Routes,
    /// The merged OpenAPI document of the running host
    Openapi,
    /// People, their sessions and API keys, the audit trail
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Database migrations
    Migrate {
        #[command(subcommand)]
        command: MigrateCommand,
    },
    /// Copy an embedded installation (SQLite) into an archive, while it runs or not
    Backup {
        /// The archive to make, as `jackfield.tar.gz`
        file: PathBuf,
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
    /// Make a new generation; a file that was replaced is loaded
    Reload {
        /// Plugin id
        id: String,
        /// Load a new file although the process keeps as many images of the plugin as it may
        #[arg(long)]
        force: bool,
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
    /// Say what admission would decide on a file, and why; exit code 1 if it is refused
    Verify {
        /// Shared library
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Make a crate in ./NAME: route, webhook, setting, health check, tests, and a host to run it in
    New {
        /// Lower-case words joined by `-`: plugin id, crate and directory
        name: PluginName,
        /// Make a shared library that this host and others load, instead of a host of its own
        #[arg(long)]
        dylib: bool,
        /// Use this checkout of Jackfield instead of the sources that this program carries
        #[arg(long, value_name = "PATH")]
        sdk: Option<PathBuf>,
    },
    /// Build the plugin in this directory and start a host that loads it; build and reload each time a source is saved
    Dev(DevOptions),
}

#[derive(Debug, Args)]
pub(crate) struct DevOptions {
    /// Main listener of the host
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Admin listener of the host
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<String>,
    /// Build with optimisations
    #[arg(long)]
    pub(crate) release: bool,
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
        state: Option<State>,
        /// Stored at or after: a time (RFC 3339), or how long ago (90s, 15m, 2h, 7d)
        #[arg(long)]
        since: Option<Since>,
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Show one with headers, body, attempts and steps (JSON unless a person looks)
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
    #[command(group(ArgGroup::new("which").required(true).multiple(true).args(["ids", "plugin", "state", "since"])))]
    Replay {
        /// Delivery ids
        ids: Vec<Uuid>,
        /// Plugin id
        #[arg(long)]
        plugin: Option<String>,
        /// State, as dead
        #[arg(long)]
        state: Option<State>,
        /// Stored at or after: a time (RFC 3339), or how long ago (90s, 15m, 2h, 7d)
        #[arg(long)]
        since: Option<Since>,
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
    /// Sign a payload with the configured secret and post it to the running host
    Send(SendOptions),
}

#[derive(Debug, Args)]
pub(crate) struct SendOptions {
    /// A file, `-` for standard input, or one of the recorded ones that --list shows
    #[arg(required_unless_present = "list")]
    pub(crate) fixture: Option<String>,
    /// Show the recorded payloads
    #[arg(long)]
    pub(crate) list: bool,
    /// Plugin id; not needed when only one plugin takes webhooks
    #[arg(long)]
    pub(crate) plugin: Option<String>,
    /// Webhook name or path; not needed when the plugin has one
    #[arg(long, value_name = "NAME")]
    pub(crate) webhook: Option<String>,
    /// Kind of event, put where the webhook looks for it
    #[arg(long)]
    pub(crate) event: Option<String>,
    /// Delivery id, put where the webhook looks for it [default: a new one]
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// One more header; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Address of the host [default: where the running host listens]
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<url::Url>,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("write it as NAME=VALUE, such as X-GitHub-Event={text}"))?;
    http::HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header name"))?;
    http::HeaderValue::try_from(value).map_err(|_| "the value holds what a header cannot carry".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make a link that signs in once, within 15 minutes (local identity)
    SignInLink {
        /// Whom it signs in; made when missing [default: the owner]
        #[arg(long)]
        email: Option<String>,
    },
    /// List people and change what they may
    Users {
        #[command(subcommand)]
        command: UsersCommand,
    },
    /// List and end sessions
    Sessions {
        #[command(subcommand)]
        command: SessionsCommand,
    },
    /// Make API keys
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// E-mail domains that may not sign in, with all below them
    BlockedDomains {
        #[command(subcommand)]
        command: BlockedDomainsCommand,
    },
    /// The audit trail
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlockedDomainsCommand {
    /// List them
    List,
    /// Block one
    Add {
        /// As example.com
        domain: String,
    },
    /// Let one in again
    Remove {
        /// As `list` shows it
        domain: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// List them
    List,
    /// Change one
    #[command(group(ArgGroup::new("what").required(true).multiple(true).args(["operator", "disabled"])))]
    Set {
        /// Address or id
        user: String,
        /// Whether they operate this host
        #[arg(long)]
        operator: Option<bool>,
        /// Whether they are kept out
        #[arg(long)]
        disabled: Option<bool>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// List somebody's open sessions
    List {
        /// Address or id
        user: String,
    },
    /// End sessions of somebody: one, or all
    Revoke {
        /// Address or id
        user: String,
        /// Session id, as `list` shows it [default: all]
        session: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make one; it is shown this once
    Create {
        /// Whose; with local identity made when missing
        #[arg(long)]
        email: String,
        /// Name
        #[arg(long)]
        name: String,
        /// What it may do; may be given several times [default: all that its owner may]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print every entry as a line of JSON; exit code 1 if one was changed or is missing
    Export {
        /// Only those after this position
        #[arg(long, default_value_t = 0)]
        after: i64,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command's help, one after the other.
    fn helps(command: &mut clap::Command, path: &str, out: &mut String) {
        out.push_str(&format!("## {path}\n\n{}\n", command.render_long_help()));
        for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            helps(sub, &path, out);
        }
    }

    #[test]
    fn help_is_what_it_was() {
        let mut command = Cli::command().version("VERSION").term_width(100);
        Cli::command().debug_assert();
        command.build();
        let mut text = String::new();
        helps(&mut command, "jackfield", &mut text);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_header_is_name_and_value() {
        assert_eq!(header("X-A=b=c"), Ok(("X-A".to_owned(), "b=c".to_owned())));
        assert!(header("X-A").is_err_and(|error| error.contains("NAME=VALUE")));
        assert!(header("X A=b").is_err() && header("X-A=\n").is_err());
    }
}
