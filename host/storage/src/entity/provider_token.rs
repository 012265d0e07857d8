//! Table `provider_token`.

use sea_orm::entity::prelude::*;

/// A person's token at a git provider.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "provider_token")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub person: String,
    /// At which provider, such as `github`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub provider: String,
    /// Sealed; none until the first came.
    pub token: Option<Vec<u8>>,
    /// When it ends; never when none.
    pub expires_ms: Option<i64>,
    /// When it was fetched.
    pub read_ms: Option<i64>,
    /// Who fetches now.
    pub lease: Option<String>,
    /// Until when nobody else does.
    pub lease_ends_ms: Option<i64>,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
