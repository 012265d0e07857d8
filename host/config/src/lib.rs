//! Configuration: host settings, `plugins.toml`, and how a plugin's settings come about. Reads files and a given
//! environment, nothing else. Every effective value knows where it came from; every problem says file, line, key and fix.

mod check;
mod develop;
mod edit;
mod load;
mod page_source;
mod plugins;
mod problem;
mod resolve;
mod settings;
mod source;

pub use develop::with_file;
pub use edit::{Edit, EditError, content_hash, set_enabled};
pub use load::{load, secret_variables};
pub use page_source::PageSource;
pub use plugins::{Carrier, Enabled, PluginEntry, PluginsFile};
pub use problem::Problem;
pub use resolve::{Decision, Resolved, decide, resolve};
pub use settings::{Flags, Loaded, LogFormat, Settings, SignIn};
pub use source::{Environment, Source};
