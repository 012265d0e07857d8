//! A copy of a SQLite database as it stands, made while others write to it.

use std::path::{Path, PathBuf};

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// A database that cannot be copied.
#[derive(Debug, thiserror::Error)]
#[error("cannot copy the database {}: {why}", .from.display())]
pub struct SnapshotError {
    /// Which.
    pub from: PathBuf,
    /// What SQLite says of it, or of the copy.
    pub why: String,
}

/// Copies the database `from` into the new file `to`, and checks the copy.
pub async fn snapshot(from: &Path, to: &Path) -> Result<(), SnapshotError> {
    let failed = |why: String| SnapshotError {
        from: from.to_owned(),
        why,
    };
    let checked = copy(from, to).await.map_err(|error| failed(error.to_string()))?;
    match checked.as_str() {
        "ok" => Ok(()),
        damage => Err(failed(format!("it is damaged: {damage}"))),
    }
}

async fn copy(from: &Path, to: &Path) -> Result<String, sqlx::Error> {
    let source = SqliteConnectOptions::new().filename(from);
    let mut source = SqliteConnection::connect_with(&source).await?;
    // One read transaction, beside which others write; the pages come out in order and without free ones.
    sqlx::query("VACUUM INTO $1")
        .bind(to.to_string_lossy().into_owned())
        .execute(&mut source)
        .await?;
    source.close().await?;
    let made = SqliteConnectOptions::new().filename(to).read_only(true);
    let mut made = SqliteConnection::connect_with(&made).await?;
    let checked = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut made).await?;
    made.close().await?;
    Ok(checked)
}
