//! Table `person`.

use sea_orm::entity::prelude::*;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "person")]
pub struct Model {
    /// Stable id; with Keycloak the subject.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What signs them in: `local`, or the identity provider's name.
    pub provider: String,
    /// Name they sign in with.
    pub username: String,
    /// Address as they wrote it.
    pub email: Option<String>,
    /// Address to compare by: trimmed, in lower case.
    pub email_key: Option<String>,
    /// Whether the address is known to be theirs; one person at most has verified an address.
    pub email_verified: bool,
    /// Full name.
    pub name: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// The organisation they work in now.
    pub organization: String,
    /// When the terms of service were accepted.
    pub terms_accepted_ms: Option<i64>,
    /// Whether they operate this host.
    pub operator: bool,
    /// Whether they may no longer sign in.
    pub disabled: bool,
    /// When they were made.
    pub created_ms: i64,
    /// Last sign-in.
    pub signed_in_ms: Option<i64>,
    /// When the identity provider said that they may not come in; none when it lets them.
    pub refused_ms: Option<i64>,
}

/// None: rows are asked for by what they name.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
