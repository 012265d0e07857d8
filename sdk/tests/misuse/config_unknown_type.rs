use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings {
    /// Where it is kept.
    path: std::path::PathBuf,
}

fn main() {}
