//! A proxy and a TLS server of the test's own.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Connects every target to one address, and keeps what it was asked.
struct TestProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, Arc::clone(&notes)));
            }
        });
        Self { port, asked }
    }

    /// Request lines, and `Proxy-Authorization` headers.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn egress(&self, at: &str, more: EgressSettings) -> Egress {
        Egress::new(&EgressSettings {
            proxy: Some(format!("http://{at}:{}", self.port).parse().unwrap()),
            ..more
        })
        .unwrap()
    }
}

/// Reads one head; a CONNECT becomes a tunnel, anything else is passed on in origin form.
async fn carry(client: TcpStream, target: SocketAddr, notes: Arc<Mutex<Vec<String>>>) {
    let mut client = BufReader::new(client);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line);
    }
    let kept = head
        .iter()
        .enumerate()
        .filter(|(at, line)| *at == 0 || line.to_lowercase().starts_with("proxy-authorization"));
    notes
        .lock()
        .unwrap()
        .extend(kept.map(|(_, line)| line.trim_end().to_owned()));
    let mut server = TcpStream::connect(target).await.unwrap();
    if head[0].starts_with("CONNECT") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    } else {
        let path = head[0]
            .split(' ')
            .nth(1)
            .unwrap()
            .splitn(4, '/')
            .nth(3)
            .unwrap()
            .to_owned();
        let text = format!("GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        server.write_all(text.as_bytes()).await.unwrap();
    }
    // Either side going away ends it.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

/// Answers one request per connection with 200 and `text`.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) {
    let mut seen = Vec::new();
    let mut chunk = [0; 1024];
    while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk).await {
            Ok(read) if read > 0 => seen.extend_from_slice(&chunk[..read]),
            _ => return,
        }
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    // The client may have gone.
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// A TLS server for `name`; gives its address and the PEM of the authority that signed it.
async fn tls_server(name: &str) -> (SocketAddr, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    answer(stream, "secure").await;
                }
            });
        }
    });
    (address, authority.into_bytes())
}

async fn plain_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, "plain"));
        }
    });
    address
}

/// Knows a few names.
fn names() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            match name.trim_end_matches('.') {
                "public.example" => Ok(vec!["93.184.216.34:0".parse().unwrap()]),
                "private.example" | "proxy.corp.example" => Ok(vec!["127.0.0.1:0".parse().unwrap()]),
                "both.example" => Ok(vec!["93.184.216.34:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap()]),
                _ => Err(std::io::Error::other("no such name")),
            }
        })
    })
}

fn settings() -> EgressSettings {
    EgressSettings {
        lookup: Some(names()),
        ..EgressSettings::default()
    }
}

#[tokio::test]
async fn plain_calls_go_through_the_proxy_with_its_own_credentials() {
    let proxy = TestProxy::start(plain_server().await).await;
    // The proxy's name is private, as proxies are.
    let guarded = proxy
        .egress("us%20er:pa%3Ass@proxy.corp.example", settings())
        .for_plugin("p", &[], true);
    let answer = guarded.send(request("http://public.example/path?q=1")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"plain"[..]));
    let asked = proxy.asked();
    assert_eq!(asked[0], "GET http://public.example/path?q=1 HTTP/1.1");
    assert!(
        asked[1].to_lowercase().starts_with("proxy-authorization: basic"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn tls_calls_go_through_a_tunnel_and_are_verified_end_to_end() {
    let (address, authority) = tls_server("public.example").await;
    let proxy = TestProxy::start(address).await;
    let trusting = EgressSettings {
        extra_ca: Some(authority),
        ..settings()
    };
    let guarded = proxy.egress("127.0.0.1", trusting).for_plugin("p", &[], true);
    let answer = guarded.send(request("https://public.example/path?q=1")).await.unwrap();
    assert_eq!(&answer.body[..], b"secure");
    assert_eq!(proxy.asked(), ["CONNECT public.example:443 HTTP/1.1"]);
    let guarded = proxy.egress("127.0.0.1", settings()).for_plugin("p", &[], true);
    let error = guarded
        .send(request("https://public.example/path?q=s3cret"))
        .await
        .unwrap_err();
    assert!(matches!(error, ServiceError::Unavailable { .. }), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_proxy_is_never_asked_for_a_private_target() {
    let proxy = TestProxy::start(plain_server().await).await;
    let guarded = proxy
        .egress("proxy.corp.example", settings())
        .for_plugin("p", &[], true);
    for url in [
        "http://private.example/",
        "http://private.example./",
        "http://both.example/",
        "http://proxy.corp.example/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://app.localhost/",
        "http://intranet/",
        "http://127.0.0.1/",
        "http://[::1]/",
        "http://169.254.169.254/",
        "https://private.example/",
    ] {
        let refused = guarded.send(request(url)).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Denied { .. }), "{url}: {refused}");
    }
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    // A name that only the proxy knows, and one that the operator granted.
    guarded.send(request("http://outside.example/")).await.unwrap();
    let granted = proxy.egress("proxy.corp.example", settings()).for_plugin(
        "p",
        &["http://private.example".parse().unwrap()],
        false,
    );
    granted.send(request("http://private.example/")).await.unwrap();
    assert_eq!(proxy.asked().len(), 2);
}

#[tokio::test]
async fn hosts_of_no_proxy_are_reached_directly_and_still_guarded() {
    let (plain, proxy) = (plain_server().await, TestProxy::start(plain_server().await).await);
    let settings = EgressSettings {
        no_proxy: vec!["127.0.0.1".to_owned(), "private.example".to_owned()],
        ..settings()
    };
    let egress = proxy.egress("127.0.0.1", settings);
    let origin: Url = format!("http://{plain}").parse().unwrap();
    let granted = egress.for_plugin("p", std::slice::from_ref(&origin), false);
    granted.send(request(origin.as_str())).await.unwrap();
    let public = egress.for_plugin("p", &[], true);
    let refused = public.send(request("http://private.example/")).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Denied { .. }), "{refused}");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}

#[tokio::test]
async fn an_extra_authority_is_trusted_for_its_names_only() {
    let (address, authority) = tls_server("localhost").await;
    let url = format!("https://localhost:{}/path?token=s3cret", address.port());
    let call = async |extra_ca: Option<Vec<u8>>, url: &str| {
        let settings = EgressSettings {
            extra_ca,
            lookup: Some(Arc::new(move |_| {
                Box::pin(async move { Ok(vec![SocketAddr::new(address.ip(), 0)]) })
            })),
            ..EgressSettings::default()
        };
        let grant: Url = url.parse().unwrap();
        Egress::new(&settings)
            .unwrap()
            .for_plugin("p", &[grant], false)
            .send(request(url))
            .await
    };
    assert_eq!(&call(Some(authority.clone()), &url).await.unwrap().body[..], b"secure");
    let other_name = url.replace("localhost", "other.example");
    for (authority, url) in [(None, &url), (Some(authority), &other_name)] {
        let error = call(authority, url).await.unwrap_err();
        assert!(matches!(error, ServiceError::Unavailable { .. }), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
    for proxy in ["socks5://u:s3cret@127.0.0.1:1", "ftp://u:s3cret@127.0.0.1:1"] {
        let settings = EgressSettings {
            proxy: Some(proxy.parse().unwrap()),
            ..EgressSettings::default()
        };
        let error = Egress::new(&settings).err().unwrap().to_string();
        assert!(error.contains("egress.proxy") && !error.contains("s3cret"), "{error}");
    }
}
