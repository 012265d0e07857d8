#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;

#[path = "tests/proxy.rs"]
mod proxy;

fn request(url: &str) -> OutgoingRequest {
    OutgoingRequest {
        method: "GET".to_owned(),
        url: url.parse().unwrap(),
        headers: vec![("authorization".to_owned(), Bytes::from_static(b"Bearer s3cret"))],
        body: Bytes::new(),
        timeout_ms: 2_000,
        max_bytes: 1_000,
        redirects: 0,
    }
}

fn egress() -> Egress {
    Egress::new(&EgressSettings::default()).unwrap()
}

#[tokio::test]
async fn a_grant_opens_its_own_origin_and_no_other() {
    let server = MockServer::start().await;
    Mock::given(path("/ping"))
        .respond_with(ResponseTemplate::new(200).set_body_string("pong"))
        .mount(&server)
        .await;
    let origin: Url = server.uri().parse().unwrap();
    let guarded = egress().for_plugin("p", std::slice::from_ref(&origin), false);
    let answer = guarded
        .send(request(&format!("{}/ping?token=x", server.uri())))
        .await
        .unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"pong"[..]));
    let mut other = origin;
    other.set_port(Some(1)).unwrap();
    let refused = guarded.send(request(other.as_str())).await.unwrap_err();
    assert!(matches!(refused, ServiceError::Denied { .. }), "{refused}");
}

#[tokio::test]
async fn the_public_wildcard_reaches_no_private_literal_and_no_odd_port() {
    let guarded = egress().for_plugin("p", &[], true);
    for url in [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://user:password@127.0.0.1/",
        "http://1.1.1.1@127.0.0.1/",
        "http://1.1.1.1:80@[::1]:80/",
        "http://\u{ff11}27.0.0.1/",
        "http://127\u{3002}0.0.1/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[fd00:ec2::254]/",
        "http://0/",
        "http://100.64.0.1/",
        "https://example.com:8080/",
        "http://example.com:6379/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://example.com:22/",
        "http://10.0.0.1:443/",
    ] {
        let refused = guarded.send(request(url)).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Denied { .. }), "{url}: {refused}");
    }
    assert!(matches!(
        guarded.send(request("ftp://example.com/")).await,
        Err(ServiceError::Invalid { .. })
    ));
}

