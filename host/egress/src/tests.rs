#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;

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
        "http://2130706433/",
        "http://0x7f.1/",
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
