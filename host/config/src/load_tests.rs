#![allow(clippy::unwrap_used)]

use super::*;

fn env<const N: usize>(pairs: [(&str, &str); N]) -> Result<Loaded, Vec<Problem>> {
    load(
        &Flags {
            config: None,
            ..Flags::default()
        },
        &Environment::from(pairs),
        &["JACKFIELD_SMTP_URL".to_owned()],
    )
}

#[test]
fn flags_beat_variables_beat_defaults_and_each_is_named() {
    let flags = Flags {
        listen: Some("127.0.0.1:9".to_owned()),
        ..Flags::default()
    };
    let given = Environment::from([
        ("JACKFIELD_LISTEN", "127.0.0.1:8"),
        ("JACKFIELD_LIMITS__CONCURRENCY", "7"),
    ]);
    let loaded = load(&flags, &given, &[]).unwrap();
    assert_eq!(loaded.settings.listen, "127.0.0.1:9");
    assert_eq!(loaded.settings.limits.concurrency, 7);
    assert_eq!(loaded.settings.limits.connections, 10_000);
    assert_eq!(loaded.sources["listen"], Source::Flag("--listen"));
    assert_eq!(
        loaded.sources["limits.concurrency"].to_string(),
        "environment JACKFIELD_LIMITS__CONCURRENCY"
    );
}

#[test]
fn the_references_names_work() {
    let loaded = env([
        ("DB_HOST", "db"),
        ("DB_USER", "u"),
        ("DB_PASS", "p@ss"),
        ("DB_NAME", "n"),
        ("REDIS_HOST", "r"),
        ("REDIS_PASSWORD", "p@s/s"),
        ("WEB_HOST", "app.example"),
        ("PERMITTED_CORS_ORIGINS", "https://a.example, https://b.example"),
    ])
    .unwrap();
    assert_eq!(loaded.settings.database(), "postgres://u:p%40ss@db:5432/n");
    assert_eq!(
        loaded.settings.redis_url.as_deref(),
        Some("redis://:p%40s%2Fs@r:6379/0")
    );
    assert_eq!(loaded.settings.origins(), ["https://a.example", "https://b.example"]);
    assert_eq!(loaded.settings.public_url.unwrap().as_str(), "https://app.example/");
}

#[test]
fn numbers_without_a_default_are_read_from_the_environment_too() {
    let loaded = env([
        ("JACKFIELD_INBOX__JOBS_PER_MINUTE", "240"),
        ("JACKFIELD_INBOX__TENANT_JOBS_PER_MINUTE", "60"),
        ("JACKFIELD_OPERATOR_KEY", "00000000000000000000000000000000"),
    ])
    .unwrap();
    let inbox = &loaded.settings.inbox;
    assert_eq!(
        [inbox.jobs_per_minute, inbox.tenant_jobs_per_minute].map(|rate| rate.map(std::num::NonZeroU32::get)),
        [Some(240), Some(60)]
    );
    for bad in ["0", "-1", "many"] {
        let problems = env([("JACKFIELD_INBOX__JOBS_PER_MINUTE", bad)]).unwrap_err();
        assert_eq!(problems[0].key, "inbox.jobs_per_minute", "{bad}: {problems:?}");
    }
}

#[test]
fn the_references_keycloak_signs_in() {
    let loaded = env([
        ("KEYCLOAK_SERVER_URL", "http://keycloak:8080/"),
        ("AUTH_WEB_HOST", "auth.example"),
        ("KEYCLOAK_REALM_NAME", "r"),
        ("KEYCLOAK_CLIENT_ID", "c"),
        ("KEYCLOAK_CLIENT_SECRET", "canary-secret"),
        ("WEB_HOST", "app.example"),
        ("ROLE_CHECK_ENABLED", "true"),
        ("DUPLICATE_EMAIL_CHECK", "0"),
    ])
    .unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.identity.provider, crate::SignIn::Keycloak);
    assert_eq!(settings.keycloak.server().unwrap(), "http://keycloak:8080");
    assert_eq!(settings.keycloak.public().unwrap(), "https://auth.example");
    assert!(settings.keycloak.role_check && !settings.keycloak.duplicate_email_check);
    assert!(settings.secret_values().contains(&"canary-secret".to_owned()));
    assert!(!format!("{:?}", loaded.rows()).contains("canary-secret"));
    let local = env([
        ("KEYCLOAK_SERVER_URL", "http://keycloak:8080"),
        ("JACKFIELD_IDENTITY__PROVIDER", "local"),
    ]);
    assert_eq!(local.unwrap().settings.identity.provider, crate::SignIn::Local);
}

#[test]
fn what_keycloak_lacks_is_named_at_once() {
    let problems = env([("JACKFIELD_IDENTITY__PROVIDER", "keycloak")]).unwrap_err();
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["keycloak.server_url", "keycloak.client_secret", "public_url"]);
    assert!(problems[1].fix.contains("KEYCLOAK_CLIENT_SECRET_FILE"), "{problems:?}");
    assert!(
        problems[0].file.contains("JACKFIELD_IDENTITY__PROVIDER"),
        "{problems:?}"
    );
}

#[test]
fn unknown_variables_are_errors_with_a_suggestion_and_kubernetes_is_ignored() {
    let problems = env([("JACKFIELD_LIMITS__CONCURENCY", "1")]).unwrap_err();
    assert_eq!(problems[0].suggestion.as_deref(), Some("JACKFIELD_LIMITS__CONCURRENCY"));
    env([
        ("JACKFIELD_PORT", "tcp://10.0.0.1:80"),
        ("JACKFIELD_SERVICE_HOST", "10.0.0.1"),
    ])
    .unwrap();
}

#[test]
fn what_a_plugin_reads_is_no_misspelt_setting() {
    env([
        ("JACKFIELD_SMTP_URL", "smtp://relay.example"),
        ("JACKFIELD_SMTP_URL_FILE", "/run/secrets/smtp"),
    ])
    .unwrap();
    let problems = env([("JACKFIELD_SMTP_URI", "smtp://relay.example")]).unwrap_err();
    assert_eq!(problems[0].what, "there is no such setting");
}

#[test]
fn wrong_types_and_weak_keys_are_named_and_secrets_never_shown() {
    let problems = env([("JACKFIELD_LIMITS__IDLE", "soon")]).unwrap_err();
    assert_eq!(
        (problems[0].key.as_str(), problems[0].file.as_str()),
        ("limits.idle", "environment JACKFIELD_LIMITS__IDLE")
    );
    let problems = env([("JACKFIELD_OPERATOR_KEY", "canary-short")]).unwrap_err();
    assert!(problems[0].what.contains("12 characters"));
    assert!(!format!("{problems:?}").contains("canary"));
    let loaded = env([
        ("JACKFIELD_OPERATOR_KEY", "canary-canary-canary-canary-canary"),
        ("DB_HOST", "h"),
        ("DB_PASS", "canary"),
    ]);
    assert!(!format!("{:?}", loaded.unwrap().rows()).contains("canary"));
}

#[test]
fn the_operations_page_lists_every_setting() {
    let page = include_str!("../../../docs/operations.md");
    let defaults = serde_json::to_value(Settings::default()).unwrap();
    for (key, _) in flatten("", &defaults) {
        assert!(
            page.contains(&format!("`{key}`")),
            "docs/operations.md does not mention `{key}`"
        );
    }
}