#[tokio::test]
async fn a_rebinding_name_never_reaches_a_private_address() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(vec!["127.0.0.1:0".parse().unwrap(), "10.1.2.3:0".parse().unwrap()]) })
    });
    let egress = Egress::new(&EgressSettings {
        lookup: Some(lookup),
        ..EgressSettings::default()
    })
    .unwrap();
    let error = egress
        .for_plugin("p", &[], true)
        .send(request("http://rebind.example/"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no public address"), "{error}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn addresses_with_a_zone_are_none() {
    for text in [
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[::1%251]/",
    ] {
        assert!(text.parse::<Url>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_name_that_turns_private_after_its_first_answer_is_refused_when_it_connects() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // First a public address where nobody listens (TEST-NET is not public, so one that refuses soon), then ours.
    let server = MockServer::start().await;
    let private = *server.address();
    let lookup: Lookup = Arc::new(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(async move {
            Ok(vec![if first {
                "[2606:4700::1111]:0".parse().unwrap()
            } else {
                SocketAddr::new(private.ip(), 0)
            }])
        })
    });
    let egress = Egress::new(&EgressSettings {
        lookup: Some(lookup),
        ..EgressSettings::default()
    })
    .unwrap();
    let guarded = egress.for_plugin("p", &[], true);
    let first = OutgoingRequest {
        timeout_ms: 300,
        ..request("http://rebind.example/")
    };
    // Whatever becomes of the public address, it is one that was tried.
    assert!(!matches!(guarded.send(first).await, Err(ServiceError::Denied { .. })));
    let second = guarded.send(request("http://rebind.example/")).await.unwrap_err();
    assert!(second.to_string().contains("no public address"), "{second}");
    assert!(asked.load(Ordering::SeqCst) >= 2);
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn one_plugins_grant_is_no_other_plugins_way() {
    let server = MockServer::start().await;
    Mock::given(path("/"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let origin: Url = format!("http://localhost:{}", server.address().port()).parse().unwrap();
    let egress = egress();
    let holder = egress.for_plugin("holder", std::slice::from_ref(&origin), false);
    // A pooled connection is open now.
    assert_eq!(holder.send(request(origin.as_str())).await.unwrap().status, 204);
    for (public, url) in [(false, origin.clone()), (true, origin.clone())] {
        let refused = egress
            .for_plugin("other", &[], public)
            .send(request(url.as_str()))
            .await;
        assert!(matches!(refused, Err(ServiceError::Denied { .. })), "{refused:?}");
    }
    let mut secure = origin.clone();
    secure.set_scheme("https").unwrap();
    let refused = holder.send(request(secure.as_str())).await;
    assert!(matches!(refused, Err(ServiceError::Denied { .. })), "{refused:?}");
    // Port 80 of the same name is public to look at, and the resolver that connects says no.
    let refused = egress
        .for_plugin("other", &[], true)
        .send(request("http://localhost/"))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("no public address"), "{refused}");
}

#[tokio::test]
async fn what_is_secret_does_not_follow_to_another_origin() {
    let (from, to) = (MockServer::start().await, MockServer::start().await);
    for (place, status) in [("/307", 307), ("/302", 302)] {
        let away = ResponseTemplate::new(status).insert_header("location", format!("{}/there", to.uri()));
        Mock::given(path(place)).respond_with(away).mount(&from).await;
    }
    Mock::given(path("/there"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&to)
        .await;
    let grants = [from.uri().parse().unwrap(), to.uri().parse().unwrap()];
    let guarded = egress().for_plugin("p", &grants, false);
    let post = |place: &str| OutgoingRequest {
        method: "POST".to_owned(),
        headers: ["authorization", "private-token", "x-api-key", "cookie", "accept"]
            .map(|name| (name.to_owned(), Bytes::from_static(b"s3cret")))
            .to_vec(),
        body: Bytes::from_static(b"client_secret=s3cret"),
        redirects: 3,
        ..request(&format!("{}{place}", from.uri()))
    };
    let refused = guarded.send(post("/307")).await.unwrap_err();
    assert!(refused.to_string().contains("another origin"), "{refused}");
    assert_eq!(guarded.send(post("/302")).await.unwrap().status, 204);
    let seen = to.received_requests().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].body.is_empty() && seen[0].method.as_str() == "GET");
    let names: Vec<&str> = seen[0].headers.keys().map(http::HeaderName::as_str).collect();
    assert!(names.contains(&"accept"), "{names:?}");
    for secret in ["authorization", "private-token", "x-api-key", "cookie"] {
        assert!(!names.contains(&secret), "{names:?}");
    }
}

#[tokio::test]
async fn headers_of_the_connection_are_the_hosts() {
    let guarded = egress().for_plugin("p", &["http://127.0.0.1:1".parse().unwrap()], false);
    for name in ["Host", "transfer-encoding", "Content-Length", "proxy-authorization"] {
        let sets = OutgoingRequest {
            headers: vec![(name.to_owned(), Bytes::from_static(b"x"))],
            ..request("http://127.0.0.1:1/")
        };
        let refused = guarded.send(sets).await.unwrap_err();
        assert!(refused.to_string().contains("the host sets the header"), "{refused}");
    }
}

#[tokio::test]
async fn no_error_shows_query_or_credentials() {
    let guarded = egress().for_plugin(
        "p",
        &[
            "http://127.0.0.1:1".parse().unwrap(),
            "http://nowhere.invalid".parse().unwrap(),
        ],
        true,
    );
    for url in [
        "http://u:s3cret@127.0.0.1:1/?token=s3cret",
        "http://u:s3cret@nowhere.invalid/?token=s3cret",
        "http://u:s3cret@10.0.0.1/?token=s3cret",
        "ftp://u:s3cret@example.com/?token=s3cret",
    ] {
        let error = guarded.send(request(url)).await.unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{url}: {error}");
    }
}

#[tokio::test]
async fn redirects_are_followed_only_when_asked_and_checked_each_time() {
    let server = MockServer::start().await;
    let away = ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/secret");
    Mock::given(path("/away")).respond_with(away).mount(&server).await;
    let here = ResponseTemplate::new(302).insert_header("location", "/there");
    Mock::given(path("/here")).respond_with(here).mount(&server).await;
    Mock::given(path("/there"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let guarded = egress().for_plugin("p", &[server.uri().parse().unwrap()], false);
    assert_eq!(
        guarded
            .send(request(&format!("{}/here", server.uri())))
            .await
            .unwrap()
            .status,
        302
    );
    let follow = |place: &str| OutgoingRequest {
        redirects: 3,
        ..request(&format!("{}{place}", server.uri()))
    };
    assert_eq!(guarded.send(follow("/here")).await.unwrap().status, 204);
    assert!(matches!(
        guarded.send(follow("/away")).await,
        Err(ServiceError::Denied { .. })
    ));
}

#[tokio::test]
async fn answers_are_limited_in_size_and_time() {
    let server = MockServer::start().await;
    Mock::given(path("/big"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(vec![0; 1_001]))
        .mount(&server)
        .await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    Mock::given(path("/slow")).respond_with(slow).mount(&server).await;
    let guarded = egress().for_plugin("p", &[server.uri().parse().unwrap()], false);
    let big = guarded
        .send(request(&format!("{}/big", server.uri())))
        .await
        .unwrap_err();
    assert!(big.to_string().contains("more than 1000 bytes"), "{big}");
    let late = OutgoingRequest {
        timeout_ms: 50,
        ..request(&format!("{}/slow?token=x", server.uri()))
    };
    let late = guarded.send(late).await.unwrap_err();
    assert!(
        late.to_string().contains("no answer within") && !late.to_string().contains("token"),
        "{late}"
    );
}

#[test]
fn a_file_that_is_no_certificate_is_named() {
    let settings = EgressSettings {
        extra_ca: Some(b"-----BEGIN CERTIFICATE-----\nbad\n-----END CERTIFICATE-----\n".to_vec()),
        ..EgressSettings::default()
    };
    let error = Egress::new(&settings).err().unwrap().to_string();
    assert!(error.contains("egress.extra_ca_file"), "{error}");
}
