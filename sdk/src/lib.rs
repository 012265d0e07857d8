//! What a Jackfield plugin is written with, and nothing else.
//!
//! A plugin is one type that implements [`Plugin`], annotated with [`plugin`](macro@plugin). `sdk/README.md` is the author guide.

/// The author guide, whose code is compiled and run as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct AuthorGuide;

// The macros name this crate as `::jackfield_sdk`, here too.
extern crate self as jackfield_sdk;

pub mod config;
pub mod database;
pub mod descriptor;
pub mod error;
pub mod expr;
#[doc(hidden)]
pub mod ffi;
pub mod handler;
pub mod health;
mod hooks;
pub mod host;
pub mod http_client;
pub mod identity;
pub mod instance;
pub mod mail;
pub mod manifest;
mod plugin;
pub mod principal;
mod routes;
pub mod run;
pub mod service;
pub mod webhook;

pub use hooks::{JobBuilder, Jobs, SecretsCall, VerifyCall, WebhookBuilder, Webhooks};
pub use jackfield_sdk_macros::{Config, migrations, plugin};
pub use plugin::{Plugin, Reconfigured};
pub use principal::{ClientAddress, Person, Principal, PrincipalKind};
pub use routes::{NoContent, Routes, Shared, This};

pub use axum;
pub use bytes;
pub use http;
pub use serde;
pub use serde_json;
pub use url;
pub use utoipa;

/// Everything an author needs, in one line.
pub mod prelude {
    pub use crate::{
        ClientAddress, Config, Jobs, NoContent, Person, Plugin, Principal, Reconfigured, Routes, This, Webhooks,
        config::{Seconds, Secret, SigningSecrets},
        database::{Database, Transaction, sql},
        error::{Error, Problem, Result},
        expr::{Expr, concat, first, form, header, json, text},
        handler::{Death, Delivery, FromDelivery},
        health::Health,
        host::{Host, JobOptions, JobQueue, Kv, PubSub, Received, Vault},
        http_client::Http,
        mail::{Mail, NewMail},
        migrations, plugin,
        run::{Attempt, Outcome, Run, Signal, Waited},
        webhook::{Retry, Verify, days, hours, minutes, seconds},
    };
    pub use axum::{
        self, Json,
        extract::{Path, Query},
        response::IntoResponse,
    };
    pub use http::StatusCode;
    pub use serde::{Deserialize, Serialize};
    pub use url::Url;
    pub use utoipa::{self, ToSchema};
    pub use utoipa_axum::{self, routes};
}

/// For the macros only.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde;
    pub use serde_json;
}
