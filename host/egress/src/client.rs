//! The client behind `host.http()`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::header;
use jackfield_sdk::{
    http_client::{HttpService, IncomingResponse, OutgoingRequest},
    service::{BoxFuture, ServiceError},
};
use metrics::counter;
use reqwest::{
    Certificate, Client, NoProxy, Proxy,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::{Host, Url};

use crate::{
    address::is_public,
    admission::{Admission, Reach},
    grant::Grant,
    hop::Hop,
};

/// How names become addresses; tests bring their own.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The deployment's settings.
#[derive(Clone)]
pub struct EgressSettings {
    /// Proxy for every call.
    pub proxy: Option<Url>,
    /// Hosts that are reached without it.
    pub no_proxy: Vec<String>,
    /// More certificate authorities, PEM.
    pub extra_ca: Option<Vec<u8>>,
    /// Addresses that every plugin with `http:*` may reach.
    pub allow: Vec<Url>,
    /// Longest call, whatever a plugin asks for.
    pub max_timeout: Duration,
    /// Resolver; the system's when none.
    pub lookup: Option<Lookup>,
}

impl Default for EgressSettings {
    fn default() -> Self {
        Self {
            proxy: None,
            no_proxy: Vec::new(),
            extra_ca: None,
            allow: Vec::new(),
            max_timeout: Duration::from_secs(120),
            lookup: None,
        }
    }
}

/// Why the client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The PEM file is not one.
    #[error("the extra CA file holds no PEM certificate: {0}; see egress.extra_ca_file")]
    Ca(reqwest::Error),
    /// The proxy's address is none.
    #[error("the proxy cannot be used: {0}; egress.proxy is http://HOST:PORT or https://HOST:PORT")]
    Proxy(reqwest::Error),
    /// The proxy speaks something else.
    #[error("`{0}:` is no proxy that can be used; egress.proxy is http://HOST:PORT or https://HOST:PORT")]
    ProxyScheme(String),
    /// The TLS library failed.
    #[error("the HTTP client cannot be made: {0}")]
    Client(reqwest::Error),
}

/// Two pools: one that may connect to what an operator granted, one that only ever connects to public addresses.
#[derive(Clone)]
pub struct Egress {
    granted: Client,
    public: Client,
    allow: Arc<[Grant]>,
    max_timeout: Duration,
    /// With a proxy, names are looked up here too before the proxy is asked to connect.
    before_proxy: Option<Lookup>,
}

impl Egress {
    /// Makes both pools.
    pub fn new(settings: &EgressSettings) -> Result<Self, EgressError> {
        let lookup = settings
            .lookup
            .clone()
            .unwrap_or_else(|| Arc::new(|name| Box::pin(system_lookup(name))));
        let resolver = |public_only| Resolver {
            lookup: Arc::clone(&lookup),
            public_only,
            proxy: settings
                .proxy
                .as_ref()
                .and_then(|proxy| proxy.host_str().map(str::to_owned)),
        };
        Ok(Self {
            granted: client(settings, resolver(false))?,
            public: client(settings, resolver(true))?,
            before_proxy: settings.proxy.is_some().then(|| Arc::clone(&lookup)),
            allow: settings.allow.iter().filter_map(Grant::of).collect(),
            max_timeout: settings.max_timeout,
        })
    }

    /// The client of one plugin: its operator's `egress` values, and whether it holds `http:*`.
    pub fn for_plugin(&self, plugin: &str, egress: &[Url], public: bool) -> Guarded {
        Guarded {
            egress: self.clone(),
            plugin: plugin.to_owned(),
            admission: Admission::new(plugin, egress, public, Arc::clone(&self.allow)),
        }
    }
}

fn client(settings: &EgressSettings, resolver: Resolver) -> Result<Client, EgressError> {
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .dns_resolver(Arc::new(resolver))
        .user_agent(concat!("jackfield/", env!("CARGO_PKG_VERSION")))
        .pool_idle_timeout(Duration::from_secs(60))
        .connect_timeout(Duration::from_secs(10));
    if let Some(proxy) = &settings.proxy {
        if !matches!(proxy.scheme(), "http" | "https") {
            return Err(EgressError::ProxyScheme(proxy.scheme().to_owned()));
        }
        let except = NoProxy::from_string(&settings.no_proxy.join(","));
        builder = builder.proxy(
            Proxy::all(proxy.clone())
                .map_err(|error| EgressError::Proxy(error.without_url()))?
                .no_proxy(except),
        );
    }
    if let Some(pem) = &settings.extra_ca {
        for certificate in Certificate::from_pem_bundle(pem).map_err(EgressError::Ca)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    let broken = if settings.extra_ca.is_some() {
        EgressError::Ca
    } else {
        EgressError::Client
    };
    builder.build().map_err(broken)
}

async fn system_lookup(name: String) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}

