//! The device flow (§17): every answer that it has. Time and trouble are made in the database, where the host finds them.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{Ground, ME, Row, detail, error, get, mistake, post, row};

/// The host's own database, beside the host.
async fn database(ground: &Ground) -> SqliteConnection {
    let file = ground.host.setup.directory.join("data/jackfield.db");
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

async fn change(database: &mut SqliteConnection, statement: &'static str) {
    sqlx::query(statement).execute(database).await.unwrap();
}

/// What a device is told: `interval` is null unless it has to slow down.
fn says(row: Row, status: u16, error: &str, description: &str, interval: Value) -> Row {
    row.gets(status)
        .says(json!({ "error": error, "error_description": description, "interval": interval }))
}

fn no(row: Row, error: &str, description: &str) -> Row {
    says(row, 400, error, description, Value::Null)
}

fn codes() -> Row {
    let shape = json!({
        "device_code": "<text>", "user_code": "<text>", "verification_uri": "<text>", "verification_uri_complete": "<text>",
        "expires_in": 600, "interval": 5,
    });
    post("§17 authorize", "/oauth/device/authorize").says(shape)
}

fn token(of: &'static str, device: &str) -> Row {
    post(of, "/oauth/device/token").form("device_code", device)
}

fn verify(of: &'static str, user: &str) -> Row {
    post(of, "/oauth/device/verify-authenticated").form("user_code", user)
}

fn pair(told: &Value) -> (String, String) {
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (text("device_code"), text("user_code"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_where_it_stands() {
    let Some(ground) = Ground::start("wire-device", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let told = ground.told(codes()).await;
    let (device, user) = pair(&told);
    assert!(
        device.len() == 128 && device.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{told}"
    );
    let alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    assert!(user.len() == 8 && user.chars().all(|c| alphabet.contains(c)), "{told}");
    let at = ground.host.url("/oauth/device/verify");
    assert_eq!(told["verification_uri"], at.as_str());
    assert_eq!(told["verification_uri_complete"], format!("{at}?user_code={user}"));

    let pending = "User has not yet completed authorization";
    let slower = |n: u8| format!("Polling too frequently. Wait at least {n} seconds between requests.");
    let missing = || mistake("missing", &json!(["body", "device_code"]));
    ground
        .holds([
            post("§17 token", "/oauth/device/token").gets(422).says(missing()),
            post("§17 token", "/oauth/device/token")
                .form("grant_type", "x")
                .gets(422)
                .says(missing()),
            no(token("§17 token 1", "x"), "invalid_grant", "Invalid device code"),
            no(token("§17 token 5", &device), "authorization_pending", pending),
            says(token("§17 token 2", &device), 400, "slow_down", &slower(10), json!(10)),
            says(token("§17 token 2", &device), 400, "slow_down", &slower(15), json!(15)),
            verify("§17 verify: no user", &user)
                .gets(401)
                .says(error("NoCredentialsError")),
            post("§17 verify", "/oauth/device/verify-authenticated")
                .cookie(&ann.cookie)
                .gets(422)
                .says(mistake("missing", &json!(["body", "user_code"]))),
            verify("§17 verify", "ZZZZZZZZ")
                .cookie(&ann.cookie)
                .gets(400)
                .says(detail("The device code is invalid or has expired.")),
            verify(
                "§17 verify: as people type it; the codes have no small letters",
                &user.to_lowercase(),
            )
            .cookie(&ann.cookie)
            .says(json!({ "message": "Device authorized successfully!" })),
            verify("§17 verify", &user)
                .cookie(&ann.cookie)
                .gets(400)
                .says(detail("This device code has already been processed.")),
        ])
        .await;
    let mut database = database(&ground).await;
    change(&mut database, "UPDATE device_code SET polled_ms = NULL").await;
    let bearer = json!({ "access_token": "<key>", "token_type": "Bearer", "expires_in": null });
    let given = ground.told(token("§17 token 7", &device).says(bearer)).await;
    let key = given["access_token"].as_str().unwrap();
    let name = format!("Device Link Access Key ({user})");
    ground
        .holds([
            get("§17", ME).bearer(key).tells("/email", json!("ann@example.com")),
            get("§17, §18.1", "/api/keys")
                .cookie(&ann.cookie)
                .tells("/0/name", json!(name))
                .tells("/0/expires_at", json!("<time>")),
            no(
                token("§17 token 7: once (30.10)", &device),
                "invalid_grant",
                "Invalid device code",
            ),
            verify("§17 verify: the code is gone (30.10)", &user)
                .cookie(&ann.cookie)
                .gets(400)
                .says(detail("The device code is invalid or has expired.")),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_late_or_denied_or_met_by_trouble_is_told_so() {
    let Some(ground) = Ground::start("wire-denied", &[]).await else {
        return;
    };
    let ann = ground.person("ann@example.com").await;
    let (denied, denied_user) = pair(&ground.told(codes()).await);
    let (late, late_user) = pair(&ground.told(codes()).await);
    let deny =
        |user: &str| post("§17: the reference has no way to say no", "/oauth/device/deny").form("user_code", user);
    ground
        .holds([
            deny(&denied_user).gets(401).says(error("NoCredentialsError")),
            deny(&denied_user)
                .cookie(&ann.cookie)
                .says(json!({ "message": "Device denied." })),
            no(
                token("§17 token 4", &denied),
                "access_denied",
                "User denied the authorization request",
            ),
            verify("§17 verify", &denied_user)
                .cookie(&ann.cookie)
                .gets(400)
                .says(detail("This device code has already been processed.")),
        ])
        .await;
    let mut database = database(&ground).await;
    change(
        &mut database,
        "UPDATE device_code SET expires_ms = 1 WHERE state = 'pending'",
    )
    .await;
    ground
        .holds([
            verify("§17 verify", &late_user)
                .cookie(&ann.cookie)
                .gets(400)
                .says(detail("This device code has already been processed.")),
            no(token("§17 token 3", &late), "expired_token", "Device code has expired"),
        ])
        .await;
    change(&mut database, "ALTER TABLE device_code RENAME TO elsewhere").await;
    ground
        .holds([
            codes().gets(500).says(detail("Internal server error")),
            says(
                token("§17 token 9", &late),
                500,
                "server_error",
                "Internal server error",
                Value::Null,
            ),
            verify("§17 verify", &late_user)
                .cookie(&ann.cookie)
                .gets(500)
                .says(detail("An unexpected error occurred. Please try again.")),
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_key_may_decide_and_other_methods_are_none() {
    let Some(ground) = Ground::start("wire-decide", &[]).await else {
        return;
    };
    let key = ground.key("ann@example.com").await;
    let (_, user) = pair(&ground.told(codes()).await);
    let none = |of, method, path| row(of, method, path).gets(405).says(detail("Method Not Allowed"));
    ground
        .holds([
            verify("§17 verify: cookie or bearer", &user)
                .bearer(&key)
                .says(json!({ "message": "Device authorized successfully!" })),
            none("§1.1: no page instead (30.44)", Method::GET, "/oauth/device/token").has("allow", "POST"),
            none("§1.1", Method::PUT, "/oauth/device/authorize").has("allow", "POST"),
        ])
        .await;
}
