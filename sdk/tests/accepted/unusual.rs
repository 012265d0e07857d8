#![forbid(unsafe_code)]
#![deny(warnings)]
//! What is unusual and right: raw identifiers, quotes in documentation, two plugins in one crate, no unsafe code.

use jackfield_sdk::{config::Config as _, prelude::*};

/// Settings.
#[derive(Config)]
pub struct Settings {
    /// A "kind", such as `a\b`;
    /// over two lines.
    #[config(default = "x\"y\\z\n", env = ["BELL_TYPE", "BELL_KIND"])]
    pub r#type: String,
    /// Choice.
    #[config(default = "very-loud")]
    pub loop_mode: Mode,
    /// Not needed, and yet with a default.
    #[config(default = 5)]
    pub times: Option<u32>,
    /// Not needed.
    pub r#final: Option<f64>,
    #[doc = "a\nb\t\u{1}"]
    #[config(default = -1.)]
    pub weight: f64,
    /// List.
    #[config(default = ["a", "b"])]
    pub names: Vec<String>,
}

#[derive(Config, Debug, PartialEq)]
pub enum Mode {
    Quiet,
    VeryLoud,
}

pub struct Bell;
pub struct Gong;

#[plugin(id = "bell")]
impl Plugin for Bell {
    type Config = Settings;

    async fn create(_: Settings, _: Host) -> Result<Self> {
        Ok(Self)
    }
}

#[plugin(id = "gong", description = "a \"gong\"")]
impl Plugin for Gong {
    type Config = ();

    async fn create(_: (), _: Host) -> Result<Self> {
        Ok(Self)
    }
}

fn main() {
    let schema: jackfield_sdk::serde_json::Value = jackfield_sdk::serde_json::from_str(Settings::SCHEMA).unwrap();
    let fields = &schema["properties"];
    assert_eq!(fields["type"]["description"], "A \"kind\", such as `a\\b`; over two lines.");
    assert_eq!(fields["type"]["default"], "x\"y\\z\n");
    assert_eq!(fields["weight"]["default"], -1.0);
    assert_eq!(fields["loop_mode"]["enum"][1], "very-loud");
    assert_eq!(schema["required"].as_array().unwrap().len(), 0);

    let read = Settings::from_value(jackfield_sdk::serde_json::json!({ "type": "t", "final": 2.5 })).unwrap();
    assert_eq!((read.r#type.as_str(), read.times, read.r#final), ("t", Some(5), Some(2.5)));
    assert_eq!(read.loop_mode, Mode::VeryLoud);

    let ids: Vec<&str> = jackfield_sdk::manifest::builtins().iter().map(|one| one.manifest.id).collect();
    assert_eq!(ids, ["bell", "gong"]);
}
