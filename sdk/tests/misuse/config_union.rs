use jackfield_sdk::prelude::*;

#[derive(Config)]
union Settings {
    a: u32,
    b: u32,
}

fn main() {}
