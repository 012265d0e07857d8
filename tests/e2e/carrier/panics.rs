//! A panic at each entry of a shared library: an answer, a state or another attempt, and nobody else's trouble.

use jackfield_tests::{github::GitHub, host::Setup, sign};
use serde_json::json;

use super::{Place, Plugin, SOON, ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_route_is_an_answer_and_its_place_is_logged() {
    if !ready() {
        return;
    }
    let (place, github) = (Place::new("carrier-panic"), GitHub::start());
    let setup = Setup::new(place.scratch.0.clone(), &github.url, &github.private_key);
    let setup = setup.without("JACKFIELD_TEST_CHAOS_RELOAD_MS");
    let host = Plugin(setup.start().await);
    // Fewer than five, which is what quarantine takes.
    for path in ["panic/early", "panic/poll"] {
        assert_eq!(
            host.get(path).await,
            (500, "Internal Server Error".to_owned()),
            "{path}"
        );
        host.is_fine().await;
    }
    assert_eq!(host.alive("open").await, 0, "what the future held is dropped");
    let answer = host
        .client
        .get(host.url("/misbehaving/panic/body"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200, "the panic comes after the head");
    answer
        .text()
        .await
        .expect_err("the body does not end as a complete one does");
    host.is_fine().await;
    assert_eq!(host.plugin_state("github").await, "active");
    assert_eq!(host.0.deliver("neighbour", "push", sign::push()).await, Some(200));
    host.settle(&["done"], SOON).await;
    for (text, file) in [
        ("panics before its future exists", "trouble.rs"),
        ("panics in a poll", "trouble.rs"),
        ("panics in a body", "streams.rs"),
    ] {
        host.until_logged(text).await;
        let line = host
            .lines()
            .into_iter()
            .find(|line| line["from"] == "panic" && line.to_string().contains(text));
        let line = line.unwrap_or_else(|| panic!("no line says `{text}`: {}", host.log_end()));
        assert!(line["fields"].as_str().unwrap().contains(file), "{line}");
        assert!(line.to_string().contains("request_id"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_panics_or_hangs_in_create_has_failed_and_the_rest_runs() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-create");
    place.configure("panic:create");
    let host = place.start().await;
    let row = host.row().await;
    assert_eq!(row["state"], "failed");
    assert_eq!(row["reason"], "the plugin panicked: misbehaving panics in create");
    assert_eq!(host.get("fine").await.0, 503);
    assert_eq!(host.probe("/readyz").await, Some(200));
    place.configure("");
    host.await_plugin("misbehaving", "active", SOON).await;
    // It is listed a moment before its routes lead to it.
    host.until("an answer", async || host.get("fine").await.0 == 200).await;
    host.is_fine().await;
    // One that runs keeps running when the next one cannot be made.
    let before = host.generation().await;
    place.configure("hang:create,panic:reconfigure");
    host.until_logged("reconfigured").await;
    let (code, _, error) = host.setup.run_aside(&["plugins", "reload", "misbehaving"]).await;
    assert_eq!(code, 1, "it did not come about");
    assert!(error.contains("`misbehaving` cannot be started"), "{error}");
    assert!(
        host.row().await["reason"].as_str().unwrap().contains("within 10 s"),
        "{}",
        host.row().await
    );
    host.is_fine().await;
    assert_eq!(host.generation().await, before);
    // A panic in `reconfigure` asks for a new generation.
    place.configure("");
    host.until("a new generation", async || host.generation().await == before + 1)
        .await;
    host.is_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_validate_refuses_the_settings_and_the_old_ones_stay() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-validate");
    let host = place.start().await;
    place.configure("panic:validate");
    host.await_plugin("misbehaving", "refused", SOON).await;
    let reason = host.row().await["reason"].as_str().unwrap().to_owned();
    assert_eq!(reason, "the plugin panicked: misbehaving panics in validate");
    host.is_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_health_is_unhealthy_and_keeps_serving() {
    if !ready() {
        return;
    }
    for (deed, says) in [
        ("panic:health", "the plugin panicked: misbehaving panics in health"),
        ("fail:health", "misbehaving fails in health"),
        ("hang:health", "`health` did not answer within 2 s"),
    ] {
        let place = Place::new("carrier-health");
        place.configure(deed);
        let host = place.start().await;
        host.until(says, async || host.row().await["health"]["detail"] == says)
            .await;
        assert_eq!(host.row().await["health"]["status"], "unhealthy");
        assert_eq!(host.row().await["state"], "active");
        host.is_fine().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_handler_is_another_attempt() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-handler");
    let host = place.start().await;
    assert_eq!(host.deliver("panic once").await, 200);
    let row = host.ended("webhook").await;
    assert_eq!(row["outcome"], "panic once: first, first", "{row}");
    let attempts = row["attempts_log"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{row}");
    assert!(
        attempts[0].to_string().contains("misbehaving panics in a handler"),
        "{row}"
    );
    // The step before the panic was not repeated.
    let steps: Vec<&str> = row["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|step| step["name"].as_str())
        .collect();
    assert_eq!(steps, ["begin", "end"], "{row}");
    host.is_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_verifier_stores_nothing_and_asks_to_send_it_again() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-verify");
    place.configure("panic:verify,panic:secrets");
    let host = place.start().await;
    let send = async |path: &str, name: &str, value: &str, secret: &str| {
        // Without ids of their own, deliveries with one body are one.
        let body = json!(format!("fine {path} {value}")).to_string();
        let signature = sign::hub_signature(secret, body.as_bytes());
        let request = host.client.post(host.url(path)).header(name, value);
        let request = request.header("x-signature", signature.trim_start_matches("sha256="));
        request.body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(send("/misbehaving/own", "x-word", "sesame", "").await, 503);
    assert_eq!(send("/misbehaving/keyed", "x-sender", "ann", "ann-ann").await, 503);
    assert!(host.deliveries().await.is_empty());
    host.is_fine().await;
    place.configure("");
    host.until("the verifier answers", async || {
        send("/misbehaving/own", "x-word", "sesame", "").await == 200
    })
    .await;
    assert_eq!(send("/misbehaving/own", "x-word", "open", "").await, 401);
    assert_eq!(send("/misbehaving/keyed", "x-sender", "ann", "ann-ann").await, 200);
    assert_eq!(send("/misbehaving/keyed", "x-sender", "bob", "ann-ann").await, 401);
    assert_eq!(host.settle(&["done"], SOON).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_drain_or_drop_does_not_keep_the_next_generation_from_serving() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-drop");
    place.configure("panic:drain,panic:drop");
    let host = place.start().await;
    let (code, _, error) = host.setup.run_aside(&["plugins", "reload", "misbehaving"]).await;
    assert_eq!(code, 0, "{error}");
    host.until_logged("misbehaving panics in drain").await;
    host.until_logged("misbehaving panics in drop").await;
    host.until_metric(r#"jackfield_plugin_generations{plugin="misbehaving"} 1"#)
        .await;
    assert_eq!(host.generation().await, 2);
    host.is_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_panics_are_quarantine_and_an_operator_ends_it() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-quarantine");
    let host = place.start().await;
    for _ in 0..5 {
        assert_eq!(host.get("panic/poll").await.0, 500);
    }
    host.await_plugin("misbehaving", "quarantined", SOON).await;
    assert_eq!(host.get("fine").await.0, 503);
    let (status, _) = host.admin_post("/plugins/misbehaving/resume", &json!({})).await;
    assert_eq!(status, 200);
    host.is_fine().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_worker_is_named_and_a_slow_answer_is_waited_for() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-block");
    let host = place.start().await;
    assert_eq!(host.get("block?ms=40").await, (200, "blocked".to_owned()));
    host.until_logged("the plugin blocked a worker").await;
    assert_eq!(host.get("slow?ms=40").await, (200, "at last".to_owned()));
}
