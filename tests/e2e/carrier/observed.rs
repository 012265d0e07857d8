//! What a shared library's log lines, spans, metrics and tasks become in the host.

use serde_json::{Value, json};

use super::{Place, ready};

const TOKEN: &str = "canary-of-the-\"misbehaving\"-plugin";

fn message(line: &Value) -> &str {
    line["message"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_carry_their_request_and_their_spans() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-log");
    let host = place.start().await;
    let request = host
        .client
        .post(host.url("/misbehaving/log"))
        .header("x-request-id", "request-of-the-test");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert_eq!(request.header("traceparent", trace).send().await.unwrap().status(), 204);
    host.until_logged("in a task of its own runtime").await;
    let lines = host.lines();
    let find = |text: &str| {
        lines
            .iter()
            .find(|line| message(line) == text)
            .unwrap_or_else(|| panic!("{text}: {lines:?}"))
    };

    let line = find("an information");
    assert_eq!((&line["level"], &line["target"]), (&json!("INFO"), &json!("plugin")));
    assert_eq!(line["from"], "jackfield_example_misbehaving::trouble");
    assert_eq!(line["fields"], r#"{"count":3}"#);
    let spans = line["spans"].as_array().unwrap();
    let names: Vec<&Value> = spans
        .iter()
        .map(|span| span.get("span").unwrap_or(&span["name"]))
        .collect();
    assert_eq!(names, ["request", "outer", "inner"], "{line}");
    assert_eq!(spans[0]["request_id"], "request-of-the-test");
    assert_eq!(spans[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(spans[1]["fields"], r#"{"floor":1}"#);
    assert_eq!(spans[1]["recorded"], r#"{"late":"recorded"}"#, "what is recorded later");
    assert_eq!(spans[2]["fields"], r#"{"room":"a \"b\""}"#);

    assert_eq!(find("an error")["level"], "ERROR");
    assert_eq!(find("a warning")["level"], "WARN");
    assert_eq!(find("in the outer one")["spans"].as_array().unwrap().len(), 2);
    // The future that held the span is gone, a clone of it is not.
    assert_eq!(find("in its clone")["span"]["span"], "outer");
    // A thread of the plugin's own is in no request, and its lines are not lost.
    assert_eq!(find("in a task of its own runtime")["span"], Value::Null);
    assert!(!host.log().contains("a detail"), "the level is `info`");
    host.until_metric("jackfield_plugin_misbehaving_own_tasks 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hosts_filter_decides_which_levels_are_written() {
    if !ready() {
        return;
    }
    for (filter, expected) in [("warn", 2), ("info,plugin=debug", 7), ("info,plugin=error", 1)] {
        let place = Place::new("carrier-levels");
        let host = place.setup().with("JACKFIELD_LOG", filter).start().await;
        let host = super::Plugin(host);
        assert_eq!(host.post("log", "").await.0, 204);
        // The task is the last to write, and its metric comes after its line.
        host.until_metric("jackfield_plugin_misbehaving_own_tasks 1").await;
        host.until(filter, async || {
            let own = |line: &&Value| line["from"].as_str().is_some_and(|from| from.ends_with("trouble"));
            host.lines().iter().filter(own).count() == expected
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_a_log_line_is_hidden() {
    if !ready() {
        return;
    }
    let mut place = Place::new("carrier-secret");
    place.config = format!("token = {}", json!(TOKEN));
    place.configure("");
    let host = place.start().await;
    assert_eq!(host.post("secret", "").await.0, 204);
    host.until_logged("the token is [redacted]").await;
    assert!(
        host.log().contains(r#"{\"token\":\"[redacted]\"}"#),
        "{}",
        host.log_end()
    );
    assert!(!host.log().contains("canary-of-the"), "{}", host.log_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_carry_the_plugins_name_and_are_capped() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-series");
    let host = place.start().await;
    assert_eq!(host.post("series", "").await.0, 204);
    let metrics = host.metrics().await;
    let series = metrics
        .lines()
        .filter(|line| line.starts_with("jackfield_plugin_misbehaving_ids{"));
    let count = series.count();
    assert!((900..=1_000).contains(&count), "{count}");
    host.until_logged("further ones are dropped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_counted_and_end_with_their_generation() {
    if !ready() {
        return;
    }
    let place = Place::new("carrier-tasks");
    let host = place.start().await;
    let none = r#"jackfield_plugin_tasks{plugin="misbehaving"} 0"#;
    assert_eq!(host.post("spawn", "").await.0, 204);
    host.until_alive("tasks", 3).await;
    host.until_logged("a task runs").await;
    // The one that panicked is gone, and said so.
    host.until_logged("misbehaving panics in a task").await;
    host.until_metric(r#"jackfield_plugin_tasks{plugin="misbehaving"} 2"#)
        .await;
    host.until_metric(r#"jackfield_plugin_own_tasks{plugin="misbehaving"} 1"#)
        .await;
    let (code, _, error) = host.setup.run_aside(&["plugins", "reload", "misbehaving"]).await;
    assert_eq!(code, 0, "{error}");
    host.until_metric(none).await;
    host.until_metric(r#"jackfield_plugin_own_tasks{plugin="misbehaving"} 0"#)
        .await;
    host.until_metric(r#"jackfield_plugin_generations{plugin="misbehaving"} 1"#)
        .await;
    host.until("the instance is dropped, with its runtime", async || {
        host.metrics()
            .await
            .contains(r#"jackfield_plugin_misbehaving_touched{entry="drop"} 1"#)
    })
    .await;
    assert_eq!(host.alive("tasks").await, 0);
    assert_eq!(host.threads().await, 1, "one runtime is left");
}

impl super::Plugin {
    /// Worker threads of the plugin's runtimes.
    async fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with("plugin-misbehav")).count()
    }
}
