use jackfield_sdk::prelude::*;

struct Bell;

#[plugin(id = "bell", capabilities("http:"))]
impl Plugin for Bell {
    type Config = ();

    async fn create(_: (), _: Host) -> Result<Self> {
        Ok(Self)
    }
}

fn main() {}
