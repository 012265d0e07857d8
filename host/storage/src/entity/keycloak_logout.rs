//! Table `keycloak_logout`.

use sea_orm::entity::prelude::*;

/// A logout token that was taken.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "keycloak_logout")]
pub struct Model {
    /// SHA-256 of the token's `jti`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    /// The session that it ended.
    pub sid: Option<String>,
    /// When it is over.
    pub expires_ms: i64,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
