//! Table `keycloak_login`.

use sea_orm::entity::prelude::*;

/// A sign-in that began and did not come back yet.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "keycloak_login")]
pub struct Model {
    /// SHA-256 of the `state` that Keycloak is given.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    /// SHA-256 of the value of the browser's login cookie.
    pub cookie: Vec<u8>,
    /// Where the browser goes after it, on our own host.
    pub return_to: String,
    /// When it is over.
    pub expires_ms: i64,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
