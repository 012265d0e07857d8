//! The listener and its layers from outside: probes, CORS, cache and security headers, request ids, the access log.

use jackfield_tests::{
    github::GitHub,
    host::{Host, OPERATOR, Setup, binary},
    scratch::Scratch,
    sign,
};
use reqwest::{Method, Response};
use serde_json::Value;

async fn host(name: &str, variables: &[(&str, &str)]) -> (Scratch, GitHub, Host) {
    let (scratch, github) = (Scratch::new(name), GitHub::start());
    let mut setup = Setup::new(scratch.0.clone(), &github.url, &github.private_key);
    for (name, value) in variables {
        setup = setup.with(name, value);
    }
    let host = setup.start().await;
    (scratch, github, host)
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_the_anonymous() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("probes", &[]).await;
    for (path, status, body) in [
        ("/alive", 200, r#"{"status":"ok"}"#),
        ("/health", 200, r#""OK""#),
        ("/ready", 200, r#""OK""#),
        ("/saas", 200, r#"{"saas":true}"#),
        ("/api/unknown", 401, r#"{"error":"NoCredentialsError"}"#),
        ("/api/admin/v1/plugins", 401, r#"{"error":"NoCredentialsError"}"#),
        ("/health/github", 401, r#"{"error":"NoCredentialsError"}"#),
        ("/openapi.json", 401, r#"{"error":"NoCredentialsError"}"#),
        ("/mcp", 401, r#"{"error":"NoCredentialsError"}"#),
    ] {
        let answer = host.client.get(host.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.text().await.unwrap(), body, "{path}");
    }
    let wrong = host.client.get(host.url("/api/admin/v1/plugins"));
    let wrong = wrong.bearer_auth(format!("{OPERATOR}x")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let unknown = host.client.get(host.url("/api/unknown")).bearer_auth(OPERATOR);
    assert_eq!(unknown.send().await.unwrap().status(), 404);
    for path in ["/startupz", "/livez", "/readyz", "/metrics"] {
        assert_eq!(host.probe(path).await, Some(200), "{path}");
        // A page of the web app, or nothing, as any path that is nobody's.
        let unknown = host.client.get(host.url("/nobodys")).send().await.unwrap();
        let public = host.client.get(host.url(path)).send().await.unwrap();
        let (unknown, public) = (unknown.text().await.unwrap(), public.text().await.unwrap());
        assert_eq!(public, unknown, "{path} is for the admin listener");
    }
    let verbose = format!("http://{}/readyz?verbose", host.setup.admin);
    let verbose: Value = host.client.get(verbose).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (verbose["ready"].as_bool(), verbose["store"].as_str()),
        (Some(true), Some("up"))
    );
    assert!(
        verbose["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["id"] == "github")
    );
    let info: Value = host
        .client
        .get(host.url("/server_info"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert!(info["uptime"].as_f64().unwrap() > 0.0 && info["resources"]["memory"]["rss"].as_u64().unwrap() > 1 << 20);
    assert!(
        info["resources"].get("disk").is_none(),
        "what the machine has is nobody's business"
    );
    let page = host.client.get(host.url("/")).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(header(&page, "content-security-policy").is_some_and(|csp| !csp.contains("unsafe")));
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_and_cache_headers() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host(
        "cors",
        &[("PERMITTED_CORS_ORIGINS", "https://app.example, https://two.example")],
    )
    .await;
    let preflight = |path: &str, origin: &str, method: &str| {
        host.client
            .request(Method::OPTIONS, host.url(path))
            .header("origin", origin)
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "X-Custom, Content-Type")
            .send()
    };
    for path in ["/api/unknown", "/integration/github/events", "/nowhere", "/assets/x.js"] {
        let good = preflight(path, "https://two.example", "DELETE").await.unwrap();
        assert_eq!(good.status(), 200, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", "https://two.example"),
            (
                "access-control-allow-methods",
                "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
            ),
            ("access-control-allow-headers", "X-Custom, Content-Type"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(header(&good, name), Some(value), "{path}: {name}");
        }
        assert!(header(&good, "content-type").unwrap().starts_with("text/plain"));
        assert_eq!(good.text().await.unwrap(), "OK");
    }
    for (origin, method, text) in [
        ("https://evil.example", "GET", "Disallowed CORS origin"),
        ("https://app.example", "TRACE", "Disallowed CORS method"),
        ("https://evil.example", "TRACE", "Disallowed CORS origin, method"),
    ] {
        let bad = preflight("/api/x", origin, method).await.unwrap();
        assert_eq!(bad.status(), 400);
        assert_eq!(
            header(&bad, "access-control-allow-origin").is_some(),
            origin.contains("app.example")
        );
        assert_eq!(bad.text().await.unwrap(), text);
    }
    let actual = |origin: &'static str| host.client.get(host.url("/alive")).header("origin", origin).send();
    let allowed = actual("https://app.example").await.unwrap();
    assert_eq!(
        header(&allowed, "access-control-allow-origin"),
        Some("https://app.example")
    );
    assert_eq!(header(&allowed, "vary"), Some("Origin"));
    let other = actual("https://evil.example").await.unwrap();
    assert_eq!(header(&other, "access-control-allow-origin"), None);
    assert_eq!(header(&other, "access-control-allow-credentials"), Some("true"));
    let plain = host.client.get(host.url("/alive")).send().await.unwrap();
    assert_eq!(header(&plain, "access-control-allow-credentials"), None);

    let uncached = "no-cache, no-store, must-revalidate, max-age=0";
    for path in ["/alive", "/api/unknown", "/", "/nowhere"] {
        let answer = host.client.get(host.url(path)).send().await.unwrap();
        assert_eq!(header(&answer, "cache-control"), Some(uncached), "{path}");
        assert_eq!(
            (header(&answer, "pragma"), header(&answer, "expires")),
            (Some("no-cache"), Some("0"))
        );
    }
    let missing = host.client.get(host.url("/assets/x.js")).send().await.unwrap();
    assert_eq!(
        (missing.status().as_u16(), header(&missing, "cache-control")),
        (404, Some("no-store"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frontend_folder_is_served_and_its_assets_are_immutable() {
    let Some(_) = binary() else { return };
    let folder = Scratch::new("frontend-files");
    std::fs::create_dir(folder.0.join("assets")).unwrap();
    std::fs::write(folder.0.join("index.html"), "<!doctype html><p>Hello</p>").unwrap();
    std::fs::write(folder.0.join("assets/app-1.js"), "export {}").unwrap();
    std::fs::write(folder.0.join("favicon.txt"), "icon").unwrap();
    let (_scratch, _github, host) = host("frontend", &[("JACKFIELD_FRONTEND_DIR", folder.0.to_str().unwrap())]).await;
    let index = host.client.get(host.url("/")).send().await.unwrap();
    assert_eq!(
        (index.status().as_u16(), header(&index, "pragma")),
        (200, Some("no-cache"))
    );
    assert_eq!(index.text().await.unwrap(), "<!doctype html><p>Hello</p>");
    let icon = host.client.get(host.url("/favicon.txt")).send().await.unwrap();
    assert_eq!(icon.text().await.unwrap(), "icon");
    let asset = host.client.get(host.url("/assets/app-1.js")).send().await.unwrap();
    assert_eq!(
        (asset.status().as_u16(), header(&asset, "cache-control")),
        (200, Some("public, max-age=2592000, immutable"))
    );
    // What is no file is a page of the app, also what looks like a way out of the folder.
    for path in [
        "/settings/api-keys",
        "/../plugins.toml",
        "/%2e%2e/plugins.toml",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        let answer = host.client.get(host.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.text().await.unwrap(), "<!doctype html><p>Hello</p>", "{path}");
    }
    let missing = host.client.get(host.url("/assets/app-2.js")).send().await.unwrap();
    assert_eq!(
        (missing.status().as_u16(), header(&missing, "cache-control")),
        (404, Some("no-store"))
    );
    let posted = host.client.post(host.url("/login")).body("x".repeat(100_000));
    let posted = posted.send().await.unwrap();
    assert_eq!(
        (posted.status().as_u16(), header(&posted, "allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(posted.text().await.unwrap(), r#"{"detail":"Method Not Allowed"}"#);
    let tag = header(&asset, "etag").unwrap().to_owned();
    let fresh = host
        .client
        .get(host.url("/assets/app-1.js"))
        .header("if-none-match", tag);
    let fresh = fresh.send().await.unwrap();
    assert_eq!(
        (fresh.status().as_u16(), header(&fresh, "cache-control")),
        (304, Some("public, max-age=2592000, immutable"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn inline_scripts_of_the_app_run_by_their_hash_alone() {
    let Some(_) = binary() else { return };
    let folder = Scratch::new("frontend-policy");
    std::fs::write(folder.0.join("index.html"), "<!doctype html><script>a()</script>").unwrap();
    let (_scratch, _github, host) = host("policy", &[("FRONTEND_DIRECTORY", folder.0.to_str().unwrap())]).await;
    let page = host.client.get(host.url("/login")).send().await.unwrap();
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(
        policy.contains("script-src 'self' 'sha256-") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_named_and_its_query_is_not_logged() {
    let Some(_) = binary() else { return };
    let (_scratch, _github, host) = host("names", &[]).await;
    let ask = |id: &'static str, trace: &'static str| {
        host.client
            .get(host.url("/alive?token=canary-in-a-query"))
            .header("x-request-id", id)
            .header("traceparent", trace)
            .send()
    };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let good = ask("req-one.2_3", trace).await.unwrap();
    assert_eq!(header(&good, "x-request-id"), Some("req-one.2_3"), "a sound id is kept");
    let bad = ask("with space", "nonsense").await.unwrap();
    let made = header(&bad, "x-request-id").unwrap().to_owned();
    assert!(made.len() == 36 && made != "with space", "another one is made: {made}");
    let none = host
        .client
        .get(host.url("/api/unknown?secret=canary-too"))
        .send()
        .await
        .unwrap();
    assert!(header(&none, "x-request-id").is_some());
    assert_eq!(
        host.deliver("named", "issue_comment", sign::mention(1)).await,
        Some(200)
    );
    host.settle(&["done"], std::time::Duration::from_secs(20)).await;
    let log = host.log();
    assert!(!log.contains("canary"), "a query string is in the log");
    let line = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["target"] == "access" && line.to_string().contains("req-one.2_3"))
        .unwrap_or_else(|| panic!("no access line names the request: {log}"));
    assert_eq!(line["path"], "/alive");
    assert_eq!(
        (line["status"].as_u64(), line["method"].as_str()),
        (Some(200), Some("GET"))
    );
    assert!(line["duration_ms"].as_f64().is_some() && line["client"] == "127.0.0.1");
    assert!(
        line.to_string().contains("4bf92f3577b34da6a3ce929d0e0e4736"),
        "the caller's trace goes on: {line}"
    );
}
