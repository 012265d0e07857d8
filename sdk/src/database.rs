//! A plugin's own SQL database, executed by the host. Capability: `database`.
//!
//! SQLite: one file per plugin. PostgreSQL: the schema `plugin_{id}`. One text serves both: placeholders are `$1, $2, …`
//! everywhere, and columns of the types `text`, `bigint`, `boolean`, `double precision` and `blob` (`bytea`) read and write
//! the same values; a time is a `bigint` of milliseconds. Tables are made by `migrations`. One statement per call;
//! `BEGIN`, `SET`, `ATTACH`, `PRAGMA` and their like are refused, because they would reach beyond the transaction or the
//! plugin's own database. This prevents accidents; in-process it is not isolation.
//!
//! ```
//! use jackfield_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Note { id: i64, text: Option<String> }
//!
//! async fn notes(host: &Host) -> Result<Vec<Note>> {
//!     let db = host.database();
//!     db.execute(sql("INSERT INTO note (id, text) VALUES ($1, $2)").bind(1).bind("hello")).await?;
//!     let moved: u64 = db
//!         .transaction(|tx| async move {
//!             let last: Option<i64> = tx.query_one("SELECT max(id) FROM note").await?;
//!             tx.execute(sql("UPDATE note SET id = id + $1").bind(last)).await
//!         })
//!         .await?;
//!     tracing::info!(moved, "renumbered");
//!     db.query_as("SELECT id, text FROM note ORDER BY id").await
//! }
//! ```

mod row;
#[cfg(test)]
mod tests;

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{error::Result, host::Services, service::service};

service! {
    /// SQL on the plugin's own database.
    pub trait DatabaseService = 7, serve_database {
        /// Which SQL is spoken.
        1 => fn dialect() -> Dialect;
        /// Runs statements in one transaction and gives each one's result.
        2 => fn batch(statements: Vec<Statement>) -> Vec<Rows>;
        /// Opens a transaction with a lease of 5 s; gives its id.
        3 => fn begin() -> u64;
        /// Runs a statement in an open transaction.
        4 => fn within(transaction: u64, statement: Statement) -> Rows;
        /// Commits.
        5 => fn commit(transaction: u64) -> ();
        /// Rolls back.
        6 => fn rollback(transaction: u64) -> ();
    }
}

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A statement without parameters yet.
pub fn sql(text: impl Into<String>) -> Statement {
    Statement {
        sql: text.into(),
        params: Vec::new(),
    }
}

/// One statement and its parameters. A plain text is one without parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// SQL text.
    pub sql: String,
    /// Parameters in order.
    pub params: Vec<Value>,
}

impl Statement {
    /// Adds the next parameter: the first call binds `$1`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.params.push(value.into());
        self
    }
}

impl From<&str> for Statement {
    fn from(text: &str) -> Self {
        sql(text)
    }
}

impl From<String> for Statement {
    fn from(text: String) -> Self {
        sql(text)
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// NULL.
    Null,
    /// A boolean; SQLite stores 0 or 1.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Real(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Bytes),
}

macro_rules! value_from {
    ($($ty:ty => |$v:ident| $made:expr),* $(,)?) => { $( impl From<$ty> for Value { fn from($v: $ty) -> Self { $made } } )* };
}

value_from! {
    bool => |v| Value::Bool(v),
    i64 => |v| Value::Int(v),
    i32 => |v| Value::Int(v.into()),
    i16 => |v| Value::Int(v.into()),
    u32 => |v| Value::Int(v.into()),
    u16 => |v| Value::Int(v.into()),
    u8 => |v| Value::Int(v.into()),
    f64 => |v| Value::Real(v),
    f32 => |v| Value::Real(v.into()),
    String => |v| Value::Text(v),
    &String => |v| Value::Text(v.clone()),
    &str => |v| Value::Text(v.to_owned()),
    Uuid => |v| Value::Text(v.to_string()),
    Bytes => |v| Value::Blob(v),
    Vec<u8> => |v| Value::Blob(v.into()),
    &[u8] => |v| Value::Blob(Bytes::copy_from_slice(v)),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a statement gave back.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Rows {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows in order.
    pub rows: Vec<Vec<Value>>,
    /// Rows that were changed.
    pub affected: u64,
}

impl Rows {
    /// The value in `column` of the row at `index`.
    pub fn value(&self, index: usize, column: &str) -> Option<&Value> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.rows.get(index)?.get(at)
    }

    /// Each row as a `T`: a struct or map by column name, a tuple by position, a single value when there is one column.
    pub fn read<T: DeserializeOwned>(self) -> Result<Vec<T>> {
        row::read(self)
    }
}

/// SQL handle. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<dyn Services>);

impl Database {
    pub(crate) fn new(services: Arc<dyn Services>) -> Self {
        Self(services)
    }

