//! The author's test kit: a host in memory, on the real engine and the real plugin lifecycle.
//!
//! Only what is outside is the test's own: the store (the engine's memory store), the clock, the network. What the host
//! does with a request, a delivery, a step, a retry or a crash is the host's code, not a second implementation.
//!
//! It is a crate of its own, because it holds the host and the host stands on the SDK. A plugin names it once:
//!
//! ```toml
//! [dev-dependencies]
//! jackfield-testing = "0.1"
//! tokio = { version = "1", features = ["macros", "rt"] }
//! ```
//!
//! ```
//! use jackfield_sdk::prelude::*;
//! use jackfield_testing::{Answer, TestHost};
//!
//! /// Settings.
//! #[derive(Config)]
//! struct BellConfig {
//!     /// Where the bell hangs.
//!     #[config(egress)]
//!     tower: Url,
//!     /// What its rope signs with.
//!     #[config(enables)]
//!     secrets: SigningSecrets,
//! }
//!
//! struct Bell { config: BellConfig, http: Http }
//!
//! #[plugin(id = "bell", capabilities("http:{tower}"))]
//! impl Plugin for Bell {
//!     type Config = BellConfig;
//!
//!     async fn create(config: BellConfig, host: Host) -> Result<Self> {
//!         Ok(Self { http: host.http(), config })
//!     }
//!
//!     fn webhooks(hooks: &mut Webhooks<Self>) {
//!         hooks.at("/bell/rope").name("pulled")
//!             .verify(Verify::hmac_sha256("X-Rope").secrets("secrets"))
//!             .handle(Self::pulled);
//!     }
//! }
//!
//! impl Bell {
//!     async fn pulled(&self, run: Run, (): ()) -> Result<Outcome> {
//!         run.step("ring", |attempt| self.ring(attempt)).await?;
//!         Ok(Outcome::done("it rang"))
//!     }
//!
//!     async fn ring(&self, attempt: Attempt) -> Result<()> {
//!         let url = self.config.tower.join("ring")?;
//!         self.http.post(url).header("Idempotency-Key", attempt.key()).await?.error_for_status()?;
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let settings = "tower = 'https://tower.example'\nsecrets = 'rope'";
//! let host = TestHost::new().plugin::<Bell>(settings).start().await;
//! host.on("POST /ring", Answer::status(503));                 // the tower is closed at first
//! host.on("POST /ring", Answer::status(200));
//! host.crash_losing("ring");                                  // and then the host dies before it can note that it rang
//!
//! let id = host.deliver("pulled").await.expect(200).id();     // signed as declared
//! host.deliver("pulled").forged().await.expect(401);
//! host.finish().await;                                        // retries, the crash, the run after it
//!
//! assert_eq!(host.work(id).await.done(), "it rang");
//! let keys: Vec<_> = host.asked().iter().map(|one| one.header("idempotency-key").map(str::to_owned)).collect();
//! assert_eq!(keys.len(), 3);
//! assert!(keys.iter().all(|key| *key == keys[0]), "the tower can tell that it is the same pull");
//! # }
//! ```
//!
//! - Routes: [`TestHost::get`], [`TestHost::post`], [`TestHost::call`], as anybody ([`Call::as_user`], …).
//! - Deliveries: [`TestHost::deliver`], signed, [forged](Delivery::forged), [tampered](Delivery::tampered) or unsigned.
//! - Time: [`TestHost::advance`] moves the clock, [`TestHost::settle`] runs what is due, [`TestHost::finish`] does both for
//!   retries. Nothing runs, and no time passes, unless the test says so.
//! - The outside: [`TestHost::on`] scripts an [`Answer`], [`TestHost::asked`] shows what was asked. Grants are enforced.
//! - Crashes: [`TestHost::crash_after`], [`TestHost::crash_losing`], [`TestHost::crash_at_end`], [`Answer::then_kill`],
//!   [`TestHost::kill`]: the engine is killed as by `kill -9`, and a new one starts on the same store.
//! - Jobs, schedules, signals, keys, secrets: [`TestHost::of`] is the plugin's own [`Host`](jackfield_sdk::host::Host),
//!   [`TestHost::fire`] fires a schedule.
//! - Mail: [`TestHost::mail`] is what plugins sent. With the plugin `email` in the test its jobs send it instead.
//! - The contract that every plugin keeps: [`assert_plugin_contract`].
//! - Carriers: `for carrier in Carrier::ALL`; on [`Carrier::Bridge`] everything crosses as bytes.
//!
//! The feature `database` adds the plugin's SQL database (SQLite in a temporary directory).

mod call;
mod carrier;
mod config;
mod contract;
mod crash;
mod database;
mod host;
mod logs;
mod mail;
mod pattern;
mod people;
mod process;
mod script;
mod send;
mod services;
mod setup;
mod work;

pub use call::{Call, Reply};
pub use carrier::Carrier;
pub use config::Settings;
pub use contract::{Breach, Contract, assert_plugin_contract, check_plugin_contract};
pub use host::{START, TestHost};
pub use jackfield_inbox::model::{ReplayMode, State, Stored, WorkKind};
pub use mail::SentMail;
pub use people::person;
pub use script::{Answer, Asked, Reached, Script};
pub use send::{Delivery, Receipt};
pub use setup::Setup;
pub use work::{Step, Work};
