//! `mcp_config`: the servers of the Model Context Protocol that an agent may use (spec/40 §7.5).
//!
//! The whole of it is sealed, because keys stand in addresses and arguments too. In answers the keys and the values of
//! environment variables are masked; a masked one that comes back for the same server stands for the value that is there.

use std::collections::BTreeMap;

use jackfield_sdk::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    answer::Mistake,
    body::{Body, Null, names_variable, place},
    sealed::{is_masked, mask},
};

/// Longest configuration as JSON, in bytes.
const LONGEST: usize = 64 * 1024;
/// Longest text in it.
const TEXT: usize = 8 * 1024;
/// Seconds that a call may take unless the configuration says otherwise.
const TIMEOUT: u16 = 60;

/// Servers by the way they are reached.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct McpConfig {
    /// By server-sent events.
    pub(crate) sse_servers: Vec<McpSse>,
    /// Started as programs.
    pub(crate) stdio_servers: Vec<McpStdio>,
    /// By streamable HTTP.
    pub(crate) shttp_servers: Vec<McpHttp>,
}

/// A server that is reached by server-sent events.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct McpSse {
    url: String,
    api_key: Option<String>,
}

/// A server that is started as a program.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct McpStdio {
    name: String,
    command: String,
    args: Vec<String>,
    env: BTreeMap<String, String>,
}

/// A server that is reached by streamable HTTP.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct McpHttp {
    url: String,
    api_key: Option<String>,
    /// Seconds that a call may take, 1 to 3600; no limit when null.
    timeout: Option<u16>,
}

impl McpConfig {
    /// Reads one as people send it: a server may be a bare address, arguments one line of a shell, variables `A=b,C=d`.
    pub(crate) fn read(value: Value, at: &[Value], mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let before = mistakes.len();
        if value.to_string().len() > LONGEST {
            note(
                mistakes,
                "value_error",
                at.to_vec(),
                "Value error, mcp_config is longer than 64 KiB",
            );
            return None;
        }
        let Value::Object(fields) = value else {
            note(
                mistakes,
                "model_type",
                at.to_vec(),
                "Input should be a valid dictionary or instance of MCPConfig",
            );
            return None;
        };
        let mut body = Body::within(fields, at.to_vec());
        let sse = servers(&mut body, "sse_servers", |server| {
            Some(McpSse {
                api_key: server.secret("api_key", TEXT, Null::Allowed).flatten(),
                url: url(server)?,
            })
        });
        let stdio = servers(&mut body, "stdio_servers", stdio);
        let shttp = servers(&mut body, "shttp_servers", |server| {
            Some(McpHttp {
                api_key: server.secret("api_key", TEXT, Null::Allowed).flatten(),
                timeout: timeout(server),
                url: url(server)?,
            })
        });
        for unknown in body.left() {
            body.wrong("extra_forbidden", &unknown, "Extra inputs are not permitted", None);
        }
        mistakes.append(&mut body.mistakes);
        (mistakes.len() == before).then_some(Self {
            sse_servers: sse,
            stdio_servers: stdio,
            shttp_servers: shttp,
        })
    }

    /// With its keys and values of variables masked.
    pub(crate) fn masked(mut self) -> Self {
        let keys = self.sse_servers.iter_mut().map(|server| &mut server.api_key);
        let more = self.shttp_servers.iter_mut().map(|server| &mut server.api_key);
        let values = self.stdio_servers.iter_mut().flat_map(|server| server.env.values_mut());
        for secret in keys.chain(more).flatten().chain(values) {
            *secret = mask(secret);
        }
        self
    }

    /// Whether there is a masked value in it.
    pub(crate) fn holds_masks(&self) -> bool {
        let keys = self.sse_servers.iter().filter_map(|server| server.api_key.as_ref());
        let more = self.shttp_servers.iter().filter_map(|server| server.api_key.as_ref());
        let values = self.stdio_servers.iter().flat_map(|server| server.env.values());
        keys.chain(more).chain(values).any(|text| is_masked(text))
    }

    /// Puts the values of `there` in the place of their masks. A mask that stands for nothing is a mistake: it would be
    /// stored in the place of a key. Servers are the same when their addresses, or their names, are.
    pub(crate) fn unmask(&mut self, there: &Self, at: &[Value], mistakes: &mut Vec<Mistake>) {
        for (index, server) in self.sse_servers.iter_mut().enumerate() {
            let same = there.sse_servers.iter().filter(|other| other.url == server.url);
            let known = same.filter_map(|other| other.api_key.as_ref());
            let loc = || path(at, &[json!("sse_servers"), json!(index), json!("api_key")]);
            restore(server.api_key.as_mut(), known, loc, mistakes);
        }
        for (index, server) in self.shttp_servers.iter_mut().enumerate() {
            let same = there.shttp_servers.iter().filter(|other| other.url == server.url);
            let known = same.filter_map(|other| other.api_key.as_ref());
            let loc = || path(at, &[json!("shttp_servers"), json!(index), json!("api_key")]);
            restore(server.api_key.as_mut(), known, loc, mistakes);
        }
        for (index, server) in self.stdio_servers.iter_mut().enumerate() {
            for (variable, value) in &mut server.env {
                let same = there.stdio_servers.iter().filter(|other| other.name == server.name);
                let known = same.filter_map(|other| other.env.get(variable));
                let loc = || {
                    path(
                        at,
                        &[json!("stdio_servers"), json!(index), json!("env"), json!(variable)],
                    )
                };
                restore(Some(value), known, loc, mistakes);
            }
        }
    }
}

