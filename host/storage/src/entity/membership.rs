//! Table `membership`.

use sea_orm::entity::prelude::*;

/// A person's place in an organisation.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "membership")]
pub struct Model {
    /// The organisation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization: String,
    /// The person.
    #[sea_orm(primary_key, auto_increment = false)]
    pub person: String,
    /// `owner`, `admin` or `member`.
    pub role: String,
    /// Since when.
    pub created_ms: i64,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
