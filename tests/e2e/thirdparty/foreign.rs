//! `examples/parcels`: a plugin outside the workspace, with a lock file and versions of its own, through every host service.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Router, extract::Path, http::HeaderMap, routing::post};
use jackfield_tests::{
    host::{Host, OPERATOR, binary},
    postgres,
    scratch::{Scratch, free_address},
};
use serde_json::{Value, json};

use super::{SOON, built, cargo, change, deliver, get, repository, row, setup, target, until};

const SECRET: &str = "a secret of the carrier";

/// Builds it as its author does; gives the file.
fn build() -> PathBuf {
    let apart = target().join("foreign");
    let mut command = cargo(&["build", "--locked"]);
    command.env("CARGO_TARGET_DIR", &apart);
    built(command, &repository().join("examples/parcels"));
    apart.join("debug/libparcels.so")
}

/// What the carrier was told: parcel, credentials, idempotency key.
type Told = Arc<Mutex<Vec<(String, String, String)>>>;

/// The carrier's API.
async fn carrier() -> (String, Told) {
    let told = Told::default();
    let (address, heard) = (free_address(), Arc::clone(&told));
    let confirm = async move |Path(parcel): Path<String>, headers: HeaderMap| {
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        let call = (parcel, text("authorization"), text("idempotency-key"));
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        "noted"
    };
    let app = Router::new().route("/parcels/{parcel}/confirmations", post(confirm));
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (format!("http://{address}"), told)
}

async fn moved(host: &Host, state: &str) -> u16 {
    let body = json!({ "shop": "corner", "parcel": "JF42", "state": state }).to_string();
    deliver(host, "/parcels/events", "x-carrier-signature", SECRET, &body).await
}

async fn json_of(host: &Host, path: &str) -> Value {
    let (status, text) = get(host, path).await;
    assert_eq!(status, 200, "{text}: {}", host.log_end());
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_with_other_versions_uses_every_service_on_sqlite() {
    let Some(_) = binary() else { return };
    goes_through_it_all("foreign-sqlite", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_with_other_versions_uses_every_service_on_postgresql() {
    let Some(_) = binary() else { return };
    let Some(url) = postgres::database().await else { return };
    goes_through_it_all("foreign-postgres", Some(url)).await;
}

async fn goes_through_it_all(name: &str, database: Option<String>) {
    let file = build();
    let (scratch, (api, told)) = (Scratch::new(name), carrier().await);
    let table = format!(
        "[plugins.parcels]\ncarrier = \"dylib\"\npath = \"{}\"\n\
         capabilities = [\"database\", \"kv\", \"pubsub\", \"jobs\", \"vault\", \"http:{{api}}\"]\n\
         [plugins.parcels.config]\napi = \"{api}\"\n",
        file.display()
    );
    std::fs::write(scratch.0.join("plugins.toml"), table).unwrap();
    let mut setup = setup(scratch.0.clone()).with("PARCELS_SECRET", SECRET);
    if let Some(url) = database {
        setup = setup.with("JACKFIELD_DATABASE_URL", &url);
    }
    let host = setup.start().await;
    let now = row(&host, "parcels").await;
    assert_eq!(
        (&now["state"], &now["carrier"]),
        (&json!("active"), &json!("dylib")),
        "{now}"
    );

    // Vault, and a route that not everybody may call.
    let token = host
        .client
        .put(host.url("/parcels/shops/corner/token"))
        .json(&json!({ "token": "t0ken" }));
    let sent = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status().as_u16() };
    assert_eq!(sent(token.try_clone().unwrap()).await, 401);
    assert_eq!(sent(token.bearer_auth(OPERATOR)).await, 204);

    // Blocking, clock, database, pub/sub, in the steps of a delivery.
    assert_eq!(get(&host, "/parcels/JF42").await.0, 404);
    assert_eq!(moved(&host, "on its way").await, 200);
    host.settle(&["done"], SOON).await;
    let parcel = json_of(&host, "/parcels/JF42").await;
    assert_eq!((&parcel["state"], &parcel["moves"]), (&json!("on its way"), &json!(1)));
    let digits = parcel["check_digits"].as_str().unwrap().to_owned();
    assert!(digits.len() == 2 && digits.parse::<u8>().is_ok(), "{parcel}");
    until(&host, "/parcels", "\"heard\":1").await;

    // The second move empties what the key-value store kept, and enqueues a job that calls the carrier with the vault's token.
    assert_eq!(json_of(&host, "/parcels/JF42").await["state"], "on its way");
    assert_eq!(moved(&host, "arrived").await, 200);
    let done = host.settle(&["done"], SOON).await;
    assert!(
        done.iter()
            .any(|row| row["outcome"] == format!("move 2 of JF42 ({digits})")),
        "{done:?}"
    );
    let begun = Instant::now();
    while told.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
        assert!(begun.elapsed() < SOON, "the carrier hears nothing: {}", host.log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (of, credentials, key) = told.lock().unwrap_or_else(PoisonError::into_inner)[0].clone();
    assert_eq!((of.as_str(), credentials.as_str()), ("JF42", "Bearer t0ken"));
    assert!(key.ends_with("/confirm"), "{key}");
    assert_eq!(json_of(&host, "/parcels/JF42").await["state"], "arrived");

    // The schedule has run by itself, and numbers are there to be scraped under the plugin's name.
    let begun = Instant::now();
    while json_of(&host, "/parcels").await["tidied"] == 0 {
        assert!(begun.elapsed() < SOON, "the schedule does not run: {}", host.log_end());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let metrics = host.metrics().await;
    for name in [
        "asked_total{from=\"database\"",
        "asked_total{from=\"cache\"",
        "moves_of_last",
        "confirm_seconds",
    ] {
        assert!(
            metrics.contains(&format!("jackfield_plugin_parcels_{name}")),
            "{name}: {metrics}"
        );
    }
    assert!(host.log().contains("heard of a move"), "{}", host.log_end());

    // A new generation of the same file: its tables stay, its task listens, its instance is new.
    change(&host, "reload", "parcels").await;
    let overview = json_of(&host, "/parcels").await;
    assert_eq!(
        (&overview["parcels"], &overview["heard"]),
        (&json!(1), &json!(0)),
        "{overview}"
    );
    assert!(
        overview["last_moved_ms"].as_i64() > Some(1_600_000_000_000),
        "{overview}"
    );
    assert_eq!(moved(&host, "returned").await, 200);
    host.settle(&["done"], SOON).await;
    until(&host, "/parcels", "\"heard\":1").await;
}
