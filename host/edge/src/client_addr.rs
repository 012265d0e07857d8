//! The one place that says where a request comes from: the other end of the connection, or, when that is a proxy we trust,
//! the last address of `X-Forwarded-For` that is none of ours. What a client writes there itself is never believed.

use std::{net::IpAddr, sync::Arc};

use axum::body::Body;
use http::Request;
use ipnet::IpNet;

use crate::listener::PeerAddr;

/// Address of the client; in every request's extensions, but those of the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddr(Arc<str>);

impl ClientAddr {
    /// This address; written out once, for everyone who asks.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical().to_string().into())
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Networks whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The connection has put its other end there; a request through a proxy of ours is its client's.
    pub(crate) fn note(&self, request: &mut Request<Body>) {
        if let Some(address) = self.client(request) {
            request.extensions_mut().insert(ClientAddr::new(address));
        }
    }

    /// Who is behind the other end of the connection, where that is a proxy that we trust.
    fn client(&self, request: &Request<Body>) -> Option<IpAddr> {
        let peer = request.extensions().get::<PeerAddr>()?.0.ip().to_canonical();
        if !self.has(peer) {
            return None;
        }
        let lines = request.headers().get_all("x-forwarded-for");
        let named: Vec<&str> = lines.iter().filter_map(|line| line.to_str().ok()).collect();
        let mut client = peer;
        for text in named.iter().rev().flat_map(|line| line.rsplit(',')) {
            // Whoever stands before an address that cannot be read is unknown.
            let Some(address) = address(text.trim()) else { break };
            client = address;
            if !self.has(address) {
                break;
            }
        }
        Some(client)
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    plain
        .or_else(with_port)
        .or_else(in_brackets)
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = TrustedProxies::new(trusted.iter().map(|network| network.parse().unwrap()).collect());
        let mut request = Request::builder();
        for line in forwarded {
            request = request.header("x-forwarded-for", *line);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer = PeerAddr(format!("{peer}:1").parse().unwrap());
        request.extensions_mut().insert(peer);
        let client = proxies.client(&request);
        client.unwrap_or(peer.0.ip().to_canonical()).to_string()
    }

    #[test]
    fn nobody_is_believed_by_default() {
        assert_eq!(client(&[], "192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_of_ours_is_the_clients() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(client(&trusted, "10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(
            client(&trusted, "10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(
            client(&trusted, "10.0.0.1", &["6.6.6.6", "198.51.100.1:4711"]),
            "198.51.100.1"
        );
        assert_eq!(client(&trusted, "10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
        assert_eq!(client(&trusted, "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn what_stands_before_something_unreadable_is_not_believed() {
        assert_eq!(
            client(&["10.0.0.0/8"], "10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"]),
            "10.0.0.2"
        );
    }

    #[test]
    fn addresses_of_version_6_are_read() {
        assert_eq!(client(&["::1/128"], "[::1]", &["[2001:db8::1]:80"]), "2001:db8::1");
        assert_eq!(
            client(&["127.0.0.0/8"], "[::ffff:127.0.0.1]", &["2001:db8::2"]),
            "2001:db8::2"
        );
    }
}
