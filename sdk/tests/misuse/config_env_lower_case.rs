use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings {
    /// Channel.
    #[config(env = "channel")]
    channel: String,
}

fn main() {}