    /// Which SQL is spoken, for the rare statement that differs.
    pub async fn dialect(&self) -> Result<Dialect> {
        Ok(self.0.database().dialect().await?)
    }

    /// Runs one statement; gives how many rows it changed.
    pub async fn execute(&self, statement: impl Into<Statement>) -> Result<u64> {
        Ok(self.query(statement).await?.affected)
    }

    /// Runs one statement; gives its rows as they are.
    pub async fn query(&self, statement: impl Into<Statement>) -> Result<Rows> {
        Ok(self.batch([statement]).await?.pop().unwrap_or_default())
    }

    /// Runs one statement; gives each row as a `T` (see [`Rows::read`]).
    pub async fn query_as<T: DeserializeOwned>(&self, statement: impl Into<Statement>) -> Result<Vec<T>> {
        self.query(statement).await?.read()
    }

    /// The first row as a `T`, none when there is no row.
    pub async fn query_one<T: DeserializeOwned>(&self, statement: impl Into<Statement>) -> Result<Option<T>> {
        Ok(self.query_as(statement).await?.into_iter().next())
    }

    /// Runs statements in one transaction, all or none; gives each one's result. One call to the host, so it is the fast
    /// way when no statement needs an earlier one's rows.
    pub async fn batch<S: Into<Statement>>(&self, statements: impl IntoIterator<Item = S>) -> Result<Vec<Rows>> {
        let statements = statements.into_iter().map(Into::into).collect();
        Ok(self.0.database().batch(statements).await?)
    }

    /// Runs `work` in a transaction: committed when it gives `Ok`, rolled back when it gives `Err`, is dropped, or takes
    /// longer than its lease of 5 s. Keep outside calls out of it.
    pub async fn transaction<T, F, Fut>(&self, work: F) -> Result<T>
    where
        F: FnOnce(Transaction) -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let id = self.0.database().begin().await?;
        let mut open = OpenTransaction {
            services: Arc::clone(&self.0),
            id: Some(id),
        };
        let done = work(Transaction {
            services: Arc::clone(&self.0),
            id,
        })
        .await?;
        open.id = None;
        self.0.database().commit(id).await?;
        Ok(done)
    }
}

/// An open transaction, as [`Database::transaction`] gives it. Cheap to clone; a clone that outlives it is refused.
#[derive(Clone)]
pub struct Transaction {
    services: Arc<dyn Services>,
    id: u64,
}

impl Transaction {
    /// Runs one statement; gives how many rows it changed.
    pub async fn execute(&self, statement: impl Into<Statement>) -> Result<u64> {
        Ok(self.query(statement).await?.affected)
    }

    /// Runs one statement; gives its rows as they are.
    pub async fn query(&self, statement: impl Into<Statement>) -> Result<Rows> {
        Ok(self.services.database().within(self.id, statement.into()).await?)
    }

    /// Runs one statement; gives each row as a `T` (see [`Rows::read`]).
    pub async fn query_as<T: DeserializeOwned>(&self, statement: impl Into<Statement>) -> Result<Vec<T>> {
        self.query(statement).await?.read()
    }

    /// The first row as a `T`, none when there is no row.
    pub async fn query_one<T: DeserializeOwned>(&self, statement: impl Into<Statement>) -> Result<Option<T>> {
        Ok(self.query_as(statement).await?.into_iter().next())
    }
}

/// Rolls back unless it was committed.
struct OpenTransaction {
    services: Arc<dyn Services>,
    id: Option<u64>,
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let services = Arc::clone(&self.services);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = services.database().rollback(id).await {
                    tracing::debug!(%error, "rollback after drop; the lease ends it");
                }
            });
        }
    }
}
