//! Rows of settings, and how a part of one is written: columns that are not named keep what they hold.

use jackfield_sdk::{
    database::{Rows, Statement, Value},
    prelude::*,
};

/// Columns and their new values. Names are this crate's own.
pub(crate) type Columns = Vec<(&'static str, Value)>;

/// Settings as they are stored. Secrets are places in the vault.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Row {
    pub(crate) version: i64,
    pub(crate) language: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) max_iterations: Option<i64>,
    pub(crate) security_analyzer: Option<String>,
    pub(crate) confirmation_mode: Option<bool>,
    pub(crate) llm_model: Option<String>,
    pub(crate) llm_api_key: Option<String>,
    pub(crate) llm_base_url: Option<String>,
    pub(crate) remote_runtime_resource_factor: Option<i64>,
    pub(crate) enable_default_condenser: Option<bool>,
    pub(crate) enable_sound_notifications: Option<bool>,
    pub(crate) enable_proactive_conversation_starters: Option<bool>,
    pub(crate) enable_solvability_analysis: Option<bool>,
    pub(crate) user_consents_to_analytics: Option<bool>,
    pub(crate) sandbox_base_container_image: Option<String>,
    pub(crate) sandbox_runtime_container_image: Option<String>,
    pub(crate) mcp_config: Option<String>,
    pub(crate) search_api_key: Option<String>,
    pub(crate) sandbox_api_key: Option<String>,
    pub(crate) max_budget_per_task: Option<f64>,
    pub(crate) condenser_max_size: Option<i64>,
    pub(crate) git_user_name: Option<String>,
    pub(crate) git_user_email: Option<String>,
    pub(crate) v1_enabled: Option<bool>,
}

impl Row {
    /// The place that a column of a secret names.
    pub(crate) fn place(&self, column: &str) -> Option<&String> {
        match column {
            "llm_api_key" => self.llm_api_key.as_ref(),
            "search_api_key" => self.search_api_key.as_ref(),
            "sandbox_api_key" => self.sandbox_api_key.as_ref(),
            "mcp_config" => self.mcp_config.as_ref(),
            _ => None,
        }
    }
}

/// A git provider that is linked.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Linked {
    pub(crate) provider: String,
    pub(crate) token: Option<String>,
    pub(crate) host: Option<String>,
}

/// What has to hold for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Nothing: each field is the last writer's.
    None,
    /// There are settings.
    Exists,
    /// They have this version.
    Version(i64),
}

/// The person's settings in the organisation.
pub(crate) fn select(who: &Person) -> Statement {
    sql("SELECT version, language, agent, max_iterations, security_analyzer, confirmation_mode, llm_model, llm_api_key, \
         llm_base_url, remote_runtime_resource_factor, enable_default_condenser, enable_sound_notifications, \
         enable_proactive_conversation_starters, enable_solvability_analysis, user_consents_to_analytics, \
         sandbox_base_container_image, sandbox_runtime_container_image, mcp_config, search_api_key, sandbox_api_key, \
         max_budget_per_task, condenser_max_size, git_user_name, git_user_email, v1_enabled \
         FROM settings WHERE person = $1 AND organization = $2")
    .bind(&who.id)
    .bind(&who.organization)
}

/// The person's git providers in the organisation.
pub(crate) fn select_linked(who: &Person) -> Statement {
    sql("SELECT provider, token, host FROM provider_token WHERE person = $1 AND organization = $2 ORDER BY provider")
        .bind(&who.id)
        .bind(&who.organization)
}

/// The first row of a result.
pub(crate) fn first<T: serde::de::DeserializeOwned>(rows: Option<Rows>) -> Result<Option<T>> {
    Ok(rows.unwrap_or_default().read()?.into_iter().next())
}

/// Writes columns of the settings and gives their new version, or no row when the condition does not hold.
pub(crate) fn write(who: &Person, columns: Columns, condition: Condition, now_ms: i64) -> Statement {
    let mut columns = columns;
    columns.push(("changed_ms", now_ms.into()));
    if condition == Condition::None {
        let keys = [
            ("person", (&who.id).into()),
            ("organization", (&who.organization).into()),
        ];
        let mut statement = upsert("settings", &keys, columns);
        statement
            .sql
            .push_str(", version = settings.version + 1 RETURNING version");
        return statement;
    }
    let set: Vec<String> = (3..)
        .zip(&columns)
        .map(|(at, (name, _))| format!("{name} = ${at}"))
        .collect();
    let text = format!(
        "UPDATE settings SET {}, version = version + 1 WHERE person = $1 AND organization = $2",
        set.join(", ")
    );
    let mut statement = sql(text).bind(&who.id).bind(&who.organization);
    let next = columns.len() + 3;
    statement.params.extend(columns.into_iter().map(|(_, value)| value));
    if let Condition::Version(version) = condition {
        statement.sql.push_str(&format!(" AND version = ${next}"));
        statement = statement.bind(version);
    }
    statement.sql.push_str(" RETURNING version");
    statement
}

/// Makes a row, or writes these columns of the one that is there.
pub(crate) fn upsert(table: &str, keys: &[(&'static str, Value)], columns: Columns) -> Statement {
    let names = |all: &[(&'static str, Value)]| all.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    let (key, rest) = (names(keys), names(&columns));
    let count = key.len() + rest.len();
    let numbers: Vec<String> = (1..=count).map(|at| format!("${at}")).collect();
    let set: Vec<String> = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    let mut statement = sql(format!(
        "INSERT INTO {table} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}",
        [key.clone(), rest].concat().join(", "),
        numbers.join(", "),
        key.join(", "),
        set.join(", "),
    ));
    let values = keys.iter().cloned().chain(columns).map(|(_, value)| value);
    statement.params.extend(values);
    statement
}
