//! Values that fit their types and yet cannot be right.

use std::collections::BTreeMap;

use crate::{
    load::place,
    problem::Problem,
    settings::{Settings, SignIn},
    source::Source,
};

type Values = BTreeMap<String, (serde_json::Value, Source)>;

pub(crate) fn problems(settings: &Settings, values: &Values) -> Vec<Problem> {
    weak_key(settings, values)
        .into_iter()
        .chain(incomplete_keycloak(settings, values))
        .collect()
}

fn weak_key(settings: &Settings, values: &Values) -> Option<Problem> {
    let key = settings.operator_key.as_ref().filter(|key| key.chars().count() < 32)?;
    Some(problem(
        values,
        "operator_key",
        "operator_key",
        format!("it has {} characters", key.chars().count()),
        "use at least 32 random characters, such as `openssl rand -hex 32` prints",
    ))
}

/// Sign-in with Keycloak needs a place, a secret, and an address that it sends people back to.
fn incomplete_keycloak(settings: &Settings, values: &Values) -> Vec<Problem> {
    if settings.identity.provider != SignIn::Keycloak {
        return Vec::new();
    }
    let keycloak = &settings.keycloak;
    let needed = [
        (
            keycloak.server_url.is_some(),
            "keycloak.server_url",
            "set KEYCLOAK_SERVER_URL to where this host reaches Keycloak, as http://keycloak:8080",
        ),
        (
            keycloak.client_secret.is_some(),
            "keycloak.client_secret",
            "set KEYCLOAK_CLIENT_SECRET, or KEYCLOAK_CLIENT_SECRET_FILE, to the secret of the client in the realm",
        ),
        (
            settings.public_url.is_some(),
            "public_url",
            "set JACKFIELD_PUBLIC_URL to the address that people use for this host, as https://app.example.com",
        ),
        (
            keycloak.timeout > 0.0 && keycloak.timeout <= 60.0,
            "keycloak.timeout",
            "write seconds, more than 0 and 60 at most",
        ),
    ];
    let missing = needed.into_iter().filter(|(there, ..)| !there);
    missing
        .map(|(_, key, fix)| {
            let what = match values.contains_key(key) {
                true => "it cannot be used".to_owned(),
                false => "identity.provider is `keycloak`, which needs it".to_owned(),
            };
            let source = if values.contains_key(key) {
                key
            } else {
                "identity.provider"
            };
            problem(values, source, key, what, fix)
        })
        .collect()
}

fn problem(values: &Values, source: &str, key: &str, what: String, fix: &str) -> Problem {
    let (file, line) = place(values.get(source).map(|(_, source)| source));
    Problem {
        file,
        line,
        key: key.to_owned(),
        what,
        fix: fix.to_owned(),
        suggestion: None,
    }
}
