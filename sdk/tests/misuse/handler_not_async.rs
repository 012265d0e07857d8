//! What a handler may look like.
#![forbid(unsafe_code)]
use jackfield_sdk::prelude::*;

struct Bell;

#[plugin(id = "bell")]
impl Plugin for Bell {
    type Config = ();

    async fn create(_: (), _: Host) -> Result<Self> {
        Ok(Self)
    }

    fn webhooks(hooks: &mut Webhooks<Self>) {
        hooks.at("/bell/events").name("rung").handle(Self::rung);
    }
}

impl Bell {
    fn rung(&self, _run: Run, _event: Delivery) {}
}

fn main() {}
