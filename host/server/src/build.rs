//! What the settings make: engine, sign-in, limits, and the services that plugins reach.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use jackfield_config::{Settings, SignIn};
use jackfield_egress::{Egress, EgressSettings};
use jackfield_identity::{
    Identity, IdentitySettings, Keycloak, KeycloakProvider, KeycloakSettings, Local, Places, Provider, Rates,
};
use jackfield_inbox::{clock::StoreClock, engine};
use jackfield_limits::{Limit, RateLimits};
use jackfield_plugins::{Backends, Mail};
use jackfield_sdk::http_client::HttpService;
use jackfield_storage::{Database, KeyRing, KeyRingError, MemoryKv, MemoryPubSub, PluginDatabases, Redis, Vault};

use crate::serve::StartError;

pub(crate) fn engine_settings(settings: &Settings, database: &Database) -> engine::Settings {
    engine::Settings {
        retention: Duration::from_secs(u64::from(settings.inbox.retention_days) * 86_400),
        replay_per_second: settings.inbox.replay_per_second,
        writers: if database.is_sqlite() { 1 } else { 2 },
        ..engine::Settings::default()
    }
}

pub(crate) fn identity_settings(settings: &Settings) -> IdentitySettings {
    let identity = &settings.identity;
    IdentitySettings {
        cookie: identity.cookie.clone(),
        idle: Duration::from_secs(u64::from(identity.session_idle)),
        lifetime: Duration::from_secs(u64::from(identity.session_lifetime)),
        terms: identity.terms,
        owner_email: identity.owner_email.clone(),
    }
}

pub(crate) fn rates(settings: &Settings, redis: Option<&Redis>, clock: Arc<StoreClock>) -> Rates {
    let limits = match redis {
        Some(redis) => RateLimits::redis(redis.clone(), clock),
        None => RateLimits::memory(clock),
    };
    let identity = &settings.identity;
    let limit = |amount, seconds| Some(Limit::new(NonZeroU32::new(amount)?, Duration::from_secs(seconds)));
    let default = [
        limit(identity.requests_per_second, 1),
        limit(identity.requests_per_minute, 60),
    ];
    Rates::new(limits, default.into_iter().flatten().collect())
}

pub(crate) fn places(settings: &Settings) -> Places {
    Places {
        public_url: settings.public_url.clone(),
        origins: settings.origins(),
    }
}

pub(crate) fn key_ring(settings: &Settings) -> Result<KeyRing, KeyRingError> {
    match &settings.keyring {
        Some(text) => KeyRing::parse(text),
        None => KeyRing::in_directory(&settings.data_dir),
    }
}

/// What signs people in.
pub(crate) fn provider(settings: &Settings, vault: &Arc<Vault>) -> Result<Arc<dyn Provider>, StartError> {
    let keycloak = &settings.keycloak;
    let parts = (
        keycloak.server(),
        keycloak.public(),
        &keycloak.client_secret,
        &settings.public_url,
    );
    // With Keycloak all of them are there, or the settings were not loaded.
    let (SignIn::Keycloak, (Some(server_url), Some(browser_url), Some(secret), Some(public_url))) =
        (settings.identity.provider, parts)
    else {
        return Ok(Arc::new(Local));
    };
    let settings = KeycloakSettings {
        server_url,
        browser_url,
        realm: keycloak.realm.clone(),
        client_id: keycloak.client_id.clone(),
        client_secret: secret.as_str().into(),
        public_url: public_url.clone(),
        role_check: keycloak.role_check,
        duplicate_email_check: keycloak.duplicate_email_check,
        timeout: Duration::from_secs_f64(keycloak.timeout),
        extra_ca: extra_ca(settings)?,
    };
    let keycloak = Keycloak::new(settings, Arc::clone(vault) as _).map_err(StartError::Keycloak)?;
    Ok(Arc::new(KeycloakProvider(keycloak)))
}

fn extra_ca(settings: &Settings) -> Result<Option<Vec<u8>>, StartError> {
    let read = settings.egress.extra_ca_file.as_ref().map(|path| {
        std::fs::read(path).map_err(|source| StartError::Ca {
            path: path.clone(),
            source,
        })
    });
    read.transpose()
}

pub(crate) fn backends(
    settings: &Settings,
    database: &Database,
    redis: Option<&Redis>,
    identity: &Identity,
    vault: Arc<Vault>,
    mail: Mail,
    clock: Arc<StoreClock>,
) -> Result<Backends, StartError> {
    let egress = Egress::new(&EgressSettings {
        proxy: settings.egress.proxy.clone(),
        no_proxy: settings.egress.no_proxy.clone(),
        extra_ca: extra_ca(settings)?,
        allow: settings.egress.allow.clone(),
        ..EgressSettings::default()
    })?;
    let databases = PluginDatabases::new(database.clone(), settings.data_dir.clone(), settings.inbox.migrate);
    let databases = Arc::new(databases);
    Ok(Backends {
        http: Arc::new(move |wanted| {
            let public = wanted.capabilities.iter().any(|capability| capability == "http:*");
            Arc::new(egress.for_plugin(&wanted.id, &wanted.egress, public)) as Arc<dyn HttpService>
        }),
        kv: redis.map_or_else(|| Arc::new(MemoryKv::default()) as _, Redis::kv),
        pubsub: redis.map_or_else(|| Arc::new(MemoryPubSub::default()) as _, |redis| redis.pubsub() as _),
        vault,
        migrate: Arc::new({
            let databases = Arc::clone(&databases);
            move |id, all| {
                let (databases, id) = (Arc::clone(&databases), id.to_owned());
                Box::pin(async move { databases.migrate(&id, all).await.map_err(|error| error.to_string()) })
            }
        }),
        database: Arc::new(move |id| databases.of(id)),
        identity: Arc::new(identity.clone()),
        audit: Arc::new(identity.clone()),
        clock,
        mail,
    })
}
