use jackfield_sdk::prelude::*;

struct Bell;

#[plugin(capabilities("kv"))]
impl Plugin for Bell {
    type Config = ();

    async fn create(_: (), _: Host) -> Result<Self> {
        Ok(Self)
    }
}

fn main() {}
