//! Secrets are nowhere: not in logs, metrics, errors, listings, deliveries, the admin API or its stream.

use std::time::Duration;

use jackfield_tests::{
    github::GitHub,
    host::{OPERATOR, SECRET, Setup, binary},
    scratch::Scratch,
    sign,
};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_nowhere() {
    let Some(_) = binary() else { return };
    let (scratch, github) = (Scratch::new("canary"), GitHub::start());
    let host = Setup::new(scratch.0.clone(), &github.url, &github.private_key)
        .with("JACKFIELD_LOG", "debug")
        .start()
        .await;
    // A story that uses every secret, a delivery with a sender's credentials in it, and one that goes wrong.
    assert_eq!(
        host.deliver("story", "issue_comment", sign::mention(1)).await,
        Some(200)
    );
    let request = sign::hub(host.client.post(host.hook()), SECRET, "headers", "push", sign::push())
        .header("authorization", "Bearer canary-bearer")
        .header("cookie", "session=canary-cookie")
        .header("x-gitlab-token", "canary-gitlab")
        .header("x-api-key", "canary-key");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let broken = br#"{"installation":{"id":1},"action":"labeled","issue":5}"#.to_vec();
    assert_eq!(host.deliver("broken", "issues", broken).await, Some(200));
    let forged = host.client.post(host.hook()).header("x-hub-signature-256", "sha256=00");
    let refusal = forged.body("{}").send().await.unwrap().text().await.unwrap();
    let rows = host.settle(&["done", "dead"], Duration::from_secs(20)).await;
    assert_eq!(rows.len(), 3);
    let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();

    let mut places = vec![("the answer to a forged delivery".to_owned(), refusal)];
    let mut commands = vec![
        vec!["config", "show", "--sources"],
        vec!["config", "show", "--json"],
        vec!["check"],
        vec!["check", "--json"],
        vec!["plugins", "list", "--json"],
        vec!["routes"],
        vec!["openapi"],
        vec!["deliveries", "list", "--json"],
        vec!["migrate", "status", "--json"],
    ];
    commands.extend(ids.iter().map(|id| vec!["deliveries", "show", id, "--json"]));
    for arguments in commands {
        let (code, out, error) = host.setup.run_aside(&arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {error}");
        assert!(!out.is_empty(), "{arguments:?}");
        places.push((arguments.join(" "), out + &error));
    }
    let mut paths: Vec<String> = ["plugins", "deliveries", "routes", "config", "health"]
        .iter()
        .map(|path| format!("/{path}"))
        .collect();
    paths.extend(ids.iter().map(|id| format!("/deliveries/{id}")));
    for path in paths {
        places.push((path.clone(), host.admin(&path).await.to_string()));
    }
    let mut stream = host
        .client
        .get(host.url("/api/admin/v1/stream"))
        .bearer_auth(OPERATOR)
        .send()
        .await
        .unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), stream.chunk())
        .await
        .unwrap();
    places.push((
        "the stream".to_owned(),
        String::from_utf8_lossy(&event.unwrap().unwrap()).into_owned(),
    ));
    places.push(("the metrics".to_owned(), host.metrics().await));
    // Wrong keys of an operator and of GitHub are no reason to show the right ones.
    let (_, _, error) = host
        .setup
        .clone()
        .with("GITHUB_APP_PRIVATE_KEY", "canary-pem")
        .run_aside(&["check"])
        .await;
    places.push(("check with a broken key".to_owned(), error));
    places.push(("the log".to_owned(), host.log()));

    let key_line = github.private_key.lines().nth(1).unwrap();
    let canaries = [
        SECRET,
        OPERATOR,
        key_line,
        "ghs_stub",
        "canary-bearer",
        "canary-cookie",
        "canary-gitlab",
        "canary-key",
        "canary-pem",
    ];
    for (place, text) in &places {
        for canary in canaries {
            assert!(!text.contains(canary), "`{canary}` is in {place}: {text}");
        }
    }
    let all: String = places.into_iter().map(|(_, text)| text).collect();
    // The places were really looked at.
    for expected in [
        "[redacted]",
        "jackfield_deliveries_total",
        "conversation requested",
        "x-hub-signature-256",
        "snapshot",
    ] {
        assert!(all.contains(expected), "nothing shows `{expected}`");
    }
}
