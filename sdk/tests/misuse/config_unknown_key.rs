use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings {
    /// Channel.
    #[config(required)]
    channel: String,
}

fn main() {}
