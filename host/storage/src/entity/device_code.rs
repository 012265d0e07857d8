//! Table `device_code`.

use sea_orm::entity::prelude::*;

/// A device that waits for a person's approval (RFC 8628).
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device_code")]
pub struct Model {
    /// SHA-256 of the device code.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    /// What the person types.
    pub user_code: String,
    /// `pending`, `approved` or `denied`.
    pub state: String,
    /// Who approved.
    pub person: Option<String>,
    /// For which organisation.
    pub organization: Option<String>,
    /// When it was asked for.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// When the device asked last.
    pub polled_ms: Option<i64>,
    /// Seconds it has to wait between two questions.
    pub interval_s: i64,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
