//! What answers on the main listener: host routes, then plugins, then the fallback.

use std::{convert::Infallible, future::Future, sync::Arc};

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, StatusCode, header};
use jackfield_edge::RouteLabel;
use jackfield_plugins::{HOST, RouteRow};
use jackfield_sdk::Principal;
use tower::{Service, ServiceExt};

use crate::{admin, operator, operator::Operators, probes, serve::Running};

/// The service inside the layers. Cheap to clone.
pub(crate) fn service(
    running: Arc<Running>,
    operators: Operators,
) -> impl Service<
    Request<Body>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> + Clone
+ Send
+ Sync
+ 'static {
    let beyond = {
        let running = Arc::clone(&running);
        tower::service_fn(move |request: Request<Body>| {
            let running = Arc::clone(&running);
            async move { Ok::<_, Infallible>(beyond_the_host(&running, request).await) }
        })
    };
    let host = probes::public_router(Arc::clone(&running)).merge(admin::router(Arc::clone(&running)));
    let shared = Arc::new((running, operators, host.fallback_service(beyond)));
    tower::service_fn(move |mut request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move {
            let (running, operators, host) = &*shared;
            operator::identify(operators, &mut request);
            // The host's router is a look-up and some copies that a plugin's request need not pay for.
            if !is_own(request.uri().path()) {
                return Ok(beyond_the_host(running, request).await);
            }
            let route = own_label(request.uri().path());
            let mut response = host.clone().oneshot(request).await?;
            if response.extensions().get::<RouteLabel>().is_none() {
                let plugin = HOST.into();
                response.extensions_mut().insert(RouteLabel { route, plugin });
            }
            Ok(response)
        }
    })
}

/// Whether a host route may answer this path.
fn is_own(path: &str) -> bool {
    OWN.iter().any(|(_, own, _)| match own.split_once('{') {
        Some((start, _)) => path.starts_with(start),
        None => path == *own,
    })
}

/// Host routes get their own pattern as label.
fn own_label(path: &str) -> Arc<str> {
    if path.starts_with("/api/admin/v1/") {
        "/api/admin/v1/*".into()
    } else if OWN.iter().any(|(_, own, _)| *own == path) {
        path.into()
    } else {
        "other".into()
    }
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
