//! What answers on the main listener: host routes, then plugins, then the fallback.

use std::{convert::Infallible, future::Future, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, StatusCode, header};
use jackfield_edge::{RouteLabel, answer::json};
use jackfield_identity::Identity;
use jackfield_plugins::{HOST, RouteRow, Rules};
use jackfield_sdk::{descriptor::Policy, principal::OPERATOR};
use tower::{Service, ServiceExt};

use crate::{admin, probes, serve::Running};

/// The service inside the layers. Cheap to clone.
pub(crate) fn service(
    running: Arc<Running>,
) -> impl Service<
    Request<Body>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    let host = probes::public_router(Arc::clone(&running))
        .merge(admin::router(Arc::clone(&running)))
        .merge(running.identity.router())
        .method_not_allowed_fallback(|| async {
            json(StatusCode::METHOD_NOT_ALLOWED, r#"{"detail":"Method Not Allowed"}"#)
        });
    let own = own_table(&running.identity);
    let shared = Arc::new((running, own, host));
    tower::service_fn(move |request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move {
            let (running, own, host) = &*shared;
            // The host's router is a look-up and some copies that a plugin's request need not pay for.
            let response = match own.at(request.uri().path()) {
                Ok(found) => own_route(running, found.value, host.clone(), request).await,
                Err(_) => beyond_the_host(running, request).await,
            };
            Ok(response)
        }
    })
}

/// A route of the host itself.
struct Own {
    label: RouteLabel,
    rules: Rules,
}

/// By path: what a path allows is the same for each of its methods.
fn own_table(identity: &Identity) -> matchit::Router<Own> {
    let mut table = matchit::Router::new();
    for row in own_routes(identity) {
        let label = RouteLabel {
            route: row.path.as_str().into(),
            plugin: HOST.into(),
        };
        let rules = Rules {
            rate_limit: row.rate_limit.clone(),
            ..Rules::of(policy(&row.policy))
        };
        // A path that is there twice has two methods.
        let _ = table.insert(row.path, Own { label, rules });
    }
    table
}

fn policy(text: &str) -> Policy {
    match text {
        "public" => Policy::Public,
        "operator" => Policy::Scopes(vec![OPERATOR.to_owned()]),
        _ => Policy::SignedIn,
    }
}

async fn own_route(running: &Running, own: &Own, host: axum::Router, mut request: Request<Body>) -> Response {
    let guard = running.plugins.guard();
    let mut response = match guard.pass(&own.rules, &mut request).await {
        Err(refusal) => refusal,
        Ok(passed) => {
            let mut response = match host.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            guard.leave(passed, &mut response);
            response
        }
    };
    if response.extensions().get::<RouteLabel>().is_none() {
        response.extensions_mut().insert(own.label.clone());
    }
    response
}

async fn beyond_the_host(running: &Running, request: Request<Body>) -> Response {
    let mut request = match running.plugins.serve(request).await {
        Ok(response) => return response,
        Err(request) => request,
    };
    let path = request.uri().path();
    if path.starts_with("/api") || path.starts_with("/mcp") {
        let nothing = Rules::of(Policy::SignedIn);
        let guard = running.plugins.guard();
        return match guard.pass(&nothing, &mut request).await {
            Err(refusal) => refusal,
            Ok(passed) => {
                let mut response = json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#);
                guard.leave(passed, &mut response);
                response
            }
        };
    }
    match &running.frontend {
        Some(frontend) => frontend.answer(request).await,
        None => nothing_embedded(path),
    }
}

fn nothing_embedded(path: &str) -> Response {
    if path != "/" {
        return json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#);
    }
    let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Jackfield</title>\
        <h1>Jackfield is running</h1><p>This build has no web app embedded. Set <code>JACKFIELD_FRONTEND_DIR</code> \
        to a folder with one.</p></html>";
    let mut response = Response::new(Body::from(page));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    response
}

/// The host's own routes: method, path, who may call. What is served stands in `probes` and `admin`; a test asks for each.
const OWN: [(&str, &str, &str); 34] = [
    ("GET", "/alive", "public"),
    ("GET", "/health", "public"),
    ("GET", "/ready", "public"),
    ("GET", "/saas", "public"),
    ("GET", "/server_info", "public"),
    ("GET", "/api/admin/v1/plugins", "operator"),
    ("POST", "/api/admin/v1/plugins/{id}/{action}", "operator"),
    ("GET", "/api/admin/v1/deliveries", "operator"),
    ("GET", "/api/admin/v1/deliveries/{id}", "operator"),
    ("POST", "/api/admin/v1/deliveries/{id}/cancel", "operator"),
    ("POST", "/api/admin/v1/deliveries/replay", "operator"),
    ("GET", "/api/admin/v1/replays/{id}", "operator"),
    ("GET", "/api/admin/v1/routes", "operator"),
    ("GET", "/api/admin/v1/config", "operator"),
    ("GET", "/api/admin/v1/health", "operator"),
    ("GET", "/api/admin/v1/stream", "operator"),
    ("GET", "/api/admin/v1/plugins/{id}/webhooks", "operator"),
    ("GET", "/api/admin/v1/users", "operator"),
    ("POST", "/api/admin/v1/users/{id}", "operator"),
    ("GET", "/api/admin/v1/users/{id}/sessions", "operator"),
    ("DELETE", "/api/admin/v1/users/{id}/sessions", "operator"),
    ("DELETE", "/api/admin/v1/users/{id}/sessions/{session}", "operator"),
    ("GET", "/api/admin/v1/sessions", "operator"),
    ("POST", "/api/admin/v1/sign-in-links", "operator"),
    ("POST", "/api/admin/v1/keys", "operator"),
    ("GET", "/api/admin/v1/audit", "operator"),
    ("GET", "/api/admin/v1/blocked-domains", "operator"),
    ("POST", "/api/admin/v1/blocked-domains", "operator"),
    ("DELETE", "/api/admin/v1/blocked-domains/{domain}", "operator"),
    ("GET", "/openapi.json", "signed_in"),
    ("GET", "/docs", "signed_in"),
    ("GET", "/docs/", "signed_in"),
    ("GET", "/docs/{file}", "signed_in"),
    ("GET", "/health/{plugin}", "operator"),
];

/// The host's own routes, which no plugin may declare.
pub(crate) fn own_routes(identity: &Identity) -> Vec<RouteRow> {
    let row = |method: &str, path: &str, policy: &str, rate_limit: Option<&str>| RouteRow {
        method: method.to_owned(),
        path: path.to_owned(),
        plugin: HOST.to_owned(),
        policy: policy.to_owned(),
        rate_limit: rate_limit.map(str::to_owned),
    };
    let identity = identity.own_routes();
    OWN.iter()
        .map(|(method, path, policy)| row(method, path, policy, None))
        .chain(
            identity
                .iter()
                .map(|own| row(own.method, own.path, own.policy, own.rate_limit)),
        )
        .collect()
}
