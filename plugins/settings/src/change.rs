//! What a body asks to be changed, and how that becomes one write.

use jackfield_sdk::{http::HeaderMap, prelude::*};
use serde_json::{Value, json};

use crate::{
    Settings,
    answer::{Answer, Mistake, Refused, failed},
    body::{Body, Given, Null},
    mcp::{MASKED, McpConfig},
    models,
    sealed::{Change, is_masked},
    store::{self, Columns, Condition, Row},
};

/// Longest key, in characters.
const KEY: usize = 16 * 1024;
/// Smallest history that a condenser leaves.
const CONDENSER: i64 = 20;
const FAILED: &str = "Something went wrong storing settings";

/// Flags that have a default, and so are not null.
const FLAGS: [&str; 5] = [
    "enable_default_condenser",
    "enable_sound_notifications",
    "enable_proactive_conversation_starters",
    "enable_solvability_analysis",
    "v1_enabled",
];
const TEXTS: [&str; 7] = [
    "language",
    "agent",
    "security_analyzer",
    "sandbox_base_container_image",
    "sandbox_runtime_container_image",
    "git_user_name",
    "git_user_email",
];

/// What is asked for.
#[derive(Default)]
pub(crate) struct Wish {
    columns: Columns,
    model: Option<String>,
    address: Given<String>,
    /// Column, what was sent, and whether an empty text clears it.
    keys: Vec<(&'static str, String, bool)>,
    mcp: Given<McpConfig>,
}

impl Wish {
    /// Other servers and nothing else.
    pub(crate) fn servers(mcp: Given<McpConfig>) -> Self {
        Self { mcp, ..Self::default() }
    }

    /// Reads a body of settings. Fields that are nobody's to change, and unknown ones, are left alone.
    pub(crate) fn read(body: &mut Body) -> Self {
        let mut wish = Self::default();
        for name in FLAGS {
            wish.column(name, body.flag(name, Null::Refused));
        }
        for name in TEXTS {
            wish.column(name, body.text(name));
        }
        wish.column("confirmation_mode", body.flag("confirmation_mode", Null::Allowed));
        wish.column("max_budget_per_task", body.number("max_budget_per_task"));
        wish.column(
            "remote_runtime_resource_factor",
            body.integer("remote_runtime_resource_factor"),
        );
        // Zero is no number of iterations: it has always meant "the default".
        let iterations = body.integer("max_iterations");
        wish.column(
            "max_iterations",
            iterations.map(|given| given.filter(|count| *count != 0)),
        );
        let condenser = body.integer("condenser_max_size");
        if let Some(Some(size)) = condenser
            && size < CONDENSER
        {
            let says = format!("Value error, condenser_max_size must be at least {CONDENSER}");
            body.wrong("value_error", "condenser_max_size", says, Some(json!(size)));
        }
        wish.column("condenser_max_size", condenser);
        // Null is what clients send back for what they do not show.
        if let Some(Some(consents)) = body.flag("user_consents_to_analytics", Null::Allowed) {
            wish.columns.push(("user_consents_to_analytics", consents.into()));
        }
        wish.model = body.text("llm_model").flatten();
        wish.address = body.text("llm_base_url");
        // The client sends an empty search key when its field was not touched.
        for (name, clears) in [
            ("llm_api_key", true),
            ("search_api_key", false),
            ("sandbox_api_key", true),
        ] {
            if let Some(Some(key)) = body.secret(name, KEY, Null::Allowed) {
                wish.keys.push((name, key, clears));
            }
        }
        wish.mcp = mcp(body);
        wish
    }

    fn column<T: Into<jackfield_sdk::database::Value>>(&mut self, name: &'static str, given: Given<T>) {
        if let Some(value) = given {
            self.columns.push((name, value.into()));
        }
    }
}

/// The field `mcp_config` of a body.
pub(crate) fn mcp(body: &mut Body) -> Given<McpConfig> {
    let at = body.loc("mcp_config");
    match body.take("mcp_config")? {
        Value::Null => Some(None),
        value => McpConfig::read(value, &at, &mut body.mistakes).map(Some),
    }
}

/// What `If-Match` asks of the write (RFC 9110 §13.1.1).
pub(crate) fn condition(headers: &HeaderMap, there: Option<&Row>) -> Answer<Condition> {
    let sent: Vec<_> = headers.get_all("if-match").iter().collect();
    if sent.is_empty() {
        return Ok(Condition::None);
    }
    let Some(there) = there else {
        return Err(Refused::Stale(None));
    };
    let tag = format!("\"{}\"", there.version);
    let mut tags = sent.iter().filter_map(|value| value.to_str().ok());
    let matching = tags.find_map(|line| {
        line.split(',').map(str::trim).find_map(|one| match one {
            "*" => Some(Condition::Exists),
            one if one == tag => Some(Condition::Version(there.version)),
            _ => None,
        })
    });
    matching.ok_or(Refused::Stale(Some(there.version)))
}

impl Settings {
    /// The row of the person in the organisation.
    pub(crate) async fn row(&self, who: &Person) -> Result<Option<Row>> {
        self.database.query_one(store::select(who)).await
    }

