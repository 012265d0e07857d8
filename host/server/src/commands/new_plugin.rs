//! `plugin new`.

use std::path::Path;

use jackfield_scaffold::{PluginName, Sdk, create};
use serde_json::json;

use super::{Failure, output};

pub(super) fn new(name: &PluginName, sdk: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let sdk = sdk.map_or(Sdk::Packed, |path| Sdk::Checkout(path.to_owned()));
    let made = create(name, Path::new("."), &sdk)?;
    if as_json {
        output::json(&json!({ "name": name.as_str(), "directory": made.display().to_string() }));
        return Ok(());
    }
    let name = name.as_str();
    output::line(format_args!(
        "made ./{name}\n\n  cd {name}\n  cargo test           # the plugin, on the real engine\n  cargo run -- serve   # a host with it; README.md goes on from there"
    ));
    Ok(())
}
