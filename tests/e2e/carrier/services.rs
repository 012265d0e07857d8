//! Every service of the host over the boundary of a shared library, granted and refused, and the plugin's runtime at every
//! entry.

use jackfield_tests::host::OPERATOR;
use serde_json::{Value, json};

use super::{Place, SOON, ready};

const SERVICES: [&str; 8] = ["http", "kv", "pubsub", "vault", "database", "jobs", "clock", "blocking"];

#[tokio::test(flavor = "multi_thread")]
async fn every_service_works() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-services");
    place.serve_vendor().await;
    let host = place.start().await;
    let (status, text) = host.post("services", "").await;
    assert_eq!(status, 200, "{text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    for service in SERVICES {
        assert_eq!(said[service], "ok", "{service}");
    }
    // Who calls is known behind the boundary, and asked for in front of it.
    assert_eq!(host.get("who").await.0, 401);
    let who = host
        .client
        .get(host.url("/misbehaving/who"))
        .bearer_auth(OPERATOR)
        .send()
        .await
        .unwrap();
    assert_eq!(who.text().await.unwrap(), "operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_refused_with_the_line_to_add() {
    if !ready() {
        return;
    }
    let mut place = Place::new("carrier-refused");
    place.capabilities = vec!["database"];
    place.configure("");
    let host = place.start().await;
    let (_, text) = host.post("services", "").await;
    let said: Value = serde_json::from_str(&text).unwrap();
    for (service, capability) in [("kv", "kv"), ("pubsub", "pubsub"), ("vault", "vault"), ("jobs", "jobs")] {
        let expected = format!(
            "the plugin has no capability `{capability}`; add it to `capabilities` under [plugins.misbehaving] in plugins.toml"
        );
        assert_eq!(said[service], expected);
    }
    let http = said["http"].as_str().unwrap();
    assert!(http.contains("plugins.toml") && http.contains("misbehaving"), "{http}");
    assert_eq!((&said["database"], &said["clock"]), (&json!("ok"), &json!("ok")));
    // What was granted since is granted to the next generation.
    place.capabilities.push("kv");
    place.configure("");
    host.until("kv is granted", async || {
        host.post("services", "").await.1.contains(r#""kv":"ok""#)
    })
    .await;
    // Without the database its tables cannot be made: the old generation stays.
    place.capabilities = vec!["kv"];
    place.configure("");
    host.await_plugin("misbehaving", "failed", SOON).await;
    let reason = host.row().await["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("has no capability `database`"), "{reason}");
    host.is_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_and_sockets_work_at_every_entry() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-entries");
    let host = place.start().await;
    assert_eq!(host.post("touch", "").await.0, 204);
    assert_eq!(host.get("touch").await, (200, "touched".to_owned()));
    assert_eq!(host.post("spawn", "").await.0, 204);
    assert_eq!(host.deliver("touch").await, 200);
    for (path, name, value, secret) in [("own", "x-word", "sesame", ""), ("keyed", "x-sender", "ann", "ann-ann")] {
        let body = json!(path).to_string();
        let signature = jackfield_tests::sign::hub_signature(secret, body.as_bytes());
        let request = host
            .client
            .post(host.url(&format!("/misbehaving/{path}")))
            .header(name, value);
        let request = request.header("x-signature", signature.trim_start_matches("sha256="));
        assert_eq!(request.body(body).send().await.unwrap().status(), 200, "{path}");
    }
    assert_eq!(host.settle(&["done"], SOON).await.len(), 3);
    // Another value of a setting is taken by the running instance; a reload ends it.
    place.configure("slow:health");
    host.until_logged("reconfigured").await;
    let (code, _, error) = host.setup.run_aside(&["plugins", "reload", "misbehaving"]).await;
    assert_eq!(code, 0, "{error}");
    for entry in [
        "create",
        "route",
        "body",
        "handler",
        "verify",
        "secrets",
        "task",
        "health",
        "reconfigure",
        "drain",
        "drop",
    ] {
        let series = format!("jackfield_plugin_misbehaving_touched{{entry=\"{entry}\"}} ");
        host.until(entry, async || host.metrics().await.contains(&series)).await;
    }
    for complaint in [
        "no timer or no socket",
        "no socket",
        "a drop panicked",
        "there is no reactor running",
    ] {
        assert!(!host.log().contains(complaint), "{complaint}: {}", host.log_end());
    }
}
