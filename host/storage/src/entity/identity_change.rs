//! Table `identity_change`.

use sea_orm::entity::prelude::*;

/// What caches of other replicas must forget.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "identity_change")]
pub struct Model {
    /// `person:ID`, `session:ID` or `key:N`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: String,
    /// When it changed last.
    pub at_ms: i64,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
