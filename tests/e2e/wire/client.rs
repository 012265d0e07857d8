//! What a client begins with: configuration (§20), the web app's files (§21), probes (§22).

use reqwest::Method;
use serde_json::json;

use super::{Ground, detail, error, get, post, row};
use jackfield_tests::scratch::Scratch;

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_told_its_configuration() {
    let Some(ground) = Ground::start("wire-config", &[]).await else {
        return;
    };
    let flags = json!({
        "enable_billing": false, "hide_llm_settings": false, "enable_jira": false, "enable_jira_dc": false, "enable_linear": false,
    });
    let config = json!({
        // `saas` unless said otherwise: there is no other server here (30.47). Nobody is measured unless a key is given.
        "app_mode": "saas", "posthog_client_key": null, "feature_flags": flags, "providers_configured": [],
        "maintenance_start_time": null, "auth_url": null, "recaptcha_site_key": null, "faulty_models": [], "error_message": null,
        "updated_at": "2026-01-01T00:00:00Z", "github_app_slug": null, "kind": "WebClientConfig",
        // Ours: how people sign in.
        "identity_provider": "local", "sign_in_links": false,
    });
    let old = json!({
        "APP_MODE": "saas", "APP_SLUG": null, "POSTHOG_CLIENT_KEY": null, "PROVIDERS_CONFIGURED": [],
        "FEATURE_FLAGS": {
            "ENABLE_BILLING": false, "HIDE_LLM_SETTINGS": false, "ENABLE_JIRA": false, "ENABLE_JIRA_DC": false, "ENABLE_LINEAR": false,
        },
    });
    ground
        .holds([
            get("§20.1", "/api/v1/web-client/config").says(config),
            get("§20.2: `GITHUB_CLIENT_ID` is nobody's business", "/api/options/config").says(old),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_told_what_the_reference_reads_from_these_variables() {
    let set = [
        ("OH_APP_MODE", "oss"),
        ("OH_WEB_CLIENT_POSTHOG_CLIENT_KEY", "phc_1"),
        ("OH_WEB_CLIENT_FEATURE_FLAGS_ENABLE_BILLING", "true"),
        ("OH_WEB_CLIENT_FEATURE_FLAGS_HIDE_LLM_SETTINGS", "1"),
        ("OH_WEB_CLIENT_FEATURE_FLAGS_ENABLE_JIRA", "TRUE"),
        ("OH_WEB_CLIENT_PROVIDERS_CONFIGURED", r#"["github","enterprise_sso"]"#),
        ("OH_WEB_CLIENT_MAINTENANCE_START_TIME", "2027-01-31T00:00:00Z"),
        ("OH_WEB_CLIENT_AUTH_URL", "https://auth.example"),
        ("OH_WEB_CLIENT_RECAPTCHA_SITE_KEY", "site"),
        ("OH_WEB_CLIENT_FAULTY_MODELS", r#"["gpt-1"]"#),
        ("OH_WEB_CLIENT_ERROR_MESSAGE", "Slow today."),
        ("OH_WEB_CLIENT_UPDATED_AT", "2026-06-01T00:00:00Z"),
        ("OH_WEB_CLIENT_GITHUB_APP_SLUG", "an-app"),
    ];
    let Some(ground) = Ground::start("wire-configured", &set).await else {
        return;
    };
    let flags = json!({
        "enable_billing": true, "hide_llm_settings": true, "enable_jira": true, "enable_jira_dc": false, "enable_linear": false,
    });
    let config = json!({
        "app_mode": "oss", "posthog_client_key": "phc_1", "feature_flags": flags,
        "providers_configured": ["github", "enterprise_sso"], "maintenance_start_time": "2027-01-31T00:00:00Z",
        "auth_url": "https://auth.example", "recaptcha_site_key": "site", "faulty_models": ["gpt-1"],
        "error_message": "Slow today.", "updated_at": "2026-06-01T00:00:00Z", "github_app_slug": "an-app",
        "kind": "WebClientConfig", "identity_provider": "local", "sign_in_links": false,
    });
    let old = |name, value| get("§20.2: the same settings (30.47)", "/api/options/config").tells(name, value);
    ground
        .holds([
            get("§20.1", "/api/v1/web-client/config").says(config),
            old("/APP_MODE", json!("oss")),
            old("/APP_SLUG", json!("an-app")),
            old("/POSTHOG_CLIENT_KEY", json!("phc_1")),
            old("/FEATURE_FLAGS/ENABLE_BILLING", json!(true)),
            old("/PROVIDERS_CONFIGURED", json!(["github", "enterprise_sso"])),
            old("/MAINTENANCE/startTime", json!("2027-01-31T00:00:00Z")),
            old("/AUTH_URL", json!("https://auth.example")),
            old("/RECAPTCHA_SITE_KEY", json!("site")),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_to_choose_from_is_for_whoever_is_signed_in() {
    let Some(ground) = Ground::start("wire-options", &[]).await else {
        return;
    };
    let key = ground.key("ann@example.com").await;
    let options = |of, name: &str| get(of, &format!("/api/options/{name}"));
    let agents = json!([
        "BrowsingAgent",
        "CodeActAgent",
        "DummyAgent",
        "LocAgent",
        "ReadOnlyAgent",
        "VisualBrowsingAgent"
    ]);
    ground
        .holds([
            options("§20.3", "agents").bearer(&key).says(agents),
            options("§20.3", "security-analyzers")
                .bearer(&key)
                .says(json!(["grayswan", "invariant", "llm"])),
            options("§20.3", "models").bearer(&key).tells("/0", json!("<text>")),
            options("§20.3: not by presence (30.7)", "agents")
                .gets(401)
                .says(error("NoCredentialsError")),
            options("§20.3: not by presence (30.7)", "security-analyzers")
                .bearer("x")
                .gets(401)
                .says(error("NoCredentialsError")),
        ])
        .await;
    let models = ground
        .told(options("§20.3", "models").bearer(&key).tells("/0", json!("<text>")))
        .await;
    let names: Vec<&str> = models
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(names.is_sorted_by(|one, next| one < next), "§20.3: sorted, each once");
}

/// A web app with a folder that is a page of its own.
fn app() -> Scratch {
    let folder = Scratch::new("wire-app");
    let write = |name: &str, text: &str| std::fs::write(folder.0.join(name), text).unwrap();
    for name in ["assets", "locales", "help"] {
        std::fs::create_dir(folder.0.join(name)).unwrap();
    }
    write("index.html", "<!doctype html><p>App</p>");
    write("help/index.html", "<!doctype html><p>Help</p>");
    write("assets/app-1.js", "export const one = 1;");
    write("locales/en.json", "{\"hello\":\"Hello\"}");
    write("robots.txt", "User-agent: *");
    write("site.webmanifest", "{}");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_apps_files_are_served_as_these_kinds_and_parts() {
    let folder = app();
    let at = folder.0.to_str().unwrap();
    let Some(ground) = Ground::start("wire-files", &[("FRONTEND_DIRECTORY", at)]).await else {
        return;
    };
    let (page, help) = ("<!doctype html><p>App</p>", "<!doctype html><p>Help</p>");
    let html = "text/html; charset=utf-8";
    let asked = ground.client.get(ground.host.url("/robots.txt")).send().await.unwrap();
    let of_file = |name: &str| asked.headers()[name].to_str().unwrap().to_owned();
    let (tag, modified) = (of_file("etag"), of_file("last-modified"));
    let robots = |of| get(of, "/robots.txt");
    ground
        .holds([
            get("§21", "/").reads(page).has("content-type", html),
            robots("§21")
                .reads("User-agent: *")
                .has("content-type", "text/plain; charset=utf-8")
                .has("content-length", "13")
                .has("accept-ranges", "bytes"),
            get("§21", "/locales/en.json")
                .reads("{\"hello\":\"Hello\"}")
                .has("content-type", "application/json"),
            get("§21", "/site.webmanifest").has("content-type", "application/manifest+json"),
            get("§21, §7", "/assets/app-1.js")
                .reads("export const one = 1;")
                .has("content-type", "text/javascript; charset=utf-8")
                .has("cache-control", "public, max-age=2592000, immutable"),
            robots("§21").with("if-none-match", &tag).gets(304).reads(""),
            robots("§21").with("if-modified-since", &modified).gets(304).reads(""),
            robots("§21").with("if-none-match", "\"other\"").reads("User-agent: *"),
            robots("§21")
                .with("range", "bytes=0-3")
                .gets(206)
                .reads("User")
                .has("content-range", "bytes 0-3/13"),
            robots("§21")
                .with("range", "bytes=99-")
                .gets(416)
                .has("content-range", "bytes */13"),
            row("§21", Method::HEAD, "/robots.txt")
                .reads("")
                .has("content-length", "13"),
            get("§21", "/help?a=1").gets(307).has("location", "/help/?a=1"),
            get("§21", "/help/").reads(help).has("content-type", html),
            get("§21: a page of the app", "/conversations/1")
                .reads(page)
                .has("content-type", html),
            get("§21", "/oauth/device/verify?user_code=ABCDEFGH").reads(page),
            get("§21", "/accept-tos").reads(page),
            get("§21: kept in the folder", "/%2e%2e/%2e%2e/etc/passwd").reads(page),
            row("§21", Method::HEAD, "/login").reads("").has("content-type", html),
            row("§21", Method::DELETE, "/login")
                .gets(405)
                .says(detail("Method Not Allowed"))
                .has("allow", "GET, HEAD"),
            post("§21", "/").gets(405).says(detail("Method Not Allowed")),
            get("§21: a missing asset is no page (30.45)", "/assets/app-2.js")
                .gets(404)
                .says(detail("Not Found"))
                .has("cache-control", "no-store"),
            get("§21: the gate of §3 comes first", "/api/help")
                .gets(401)
                .says(error("NoCredentialsError")),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_say_how_it_is_and_nothing_more() {
    let Some(ground) = Ground::start("wire-probes", &[]).await else {
        return;
    };
    let json_kind = "application/json";
    ground
        .holds([
            get("§22", "/alive").says(json!({ "status": "ok" })),
            get("§22", "/health").says(json!("OK")),
            get("§22", "/ready").says(json!("OK")),
            get("§22", "/saas").says(json!({ "saas": true })),
            row("§22", Method::HEAD, "/alive").reads("").has("content-type", json_kind),
            // Nothing of the machine, and no wait of 100 ms (30.18, 30.52).
            get("§22 (30.18)", "/server_info")
                .says(json!({ "uptime": "<any>", "idle_time": "<any>", "resources": { "memory": { "rss": "<int>", "vms": "<int>" } } })),
            get("§1.1: documents are for whoever is signed in (30.18)", "/openapi.json")
                .gets(401)
                .says(error("NoCredentialsError")),
        ])
        .await;
}
