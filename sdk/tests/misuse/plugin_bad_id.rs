use jackfield_sdk::prelude::*;

struct Bell;

#[plugin(id = "Door_Bell")]
impl Plugin for Bell {
    type Config = ();

    async fn create(_: (), _: Host) -> Result<Self> {
        Ok(Self)
    }
}

fn main() {}
