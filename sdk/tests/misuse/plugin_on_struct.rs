use jackfield_sdk::prelude::*;

#[plugin(id = "bell")]
struct Bell;

fn main() {}
