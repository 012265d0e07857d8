//! `plugin new`.

use std::path::Path;

use jackfield_scaffold::{Kind, PluginName, Sdk, create};
use serde_json::json;

use super::{Failure, output};

pub(super) fn new(name: &PluginName, dylib: bool, sdk: Option<&Path>, as_json: bool) -> Result<(), Failure> {
    let sdk = sdk.map_or(Sdk::Packed, |path| Sdk::Checkout(path.to_owned()));
    let kind = if dylib { Kind::Dylib } else { Kind::Builtin };
    let made = create(name, kind, Path::new("."), &sdk)?;
    if as_json {
        output::json(&json!({ "name": name.as_str(), "directory": made.display().to_string() }));
        return Ok(());
    }
    let name = name.as_str();
    let next = match kind {
        Kind::Builtin => "cargo run -- serve      # a host with it",
        Kind::Dylib => "jackfield plugin dev    # a host that loads it, and again each time you save",
    };
    output::line(format_args!(
        "made ./{name}\n\n  cd {name}\n  cargo test              # the plugin, on the real engine\n  {next}\n\nREADME.md goes on from there"
    ));
    Ok(())
}
