use jackfield_sdk::prelude::*;

#[derive(Config)]
enum Mode {}

fn main() {}