    /// Changes what is asked for; gives the new version.
    pub(crate) async fn change(&self, who: &Person, wish: Wish, headers: &HeaderMap) -> Answer<i64> {
        let failed = failed(FAILED);
        let there = self.row(who).await.map_err(failed)?;
        let condition = condition(headers, there.as_ref())?;
        let there = there.unwrap_or_default();
        let mut columns = wish.columns;
        columns.extend(self.model(&there, wish.model, wish.address));

        let mut mistakes = Vec::new();
        let mut changes = Vec::new();
        for (name, key, clears) in wish.keys {
            let place = there.place(name).map(String::as_str);
            let change = self.key(who, name, place, key, clears, &mut mistakes).await;
            changes.push((name, change.map_err(failed)?));
        }
        let mcp = self.mcp(who, &there, wish.mcp, &mut mistakes).await.map_err(failed)?;
        changes.push(("mcp_config", mcp));
        if !mistakes.is_empty() {
            return Err(Refused::Mistakes(mistakes));
        }

        let (mut made, mut replaced) = (Vec::new(), Vec::new());
        for (name, change) in changes {
            let value = match change {
                Change::Keep => continue,
                Change::Clear => None,
                Change::Set(value) => {
                    let place = self.sealed.seal(&who.organization, value).await.map_err(failed)?;
                    made.push(place.clone());
                    Some(place)
                }
            };
            replaced.extend(there.place(name).cloned());
            columns.push((name, value.into()));
        }
        let fields: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let write = store::write(who, columns, condition, self.sealed.now_ms());
        let version: Option<i64> = self.database.query_one(write).await.map_err(failed)?;
        let Some(version) = version else {
            self.sealed.forget(&who.organization, made).await;
            let now = self.row(who).await.map_err(failed)?;
            return Err(Refused::Stale(now.map(|row| row.version)));
        };
        self.sealed.forget(&who.organization, replaced).await;
        let target = format!("settings:{}", who.id);
        let note = self.note(who, "settings.changed", &target, json!({ "fields": fields }));
        note.await.map_err(failed)?;
        Ok(version)
    }

    /// Model and address. An address belongs to its model: another model without an address is reached at its own.
    fn model(&self, there: &Row, model: Option<String>, address: Given<String>) -> Columns {
        let mut columns = Columns::new();
        let model = model.map(|model| Some(model).filter(|model| !model.is_empty()));
        let other = model.as_ref().is_some_and(|model| *model != there.llm_model);
        let effective = model.clone().unwrap_or_else(|| there.llm_model.clone());
        let effective = effective.or_else(|| self.config.default_model.clone());
        if let Some(model) = model {
            columns.push(("llm_model", model.into()));
        }
        if address.is_some() || other {
            let chosen = models::chosen(address.flatten(), effective.as_deref(), self.proxy());
            columns.push(("llm_base_url", chosen.into()));
        }
        columns
    }

    /// What a key that was sent changes.
    async fn key(
        &self,
        who: &Person,
        name: &str,
        place: Option<&str>,
        key: String,
        clears: bool,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<Change> {
        if key.is_empty() {
            return Ok(if clears { Change::Clear } else { Change::Keep });
        }
        if !is_masked(&key) {
            return Ok(Change::Set(key));
        }
        if !self.sealed.is_mask_of(&who.organization, place, &key).await? {
            mistakes.push(masked(vec![json!("body"), json!(name)]));
        }
        Ok(Change::Keep)
    }

    async fn mcp(
        &self,
        who: &Person,
        there: &Row,
        given: Given<McpConfig>,
        mistakes: &mut Vec<Mistake>,
    ) -> Result<Change> {
        let mut config = match given {
            None => return Ok(Change::Keep),
            Some(None) => return Ok(Change::Clear),
            Some(Some(config)) => config,
        };
        if config.holds_masks() {
            let known = self.mcp_there(who, there).await?.unwrap_or_default();
            config.unmask(&known, &[json!("body"), json!("mcp_config")], mistakes);
            if config == known {
                return Ok(Change::Keep);
            }
        }
        Ok(Change::Set(serde_json::to_string(&config)?))
    }

    /// The configuration that is stored. One that was replaced since `there` was read is read again.
    pub(crate) async fn mcp_there(&self, who: &Person, there: &Row) -> Result<Option<McpConfig>> {
        let mut place = there.mcp_config.clone();
        for _ in 0..3 {
            let Some(named) = place else { return Ok(None) };
            if let Some(sealed) = self.sealed.open(&who.organization, &named).await? {
                // The parser's own words would hold a part of what it read.
                let read = serde_json::from_str(sealed.expose());
                return read
                    .map(Some)
                    .map_err(|_| Error::permanent("the sealed mcp_config is none"));
            }
            place = self.row(who).await?.and_then(|row| row.mcp_config);
        }
        Err(Error::transient("mcp_config was not in the vault three times"))
    }
}

/// A masked value that stands for nothing.
pub(crate) fn masked(loc: Vec<Value>) -> Mistake {
    Mistake {
        kind: "value_error",
        loc,
        msg: MASKED.to_owned(),
        input: None,
        ctx: None,
    }
}
