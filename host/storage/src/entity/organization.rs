//! Table `organization`.

use sea_orm::entity::prelude::*;

/// An organisation. A person's own has the person's id.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "organization")]
pub struct Model {
    /// Stable id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Name.
    pub name: String,
    /// Whom to write to.
    pub contact_name: Option<String>,
    /// Where to.
    pub contact_email: Option<String>,
    /// When it was made.
    pub created_ms: i64,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
