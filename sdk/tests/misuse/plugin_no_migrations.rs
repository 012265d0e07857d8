use jackfield_sdk::prelude::*;

struct Bell;

#[plugin(id = "bell", migrations = "nowhere")]
impl Plugin for Bell {
    type Config = ();

    async fn create(_: (), _: Host) -> Result<Self> {
        Ok(Self)
    }
}

fn main() {}
