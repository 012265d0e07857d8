//! Table `keycloak_grant`.

use sea_orm::entity::prelude::*;

/// What a sign-in leaves us: an offline session at Keycloak.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "keycloak_grant")]
pub struct Model {
    /// Random id; the tokens are sealed to it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whose.
    pub person: String,
    /// Keycloak's session.
    pub sid: String,
    /// Sealed.
    pub refresh_token: Vec<u8>,
    /// Sealed; none until the first refresh.
    pub access_token: Option<Vec<u8>>,
    /// Sealed; names the session when it is to end.
    pub id_token: Option<Vec<u8>>,
    /// When the access token ends.
    pub access_expires_ms: Option<i64>,
    /// Sign-in.
    pub created_ms: i64,
    /// When Keycloak last said that it is good.
    pub confirmed_ms: i64,
    /// Who presents the refresh token now.
    pub lease: Option<String>,
    /// Until when nobody else does.
    pub lease_ends_ms: Option<i64>,
    /// When it ended; an ended grant stays ended.
    pub ended_ms: Option<i64>,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
