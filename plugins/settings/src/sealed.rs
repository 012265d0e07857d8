//! Secrets: sealed in the vault, each value in a place of its own that is never written twice.
//!
//! A row names the place. A new value goes to a new place first, then the row is pointed at it, so a crash or a refused write
//! in between leaves the value that was there. Places that no row names are emptied: at once where the write knows the one
//! that it replaced, by [`Sealed::sweep`] otherwise.

use jackfield_sdk::prelude::*;
use uuid::Uuid;

/// Age at which a place that no row names is taken for left behind: no request takes that long.
const LEFT: i64 = 60 * 60 * 1000;
/// Places that are emptied in one sweep.
const SWEEP: i64 = 1_000;
/// What a masked value begins with.
const MASK: &str = "****";

/// What is to become of a secret.
pub(crate) enum Change {
    /// Nothing.
    Keep,
    /// It goes away.
    Clear,
    /// Another value.
    Set(String),
}

/// A secret in an answer: `****` and its last four characters, `****` alone when it has no more, nothing when it is empty.
pub(crate) fn mask(secret: &str) -> String {
    let count = secret.chars().count();
    let shown: String = match count {
        0 => return String::new(),
        1..=4 => String::new(),
        _ => secret.chars().skip(count - 4).collect(),
    };
    format!("{MASK}{shown}")
}

/// Whether a text is a masked value, and not a value.
pub(crate) fn is_masked(text: &str) -> bool {
    text.starts_with(MASK)
}

/// The vault, and the list of what is in it.
pub(crate) struct Sealed {
    vault: Vault,
    database: Database,
    host: Host,
}

impl Sealed {
    pub(crate) fn new(host: &Host) -> Self {
        Self {
            vault: host.vault(),
            database: host.database(),
            host: host.clone(),
        }
    }

    /// Seals a value; gives its place.
    pub(crate) async fn seal(&self, organization: &str, value: String) -> Result<String> {
        let place = Uuid::new_v4().to_string();
        // Listed before it is written: what is in the vault is on the list.
        let list = sql("INSERT INTO place (name, organization, made_ms) VALUES ($1, $2, $3)");
        let list = list.bind(&place).bind(organization).bind(self.now_ms());
        self.database.execute(list).await?;
        self.vault.put(organization, &place, &Secret::new(value)).await?;
        Ok(place)
    }

    /// What is in a place; none when it has been emptied since its name was read.
    pub(crate) async fn open(&self, organization: &str, place: &str) -> Result<Option<Secret>> {
        self.vault.get(organization, place).await
    }

    /// Whether `given` is the mask of what is in `place`.
    pub(crate) async fn is_mask_of(&self, organization: &str, place: Option<&str>, given: &str) -> Result<bool> {
        let Some(place) = place else { return Ok(false) };
        let there = self.open(organization, place).await?;
        Ok(there.is_some_and(|there| mask(there.expose()) == given))
    }

    /// Empties places that no row names any more. What fails is left to the sweep.
    pub(crate) async fn forget(&self, organization: &str, places: impl IntoIterator<Item = String>) {
        for place in places {
            if let Err(error) = self.empty(organization, &place).await {
                tracing::warn!(%error, "a replaced secret stays sealed until the next sweep");
            }
        }
    }

    /// Empties places that no row names; gives how many.
    pub(crate) async fn sweep(&self) -> Result<usize> {
        let left = sql(
            "SELECT organization, name FROM place WHERE made_ms < $1 AND name NOT IN ( \
                SELECT llm_api_key FROM settings WHERE llm_api_key IS NOT NULL \
                UNION ALL SELECT search_api_key FROM settings WHERE search_api_key IS NOT NULL \
                UNION ALL SELECT sandbox_api_key FROM settings WHERE sandbox_api_key IS NOT NULL \
                UNION ALL SELECT mcp_config FROM settings WHERE mcp_config IS NOT NULL \
                UNION ALL SELECT value FROM custom_secret \
                UNION ALL SELECT description FROM custom_secret WHERE description IS NOT NULL \
                UNION ALL SELECT token FROM provider_token WHERE token IS NOT NULL \
            ) ORDER BY made_ms LIMIT $2",
        );
        let left = left.bind(self.now_ms() - LEFT).bind(SWEEP);
        let left: Vec<(String, String)> = self.database.query_as(left).await?;
        for (organization, place) in &left {
            self.empty(organization, place).await?;
        }
        Ok(left.len())
    }

    async fn empty(&self, organization: &str, place: &str) -> Result<()> {
        self.vault.delete(organization, place).await?;
        let unlist = sql("DELETE FROM place WHERE name = $1").bind(place);
        self.database.execute(unlist).await.map(|_| ())
    }

    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.host.clock().now().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }
}
