//! The manifest as text in the plugin's file: made when it is compiled, read without running it.

use std::env::consts::{ARCH, OS};

use jackfield_abi as abi;

use crate::manifest::{Manifest, Migration};

/// C library of this target.
const ENV: &str = if cfg!(target_env = "musl") {
    "musl"
} else if cfg!(target_env = "gnu") {
    "gnu"
} else {
    "unknown"
};

/// Length of [`text`].
pub const fn len(manifest: &Manifest, abort: bool) -> usize {
    render::<0>(manifest, abort).at
}

/// JSON text of a manifest; `abort` is the crate's panic strategy.
pub const fn text<const N: usize>(manifest: &Manifest, abort: bool) -> [u8; N] {
    render::<N>(manifest, abort).bytes
}

/// Bytes written so far; with `N` 0 they are only counted.
struct Out<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Out<N> {
    const fn byte(&mut self, byte: u8) {
        if N > 0 {
            self.bytes[self.at] = byte;
        }
        self.at += 1;
    }

    const fn raw(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            self.byte(bytes[at]);
            at += 1;
        }
    }

    /// A JSON string.
    const fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.byte(b'"');
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => self.raw("\\\""),
                b'\\' => self.raw("\\\\"),
                b'\n' => self.raw("\\n"),
                control if control < 0x20 => {
                    self.raw("\\u00");
                    self.byte(HEX[(control >> 4) as usize]);
                    self.byte(HEX[(control & 15) as usize]);
                }
                other => self.byte(other),
            }
            at += 1;
        }
        self.byte(b'"');
    }

    const fn number(&mut self, number: u32) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.byte(b'0' + (number % 10) as u8);
    }

    const fn member(&mut self, name: &str, text: &str) {
        self.byte(b',');
        self.string(name);
        self.byte(b':');
        self.string(text);
    }
}

const fn render<const N: usize>(manifest: &Manifest, abort: bool) -> Out<N> {
    let mut out = Out { bytes: [0; N], at: 0 };
    out.raw("{\"manifest\":1");
    out.member("id", manifest.id);
    out.member("version", manifest.version);
    out.member("description", manifest.description);
    out.raw(",\"abi\":[");
    out.number(abi::MAJOR);
    out.byte(b',');
    out.number(abi::MINOR);
    out.raw("],\"target\":\"");
    out.raw(ARCH);
    out.raw("-unknown-");
    out.raw(OS);
    out.byte(b'-');
    out.raw(ENV);
    out.byte(b'"');
    out.member("panic", if abort { "abort" } else { "unwind" });
    out.member("sdk", env!("CARGO_PKG_VERSION"));
    out.raw(",\"config_schema\":");
    out.raw(manifest.config_schema);
    out.raw(",\"capabilities\":[");
    let mut at = 0;
    while at < manifest.capabilities.len() {
        if at > 0 {
            out.byte(b',');
        }
        out.string(manifest.capabilities[at]);
        at += 1;
    }
    out.raw("],\"migrations\":[");
    let mut at = 0;
    while at < manifest.migrations.len() {
        if at > 0 {
            out.byte(b',');
        }
        migration(&mut out, &manifest.migrations[at]);
        at += 1;
    }
    out.raw("]}");
    out
}

const fn migration<const N: usize>(out: &mut Out<N>, migration: &Migration) {
    out.raw("{\"number\":");
    out.number(migration.number);
    out.raw(",\"min_reader\":");
    out.number(migration.min_reader);
    out.member("name", migration.name);
    out.member("sqlite", migration.sqlite);
    out.member("postgres", migration.postgres);
    out.byte(b'}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MANIFEST: Manifest = Manifest {
        id: "a-b",
        version: "1.2.3",
        description: "says \"so\"\n\u{1}",
        config_schema: r#"{"type":"object"}"#,
        capabilities: &["kv", "http:{api}"],
        migrations: &[Migration {
            number: 12,
            name: "first",
            sqlite: "SELECT '\\';\n",
            postgres: "SELECT 1",
            min_reader: 0,
        }],
    };

    #[test]
    fn is_json_made_at_compile_time() {
        const LEN: usize = len(&MANIFEST, false);
        static TEXT: [u8; LEN] = text(&MANIFEST, false);
        let read: serde_json::Value = serde_json::from_slice(&TEXT).unwrap_or_default();
        assert_eq!(read["description"], "says \"so\"\n\u{1}");
        assert_eq!(read["abi"], json!([abi::MAJOR, abi::MINOR]));
        assert_eq!(read["capabilities"], json!(["kv", "http:{api}"]));
        assert_eq!(read["config_schema"], json!({ "type": "object" }));
        assert_eq!(read["migrations"][0]["number"], 12);
        assert_eq!(read["migrations"][0]["sqlite"], "SELECT '\\';\n");
        assert_eq!(read["panic"], "unwind");
    }
}
