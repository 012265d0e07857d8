//! A plugin that does nothing, durably: a job without steps, a job of five steps, a route.

use jackfield_sdk::prelude::*;

/// Nothing to set.
#[derive(Config)]
pub(crate) struct BenchConfig {}

/// The plugin.
pub(crate) struct Bench;

/// What `GET /bench/item` answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Item {
    id: u64,
    name: &'static str,
    tags: [&'static str; 3],
    active: bool,
}

#[plugin(id = "bench")]
impl Plugin for Bench {
    type Config = BenchConfig;

    async fn create(_: BenchConfig, _: Host) -> Result<Self> {
        Ok(Self)
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(item));
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("noop").handle(Self::noop);
        jobs.job("five").handle(Self::five);
    }
}

/// A small JSON answer.
#[utoipa::path(get, path = "/bench/item", security(()), responses((status = 200, body = Item)))]
async fn item() -> Json<Item> {
    Json(Item {
        id: 42,
        name: "jack field",
        tags: ["one", "two", "three"],
        active: true,
    })
}

impl Bench {
    #[expect(clippy::unused_async, reason = "a handler is async, and this one does nothing")]
    async fn noop(&self, _: Run, (): ()) -> Result<Outcome> {
        Ok(Outcome::done("nothing to do"))
    }

    async fn five(&self, run: Run, (): ()) -> Result<Outcome> {
        for name in ["one", "two", "three", "four", "five"] {
            run.step(name, |_| async { Ok(()) }).await?;
        }
        Ok(Outcome::done("five steps"))
    }
}
