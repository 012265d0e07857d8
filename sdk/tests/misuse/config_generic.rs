use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings<T> {
    /// Anything.
    value: T,
}

fn main() {}
