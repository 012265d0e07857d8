//! What answers on the main listener: host routes, then plugins, then the fallback.

use std::{convert::Infallible, sync::Arc};

use axum::{body::Body, extract::Request, middleware::from_fn_with_state, response::Response};
use http::{HeaderValue, StatusCode, header};
use jackfield_edge::RouteLabel;
use jackfield_plugins::{HOST, RouteRow};
use jackfield_sdk::Principal;
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{admin, operator, operator::Operators, probes, serve::Running};

type Inner = BoxCloneSyncService<Request<Body>, Response, Infallible>;

/// The service inside the layers.
pub(crate) fn service(running: Arc<Running>, operators: Operators) -> Inner {
    let host = probes::public_router(Arc::clone(&running)).merge(admin::router(Arc::clone(&running)));
    let fallback = {
        let running = Arc::clone(&running);
        tower::service_fn(move |request: Request<Body>| {
            let running = Arc::clone(&running);
            async move { Ok::<_, Infallible>(beyond_the_host(&running, request).await) }
        })
    };
    let routes = host
        .fallback_service(fallback)
        .layer(axum::middleware::from_fn(label))
        .layer(from_fn_with_state(operators, operator::identify));
    BoxCloneSyncService::new(routes)
}

/// Host routes get their own pattern as label.
async fn label(request: Request<Body>, next: axum::middleware::Next) -> Response {
    let path = request.uri().path();
    let route = if OWN.iter().any(|(_, own, _)| *own == path) && !path.starts_with("/api") {
        path.to_owned()
    } else if path.starts_with("/api/admin/v1/") {
        "/api/admin/v1/*".to_owned()
    } else {
        "other".to_owned()
    };
    let mut response = next.run(request).await;
    if response.extensions().get::<RouteLabel>().is_none() {
        response.extensions_mut().insert(RouteLabel {
            route: route.into(),
            plugin: "host".into(),
        });
    }
    response
}

async fn beyond_the_host(running: &Running, request: Request<Body>) -> Response {
    let request = match running.plugins.serve(request).await {
        Ok(response) => return response,
        Err(request) => request,
    };
    let path = request.uri().path();
    if path.starts_with("/api") || path.starts_with("/mcp") {
        return match request.extensions().get::<Principal>() {
            None => json(StatusCode::UNAUTHORIZED, r#"{"error":"NoCredentialsError"}"#),
            Some(_) => json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#),
        };
    }
    match &running.frontend {
        Some(folder) => match folder.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        },
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

fn json(status: StatusCode, body: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The host's own routes: method, path, who may call. What is served stands in `probes` and `admin`; a test asks for each.
const OWN: [(&str, &str, &str); 18] = [
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
    ("GET", "/openapi.json", "operator"),
    ("GET", "/health/{plugin}", "operator"),
];

/// The host's own routes, which no plugin may declare.
pub(crate) fn own_routes() -> Vec<RouteRow> {
    let row = |(method, path, policy): &(&str, &str, &str)| RouteRow {
        method: (*method).to_owned(),
        path: (*path).to_owned(),
        plugin: HOST.to_owned(),
        policy: (*policy).to_owned(),
        rate_limit: None,
    };
    OWN.iter().map(row).collect()
}
