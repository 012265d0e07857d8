//! Table `audit`.

use sea_orm::entity::prelude::*;

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// Position.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// When.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub target: String,
    /// From where.
    pub address: Option<String>,
    /// More, as JSON.
    pub detail: String,
    /// SHA-256 over the hash before and this entry.
    pub hash: Vec<u8>,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
