//! What a call over the boundary costs, in parts: the same route of the same plugin, compiled in and from a shared library, called
//! without a server around it.

use std::{path::Path, sync::Arc, time::Instant};

use bench_plugin::Bench;
use jackfield_loader::{ColdCache, Images, Requirements, admit, inspect};
use jackfield_plugins::BuiltinCode;
use jackfield_sdk::{axum::body::Body, instance::Instance};
use jackfield_testing::TestHost;
use serde_json::json;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Rounds; the fastest counts, because what is not ours only ever adds.
const ROUNDS: usize = 300;
/// Calls of a round.
const CALLS: u32 = 500;
/// Headers of a request as people's browsers send it.
const HEADERS: [(&str, &str); 8] = [
    ("host", "jackfield.example"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-language", "en-GB,en;q=0.9"),
    ("authorization", "Bearer 0123456789abcdef0123456789abcdef"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"),
    ("x-request-id", "01a210ef-f299-74f8-9bb6-53e7a58c5056"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

/// Prints nanoseconds per call as JSON.
pub(crate) fn measure(file: &Path) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(both(file))?;
    println!("{figures}");
    Ok(())
}

async fn both(file: &Path) -> Result<serde_json::Value, Failed> {
    let kit = TestHost::new().plugin::<Bench>(()).start().await;
    let direct = BuiltinCode::all()?
        .into_iter()
        .find(|code| code.manifest().id == "bench")
        .ok_or("the plugin is not compiled in")?;
    let scratch = std::env::temp_dir().join(format!("jackfield-calls-{}", std::process::id()));
    let cache = ColdCache::open(&scratch)?.warm();
    let stored = cache.store(admit(inspect(file)?, &Requirements::default())?)?;
    let dylib = Images::default().load(&stored, &[])?;
    let mut figures = serde_json::Map::new();
    for (name, code) in [("direct", direct), ("dylib", dylib)] {
        let instance = code.create(json!({}), kit.of::<Bench>()).await?;
        let bare = fastest(&instance, "/bench/item", &[]).await?;
        let headers = fastest(&instance, "/bench/item", &HEADERS).await?;
        let yielding = fastest(&instance, "/bench/yielding", &[]).await?;
        let figure = json!({ "bare": bare, "headers": headers, "yielding": yielding });
        figures.insert(name.to_owned(), figure);
    }
    std::fs::remove_dir_all(&scratch)?;
    Ok(figures.into())
}

/// Nanoseconds of one call, its request and the whole of its answer included.
async fn fastest(instance: &Arc<dyn Instance>, path: &str, headers: &[(&str, &str)]) -> Result<f64, Failed> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            let mut request = http::Request::get(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = instance.serve(request.body(Body::empty())?).await?;
            if response.status() != 200 {
                return Err(format!("{path} answers {}", response.status()).into());
            }
            let bytes = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
            std::hint::black_box(bytes);
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(CALLS));
    }
    Ok(best)
}
