//! Proves what can be proved of the ten rules that every plugin keeps.
//!
//! Not proved, because it cannot be from outside: that nothing is kept in statics (rule 5) and that no worker is blocked for
//! more than 10 ms (rule 6).

mod facts;
mod life;
mod story;

use std::{fmt, sync::Arc};

use jackfield_sdk::manifest::Described;
use serde::Serialize;
use serde_json::Value;

use crate::{
    carrier::Carrier,
    config::Settings,
    host::TestHost,
    logs::Logs,
    pattern::Pattern,
    script::{Asked, Script},
    send::Delivery,
};

/// A rule that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Its number in the contract.
    pub rule: u8,
    /// What was found.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}\n  fix: {}", self.rule, self.what, self.fix)
    }
}

fn breach(rule: u8, what: impl Into<String>, fix: impl Into<String>) -> Breach {
    Breach {
        rule,
        what: what.into(),
        fix: fix.into(),
    }
}

type Scripted = Arc<dyn Fn(&Script)>;
type Made = Arc<dyn for<'h> Fn(Delivery<'h>) -> Delivery<'h>>;

/// What a plugin is to be proved with: settings, a provider where everything goes well, and examples of what comes in.
///
/// The provider is scripted anew for each run, so one that remembers begins empty each time.
#[must_use = "a contract is proved by `assert_plugin_contract::<P>(contract).await`"]
pub struct Contract {
    settings: Settings,
    script: Scripted,
    examples: Vec<Example>,
    idempotent: Vec<Pattern>,
}

/// Something that comes in.
#[derive(Clone)]
enum Example {
    Delivery(String, Made),
    Job(String, Value),
    Schedule(String),
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivery(name, _) => write!(f, "webhook `{name}`"),
            Self::Job(name, _) => write!(f, "job `{name}`"),
            Self::Schedule(name) => write!(f, "schedule `{name}`"),
        }
    }
}

impl Contract {
    /// With these settings.
    pub fn with(settings: impl Into<Settings>) -> Self {
        Self {
            settings: settings.into(),
            script: Arc::new(|_| {}),
            examples: Vec::new(),
            idempotent: Vec::new(),
        }
    }

    /// How the provider answers when everything goes well.
    pub fn script(mut self, script: impl Fn(&Script) + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// An example of a delivery: `.delivery("answered", |it| it.json(&body))`.
    pub fn delivery(mut self, webhook: &str, make: impl for<'h> Fn(Delivery<'h>) -> Delivery<'h> + 'static) -> Self {
        self.examples
            .push(Example::Delivery(webhook.to_owned(), Arc::new(make)));
        self
    }

    /// An example of a job.
    pub fn job<T: Serialize>(mut self, name: &str, payload: &T) -> Self {
        let payload = serde_json::to_value(payload).unwrap_or_else(|error| panic!("the payload is no JSON: {error}"));
        self.examples.push(Example::Job(name.to_owned(), payload));
        self
    }

    /// A schedule that is to be fired.
    pub fn schedule(mut self, name: &str) -> Self {
        self.examples.push(Example::Schedule(name.to_owned()));
        self
    }

    /// Calls that the provider keeps once however often they are made (a reaction, a PUT): they need no key.
    pub fn idempotent(mut self, call: &str) -> Self {
        let pattern = Pattern::of(call).unwrap_or_else(|what| panic!("{what}"));
        self.idempotent.push(pattern);
        self
    }

    fn is_idempotent(&self, asked: &Asked) -> bool {
        let fits = |pattern: &Pattern| pattern.fits(&asked.method, &asked.url);
        self.idempotent.iter().any(fits)
    }

    async fn host<P: Described>(&self, carrier: Carrier) -> Result<TestHost, String> {
        let script = Script::new();
        script.on("* /**", crate::Answer::hangs());
        let setup = TestHost::new().plugin::<P>(self.settings.clone()).carrier(carrier);
        let host = setup.script(&script).try_start().await?;
        script.forget("* /**");
        script.take_asked();
        (self.script)(&script);
        Ok(host)
    }
}

/// Proves the contract on every carrier; panics with every rule that is not kept, and what to do.
///
/// ```
/// # use jackfield_sdk::prelude::*;
/// use jackfield_testing::{Answer, Contract, assert_plugin_contract};
/// # struct Echo(Http);
/// # #[plugin(id = "echo", capabilities("http:*"))]
/// # impl Plugin for Echo {
/// #     type Config = ();
/// #     async fn create((): (), host: Host) -> Result<Self> { Ok(Self(host.http())) }
/// #     fn webhooks(hooks: &mut Webhooks<Self>) {
/// #         hooks.at("/echo/call").name("call").verify(Verify::none("an example")).handle(Self::call);
/// #     }
/// # }
/// # impl Echo {
/// #     async fn call(&self, run: Run, (): ()) -> Result<Outcome> {
/// #         run.step("echo", |attempt| async move {
/// #             let url: Url = "https://hills.example/echo".parse()?;
/// #             self.0.post(url).header("Idempotency-Key", attempt.key()).await?.error_for_status()?;
/// #             Ok(())
/// #         }).await?;
/// #         Ok(Outcome::done("echoed"))
/// #     }
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let contract = Contract::with(())
///     .script(|hills| hills.on("POST /echo", Answer::status(204)))
///     .delivery("call", |it| it.body("hello"));
/// assert_plugin_contract::<Echo>(contract).await;
/// # }
/// ```
pub async fn assert_plugin_contract<P: Described>(contract: Contract) {
    let breaches = check_plugin_contract::<P>(&contract).await;
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(
        told.is_empty(),
        "`{}` does not keep the contract\n{}",
        P::MANIFEST.id,
        told.join("\n")
    );
}

/// Every rule that is not kept, in order; none when all are.
pub async fn check_plugin_contract<P: Described>(contract: &Contract) -> Vec<Breach> {
    let mut breaches = facts::check(P::MANIFEST, jackfield_sdk::instance::descriptor::<P>);
    let logs = Logs::default();
    let listening = tracing::subscriber::set_default(logs.clone());
    for carrier in Carrier::ALL {
        match contract.host::<P>(carrier).await {
            Ok(host) => {
                breaches.extend(life::check::<P>(&host, contract).await);
            }
            Err(reason) => {
                let fix = "make the instance from its settings alone; ask the provider when something is to be done";
                breaches.push(breach(
                    2,
                    format!("it cannot be made while its provider is silent: {reason}"),
                    fix,
                ));
                continue;
            }
        }
        for example in &contract.examples {
            breaches.extend(story::check::<P>(contract, carrier, example).await);
        }
    }
    drop(listening);
    breaches.extend(life::leaks(contract, P::MANIFEST, "its logs", &logs.text()));
    breaches.sort_by(|a, b| (a.rule, &a.what).cmp(&(b.rule, &b.what)));
    breaches.dedup();
    breaches
}