struct Resolver {
    lookup: Lookup,
    public_only: bool,
    /// The proxy stands in the operator's own network.
    proxy: Option<String>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let public_only = self.public_only && self.proxy.as_deref() != Some(name.as_str());
        let looked_up = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let mut found = looked_up.await?;
            if public_only {
                found.retain(|address| is_public(address.ip()));
                if found.is_empty() {
                    return Err("the name has no public address".into());
                }
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The guarded client of one plugin.
pub struct Guarded {
    egress: Egress,
    plugin: String,
    admission: Admission,
}

impl Guarded {
    /// A proxy connects where it is told to, so a name that is private here is not handed to it. One that is not known
    /// here is: where a proxy is needed, it often alone knows the names outside, and it has the operator's rules.
    async fn before_proxy(&self, url: &Url) -> Result<(), ServiceError> {
        let (Some(lookup), Some(Host::Domain(name))) = (&self.egress.before_proxy, url.host()) else {
            return Ok(());
        };
        let plain = name.trim_end_matches('.').to_ascii_lowercase();
        let local = plain == "localhost" || plain.ends_with(".localhost") || !plain.contains('.');
        let found = lookup(name.to_owned()).await.unwrap_or_default();
        if local || found.iter().any(|address| !is_public(address.ip())) {
            return Err(self.admission.denied(url));
        }
        Ok(())
    }

    async fn follow(&self, request: OutgoingRequest) -> Result<IncomingResponse, ServiceError> {
        let max_bytes = request.max_bytes;
        let mut hop = Hop::first(request)?;
        loop {
            let client = match self.admission.admit(&hop.url)? {
                Reach::Granted => &self.egress.granted,
                Reach::Public => {
                    self.before_proxy(&hop.url).await?;
                    &self.egress.public
                }
            };
            let sent = client
                .request(hop.method.clone(), hop.url.clone())
                .headers(hop.headers.clone())
                .body(hop.body.clone());
            let from = hop.url.clone();
            let response = sent.send().await.map_err(failed)?;
            let location = response
                .headers()
                .get(header::LOCATION)
                .and_then(|value| value.to_str().ok());
            if !hop.follow(response.status().as_u16(), location)? {
                return read(response, from, max_bytes).await;
            }
        }
    }
}

#[async_trait]
impl HttpService for Guarded {
    async fn send(&self, request: OutgoingRequest) -> Result<IncomingResponse, ServiceError> {
        let time = Duration::from_millis(request.timeout_ms).min(self.egress.max_timeout);
        let answer = tokio::time::timeout(time, self.follow(request))
            .await
            .unwrap_or_else(|_| {
                Err(ServiceError::unavailable(format!(
                    "no answer within {:.1} s",
                    time.as_secs_f64()
                )))
            });
        let result = match &answer {
            Ok(_) => "ok",
            Err(ServiceError::Denied { .. }) => "refused",
            Err(_) => "error",
        };
        counter!("jackfield_egress_requests_total", "plugin" => self.plugin.clone(), "result" => result).increment(1);
        answer
    }
}

async fn read(mut response: reqwest::Response, url: Url, max_bytes: u64) -> Result<IncomingResponse, ServiceError> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), Bytes::copy_from_slice(value.as_bytes())))
        .collect();
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if (body.len() + chunk.len()) as u64 > max_bytes {
            return Err(ServiceError::invalid(format!(
                "the answer has more than {max_bytes} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(IncomingResponse {
        status,
        url,
        headers,
        body: body.freeze(),
    })
}

/// The innermost cause, without the address: it may hold secrets.
fn failed(error: reqwest::Error) -> ServiceError {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the call broke off"
    };
    ServiceError::unavailable(format!("{what}: {cause}"))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
