use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings {
    /// Channel.
    #[config(default = 5)]
    channel: String,
}

fn main() {}
