use jackfield_sdk::prelude::*;

struct Bell;

#[plugin(id = "bell")]
impl Bell {}

fn main() {}
