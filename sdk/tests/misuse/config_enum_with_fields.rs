use jackfield_sdk::prelude::*;

#[derive(Config)]
enum Mode {
    Fast,
    Safe(u32),
}

fn main() {}
