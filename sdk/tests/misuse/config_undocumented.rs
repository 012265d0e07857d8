use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings {
    channel: String,
}

fn main() {}
