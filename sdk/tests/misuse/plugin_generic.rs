use jackfield_sdk::prelude::*;

struct Bell<T>(T);

#[plugin(id = "bell")]
impl<T: Send + Sync + 'static> Plugin for Bell<T> {
    type Config = ();

    async fn create(_: (), _: Host) -> Result<Self> {
        Err(Error::permanent("no bell"))
    }
}

fn main() {}
