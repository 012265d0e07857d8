//! Table `api_key`.

use sea_orm::entity::prelude::*;

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    /// Number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// SHA-256 of the key.
    pub hash: Vec<u8>,
    /// First characters, to tell it by.
    pub prefix: String,
    /// Whose.
    pub person: String,
    /// For which organisation.
    pub organization: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Scopes, separated by spaces; empty is all that its owner may.
    pub scopes: String,
    /// When it was made.
    pub created_ms: i64,
    /// Last use, written in batches.
    pub last_used_ms: Option<i64>,
    /// When it ends.
    pub expires_ms: Option<i64>,
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
