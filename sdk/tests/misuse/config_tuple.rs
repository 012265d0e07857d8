use jackfield_sdk::prelude::*;

#[derive(Config)]
struct Settings(String);

fn main() {}
