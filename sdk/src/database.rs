//! A plugin's own SQL database, executed by the host. Capability: `database`.
//!
//! SQLite: one file per plugin. PostgreSQL: the schema `plugin_{id}`. Placeholders are `?1, ?2, …` on SQLite and `$1, $2, …`
//! on PostgreSQL; [`Database::dialect`] says which. This prevents accidents; in-process it is not isolation.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    host::Services,
    service::{ServiceError, service},
};

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

/// One statement and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// SQL text.
    pub sql: String,
    /// Parameters in order.
    pub params: Vec<Value>,
}

impl Statement {
    /// A statement without parameters.
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            params: Vec::new(),
        }
    }

    /// Adds the next parameter.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.params.push(value.into());
        self
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
    u32 => |v| Value::Int(v.into()),
    f64 => |v| Value::Real(v),
    String => |v| Value::Text(v),
    &str => |v| Value::Text(v.to_owned()),
    Bytes => |v| Value::Blob(v),
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
}

/// SQL handle. Cheap to clone.
#[derive(Clone)]
pub struct Database(Arc<dyn Services>);

impl Database {
    pub(crate) fn new(services: Arc<dyn Services>) -> Self {
        Self(services)
    }

    /// Which SQL is spoken.
    pub async fn dialect(&self) -> Result<Dialect> {
        Ok(self.0.database().dialect().await?)
    }

    /// Runs one statement in its own transaction.
    pub async fn run(&self, statement: Statement) -> Result<Rows> {
        Ok(self.batch(vec![statement]).await?.pop().unwrap_or_default())
    }

    /// Runs statements in one transaction; all or none.
    pub async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Rows>> {
        Ok(self.0.database().batch(statements).await?)
    }

    /// Opens a transaction. It is rolled back when it is dropped, when the instance is retired, and after 5 s.
    pub async fn begin(&self) -> Result<Transaction> {
        let id = self.0.database().begin().await?;
        Ok(Transaction {
            services: Arc::clone(&self.0),
            id: Some(id),
        })
    }
}

/// An open transaction.
pub struct Transaction {
    services: Arc<dyn Services>,
    id: Option<u64>,
}

impl Transaction {
    /// Runs a statement.
    pub async fn run(&self, statement: Statement) -> Result<Rows> {
        let id = self
            .id
            .ok_or_else(|| ServiceError::invalid("the transaction has ended"))?;
        Ok(self.services.database().within(id, statement).await?)
    }

    /// Commits.
    pub async fn commit(mut self) -> Result<()> {
        match self.id.take() {
            Some(id) => Ok(self.services.database().commit(id).await?),
            None => Ok(()),
        }
    }
}

impl Drop for Transaction {
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
