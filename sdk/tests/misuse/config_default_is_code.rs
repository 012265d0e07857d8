use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings {
    /// Channel.
    #[config(default = String::new())]
    channel: String,
}

fn main() {}
