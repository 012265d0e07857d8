//! What a database error means: not now, in each other's way, or never with this data.

use std::{future::Future, time::Duration};

use jackfield_inbox::store::{StoreError, StoreResult};
use rand::RngExt;
use sea_orm::{DbErr, RuntimeErr, SqlxError};

/// Tries of a transaction that others are in the way of.
const TRIES: u32 = 6;

/// Told apart by the database's own code; what has none (no connection, an end in mid-sentence) is "not now".
pub(super) fn store_error(error: DbErr) -> StoreError {
    let text = error.to_string();
    let (DbErr::Exec(RuntimeErr::SqlxError(inner))
    | DbErr::Query(RuntimeErr::SqlxError(inner))
    | DbErr::Conn(RuntimeErr::SqlxError(inner))) = &error
    else {
        return StoreError::Away(text);
    };
    match inner.as_ref() {
        SqlxError::Database(inner) => of_code(inner.code().as_deref().unwrap_or_default(), text),
        SqlxError::Encode(_) => StoreError::Refused(text),
        _ => StoreError::Away(text),
    }
}

/// PostgreSQL's codes have five characters (appendix A of its manual), SQLite's are extended result codes in decimal.
fn of_code(code: &str, text: String) -> StoreError {
    if code.len() == 5 {
        return match code {
            // Serialization failure, deadlock, lock not available.
            "40001" | "40P01" | "55P03" => StoreError::Conflict(text),
            // Cardinality, data exception, integrity violation, program limit (an index row that is too long).
            _ if ["21", "22", "23", "54"].contains(&&code[..2]) => StoreError::Refused(text),
            _ => StoreError::Away(text),
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        // BUSY and LOCKED.
        Ok(5 | 6) => StoreError::Conflict(text),
        // TOOBIG, CONSTRAINT, MISMATCH.
        Ok(18..=20) => StoreError::Refused(text),
        _ => StoreError::Away(text),
    }
}

/// Runs a transaction again when another one was in its way; nothing of a failed try is there.
pub(super) async fn persistently<T, F, Fut>(mut transaction: F) -> StoreResult<T>
where
    F: FnMut() -> Fut + Send,
    Fut: Future<Output = StoreResult<T>> + Send,
{
    let mut tried = 1;
    loop {
        match transaction().await {
            Err(StoreError::Conflict(text)) if tried < TRIES => {
                tracing::debug!(tried, %text, "another transaction was in the way");
                let pause = rand::rng().random_range(1..=10_u64) << tried;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                tried += 1;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn codes_are_told_apart() {
        let text = String::new;
        for code in ["22021", "22003", "23505", "54000", "2067", "1555", "18", "20"] {
            assert!(matches!(of_code(code, text()), StoreError::Refused(_)), "{code}");
        }
        for code in ["40001", "40P01", "55P03", "5", "517", "6"] {
            assert!(matches!(of_code(code, text()), StoreError::Conflict(_)), "{code}");
        }
        // Out of memory, shutdown, disk full, read-only, unknown.
        for code in ["53200", "57P01", "53100", "13", "8", "10", ""] {
            assert!(matches!(of_code(code, text()), StoreError::Away(_)), "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn conflicts_are_tried_again_and_nothing_else() {
        let tries = AtomicU32::new(0);
        let done = persistently(|| async {
            if tries.fetch_add(1, Ordering::SeqCst) < 3 {
                Err(StoreError::Conflict("deadlock detected".to_owned()))
            } else {
                Ok(7)
            }
        });
        assert_eq!(done.await, Ok(7));
        let always = persistently(|| async {
            tries.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(StoreError::Conflict("deadlock detected".to_owned()))
        });
        assert!(always.await.is_err());
        assert_eq!(tries.load(Ordering::SeqCst), 4 + TRIES);
        let away = persistently(|| async {
            tries.fetch_add(1, Ordering::SeqCst);
            Err::<(), _>(StoreError::Away("gone".to_owned()))
        });
        assert!(away.await.is_err());
        assert_eq!(tries.load(Ordering::SeqCst), 5 + TRIES);
    }
}
