//! Table `session`.

use sea_orm::entity::prelude::*;

/// A session behind a cookie.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// SHA-256 of the cookie's value.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    /// Public id; it opens nothing.
    pub id: String,
    /// Whose.
    pub person: String,
    /// Sign-in.
    pub created_ms: i64,
    /// Last request, written in batches.
    pub seen_ms: i64,
    /// When it was ended; an ended session stays ended.
    pub ended_ms: Option<i64>,
    /// Address of the sign-in.
    pub address: Option<String>,
    /// `User-Agent` of the sign-in.
    pub user_agent: Option<String>,
    /// Keycloak's grant that it stands on.
    pub keycloak_grant: Option<String>,
}

/// What is read together.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// Whose it is.
    #[sea_orm(
        belongs_to = "super::person::Entity",
        from = "Column::Person",
        to = "super::person::Column::Id"
    )]
    Person,
}

impl Related<super::person::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Person.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
