//! A plugin that does nothing, durably: a job without steps, a job of five steps, routes.

use jackfield_sdk::{
    axum::routing::get,
    prelude::*,
    utoipa::openapi::{
        HttpMethod, PathItem, PathsBuilder, ResponseBuilder, path::OperationBuilder, security::SecurityRequirement,
    },
};

/// Routes beside the four that are called, so that the smallest host has ten.
const MORE: usize = 6;

/// Nothing to set.
#[derive(Config)]
pub struct BenchConfig {}

/// The plugin.
pub struct Bench;

/// What `GET /bench/item` and `GET /bench/mine` answer.
#[derive(Serialize, ToSchema)]
pub struct Item {
    id: u64,
    name: &'static str,
    tags: [&'static str; 3],
    active: bool,
}

const ITEM: Item = Item {
    id: 42,
    name: "jack field",
    tags: ["one", "two", "three"],
    active: true,
};

/// What `GET /bench/whoami` answers.
#[derive(Serialize, ToSchema)]
pub struct Who {
    user: String,
}

#[plugin(id = "bench")]
impl Plugin for Bench {
    type Config = BenchConfig;

    async fn create(_: BenchConfig, _: Host) -> Result<Self> {
        Ok(Self)
    }

    fn routes(routes: &mut Routes<Self>) {
        routes.add(routes!(item)).add(routes!(yielding));
        routes.add(routes!(mine)).add(routes!(whoami));
        declare(routes, "bench", MORE);
    }

    fn jobs(jobs: &mut Jobs<Self>) {
        jobs.job("noop").handle(Self::noop);
        jobs.job("five").handle(Self::five);
    }
}

/// Declares `count` routes of a plugin without a handler of their own each.
pub fn declare<P: Send + Sync + 'static>(routes: &mut Routes<P>, id: &str, count: usize) {
    for at in 0..count {
        let operation = OperationBuilder::new()
            .security(SecurityRequirement::default())
            .response("200", ResponseBuilder::new().description("its number").build())
            .build();
        let path = format!("/{id}/things-{at}/{{thing}}/part");
        let item = PathItem::new(HttpMethod::Get, operation);
        let paths = PathsBuilder::new().path(path, item).build();
        routes.add((Vec::new(), paths, get(move || async move { at.to_string() })));
    }
}

/// A small JSON answer.
#[utoipa::path(get, path = "/bench/item", security(()), responses((status = 200, body = Item), Problem))]
async fn item() -> Json<Item> {
    Json(ITEM)
}

/// The same, for whoever is signed in.
#[utoipa::path(get, path = "/bench/mine", responses((status = 200, body = Item), Problem))]
async fn mine() -> Json<Item> {
    Json(ITEM)
}

/// Who is signed in.
#[utoipa::path(get, path = "/bench/whoami", responses((status = 200, body = Who), Problem))]
async fn whoami(person: Person) -> Json<Who> {
    Json(Who { user: person.id })
}

/// The same as `item`, after one wake.
#[expect(
    clippy::waker_clone_wake,
    reason = "a timer or a socket keeps a waker too, and keeping it is what costs"
)]
#[utoipa::path(get, path = "/bench/yielding", security(()), responses((status = 200, body = Item), Problem))]
async fn yielding() -> Json<Item> {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if waited {
            return std::task::Poll::Ready(());
        }
        waited = true;
        context.waker().clone().wake();
        std::task::Poll::Pending
    })
    .await;
    Json(ITEM)
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
