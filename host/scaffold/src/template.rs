//! What a new plugin consists of. The files under `template/` are its text; `{{…}}` is filled in.

use crate::PluginName;

/// Path in the new crate, and text.
const FILES: [(&str, &str); 8] = [
    (".gitignore", include_str!("../template/gitignore")),
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    ("README.md", include_str!("../template/README.md.in")),
    ("plugins.toml", include_str!("../template/plugins.toml.in")),
    ("src/lib.rs", include_str!("../template/src/lib.rs.in")),
    ("src/tests.rs", include_str!("../template/src/tests.rs.in")),
    ("host/Cargo.toml", include_str!("../template/host/Cargo.toml.in")),
    ("host/src/main.rs", include_str!("../template/host/src/main.rs.in")),
];

/// The files of a plugin called `name`, with the SDK at `sdk`: a path below the crate, or an absolute one.
pub(crate) fn files(name: &PluginName, sdk: &str) -> Vec<(&'static str, String)> {
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
    FILES.into_iter().map(|(path, text)| (path, fill(text))).collect()
}
