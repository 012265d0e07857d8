use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings {
    /// Channel.
    #[config(env = CHANNEL)]
    channel: String,
}

fn main() {}
