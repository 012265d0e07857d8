//! Table `blocked_email_domain`.

use sea_orm::entity::prelude::*;

/// A domain whose addresses may not sign in, with its sub-domains.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "blocked_email_domain")]
pub struct Model {
    /// In lower case, without a leading dot.
    #[sea_orm(primary_key, auto_increment = false)]
    pub domain: String,
    /// Since when.
    pub created_ms: i64,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
