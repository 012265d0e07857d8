//! What a new plugin consists of. The files under `template/` are its text; `{{…}}` is filled in.

use crate::{Kind, PluginName};

/// Path in the new crate, and text.
type File = (&'static str, &'static str);

/// The plugin itself is the same on each carrier.
const SHARED: [File; 3] = [
    (".gitignore", include_str!("../template/gitignore")),
    ("src/lib.rs", include_str!("../template/src/lib.rs.in")),
    ("src/tests.rs", include_str!("../template/src/tests.rs.in")),
];

const BUILTIN: [File; 5] = [
    ("Cargo.toml", include_str!("../template/builtin/Cargo.toml.in")),
    ("README.md", include_str!("../template/builtin/README.md.in")),
    ("plugins.toml", include_str!("../template/builtin/plugins.toml.in")),
    (
        "host/Cargo.toml",
        include_str!("../template/builtin/host/Cargo.toml.in"),
    ),
    (
        "host/src/main.rs",
        include_str!("../template/builtin/host/src/main.rs.in"),
    ),
];

const DYLIB: [File; 3] = [
    ("Cargo.toml", include_str!("../template/dylib/Cargo.toml.in")),
    ("README.md", include_str!("../template/dylib/README.md.in")),
    ("plugins.toml", include_str!("../template/dylib/plugins.toml.in")),
];

/// The files of a plugin called `name`, with the SDK at `sdk`: a path below the crate, or an absolute one.
pub(crate) fn files(name: &PluginName, kind: Kind, sdk: &str) -> Vec<(&'static str, String)> {
    let below = !sdk.starts_with('/');
    let fill = |text: &str| {
        text.replace("{{name}}", name.as_str())
            .replace("{{snake}}", &name.snake())
            .replace("{{Type}}", &name.pascal())
            .replace("{{ENV}}", &name.upper())
            .replace("{{sdk}}", sdk)
            .replace(
                "{{host_sdk}}",
                &if below { format!("../{sdk}") } else { sdk.to_owned() },
            )
            .replace(
                "{{layout}}",
                if below {
                    "| `vendor/` | the sources of the SDK and the host, as your `jackfield` carries them |\n"
                } else {
                    ""
                },
            )
            .replace("{{exclude}}", if below { "exclude = [\"vendor\"]\n" } else { "" })
    };
    let own: &[File] = match kind {
        Kind::Builtin => &BUILTIN,
        Kind::Dylib => &DYLIB,
    };
    SHARED
        .iter()
        .chain(own)
        .map(|(path, text)| (*path, fill(text)))
        .collect()
}