fn path(at: &[Value], steps: &[Value]) -> Vec<Value> {
    [at, steps].concat()
}

fn restore<'k>(
    given: Option<&mut String>,
    mut known: impl Iterator<Item = &'k String>,
    loc: impl Fn() -> Vec<Value>,
    mistakes: &mut Vec<Mistake>,
) {
    let Some(given) = given.filter(|given| is_masked(given)) else {
        return;
    };
    match known.find(|known| mask(known) == *given) {
        Some(value) => given.clone_from(value),
        None => note(mistakes, "value_error", loc(), MASKED),
    }
}

/// What is said of a masked value that stands for nothing.
pub(crate) const MASKED: &str =
    "Value error, this is a masked value and there is none that it stands for; send the value itself";

fn note(mistakes: &mut Vec<Mistake>, kind: &'static str, loc: Vec<Value>, msg: &str) {
    mistakes.push(Mistake {
        kind,
        loc,
        msg: msg.to_owned(),
        input: None,
        ctx: None,
    });
}

fn servers<T>(body: &mut Body, name: &str, read: impl Fn(&mut Body) -> Option<T>) -> Vec<T> {
    let listed = match body.take(name) {
        None => return Vec::new(),
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            body.wrong("list_type", name, "Input should be a valid list", None);
            return Vec::new();
        }
    };
    let at = body.loc(name);
    let mut all = Vec::with_capacity(listed.len());
    for (index, value) in listed.into_iter().enumerate() {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::String(url) if name != "stdio_servers" => Map::from_iter([("url".to_owned(), json!(url))]),
            _ => {
                let msg = "Input should be a valid dictionary or object to extract fields from";
                note(&mut body.mistakes, "model_type", place(&at, index), msg);
                continue;
            }
        };
        let mut server = Body::within(fields, place(&at, index));
        all.extend(read(&mut server));
        body.mistakes.append(&mut server.mistakes);
    }
    all
}

fn url(server: &mut Body) -> Option<String> {
    let text = server.required("url", TEXT)?.trim().to_owned();
    let says = match Url::parse(&text) {
        _ if text.is_empty() => "Value error, URL cannot be empty",
        Ok(url) if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") => {
            "Value error, URL scheme must be http, https, ws, or wss"
        }
        Ok(url) if url.host_str().is_some_and(|host| !host.is_empty()) => return Some(text),
        _ => "Value error, URL must be complete: a scheme and a host, as https://mcp.example.com/sse",
    };
    server.wrong("value_error", "url", says, None);
    None
}

fn timeout(server: &mut Body) -> Option<u16> {
    match server.integer("timeout") {
        None => Some(TIMEOUT),
        Some(None) => None,
        Some(Some(seconds)) => match u16::try_from(seconds) {
            Ok(seconds @ 1..=3600) => Some(seconds),
            _ => {
                let says = "Value error, timeout is 1 to 3600 seconds, or null";
                server.wrong("value_error", "timeout", says, Some(json!(seconds)));
                None
            }
        },
    }
}

fn stdio(server: &mut Body) -> Option<McpStdio> {
    let name = server.required("name", TEXT);
    let command = server.required("command", TEXT);
    let args = args(server);
    let env = env(server);
    let (name, command) = (name?.trim().to_owned(), command?.trim().to_owned());
    let fits = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(fits) {
        let says = "Value error, a server's name is letters, digits, hyphens and underscores";
        server.wrong("value_error", "name", says, Some(json!(name)));
        return None;
    }
    if command.is_empty() || command.contains(char::is_whitespace) {
        let says = "Value error, command is one program without spaces; its arguments stand in args";
        server.wrong("value_error", "command", says, None);
        return None;
    }
    Some(McpStdio {
        name,
        command,
        args,
        env,
    })
}

fn args(server: &mut Body) -> Vec<String> {
    match server.take("args") {
        None => return Vec::new(),
        Some(Value::String(line)) => match shlex::split(&line) {
            Some(args) => return args,
            None => server.wrong("value_error", "args", "Value error, args has an open quote", None),
        },
        Some(Value::Array(listed)) => {
            let texts = listed.iter().map(|arg| arg.as_str().map(str::to_owned));
            match texts.collect() {
                Some(args) => return args,
                None => server.wrong("string_type", "args", "Input should be a list of strings", None),
            }
        }
        Some(_) => server.wrong("list_type", "args", "Input should be a valid list", None),
    }
    Vec::new()
}

fn env(server: &mut Body) -> BTreeMap<String, String> {
    let pairs: Option<Vec<(String, String)>> = match server.take("env") {
        None => return BTreeMap::new(),
        Some(Value::String(line)) => {
            let parts = line.split(',').map(str::trim).filter(|part| !part.is_empty());
            let pairs = parts.map(|part| part.split_once('='));
            pairs
                .map(|pair| pair.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())))
                .collect()
        }
        Some(Value::Object(fields)) => {
            let pairs = fields.into_iter().map(|(name, value)| match value {
                Value::String(value) => Some((name, value)),
                _ => None,
            });
            pairs.collect()
        }
        Some(_) => None,
    };
    let Some(pairs) = pairs else {
        let says = "Input should be a dictionary of strings, or KEY=VALUE,KEY=VALUE";
        server.wrong("dict_type", "env", says, None);
        return BTreeMap::new();
    };
    if pairs.iter().any(|(name, _)| !names_variable(name)) {
        let says = "Value error, a variable's name is letters, digits and underscores, and does not begin with a digit";
        server.wrong("value_error", "env", says, None);
    }
    pairs.into_iter().collect()
}
