//! What goes wrong inside; the edge turns it into answers in [`crate::caller`].

use jackfield_sdk::service::ServiceError;
use sea_orm::DbErr;

/// Why identity cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database does not answer or refuses.
    #[error("the database cannot do it now: {0}")]
    Store(#[from] DbErr),
    /// Mail is off or not stored now, or the vault does not open.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// There is no such person.
    #[error("there is no person `{0}`; see `jackfield admin users list`")]
    NoPerson(String),
    /// Not an address.
    #[error("`{0}` is no e-mail address; write it as name@example.com")]
    Email(String),
    /// Not a domain.
    #[error("`{0}` is no domain; write it as example.com")]
    Domain(String),
    /// A key for an operator, asked for by somebody else.
    #[error(
        "only an operator's key may have the scope `operator`; `jackfield admin users set … --operator true` makes one"
    )]
    NotOperator,
    /// Somebody else has verified the address.
    #[error("somebody else has verified that address")]
    Taken,
    /// Not the name of a git provider.
    #[error("`{0}` is no git provider; write its alias at the identity provider, as `github`")]
    GitProvider(String),
    /// The identity provider does not answer, or refuses.
    #[error("the identity provider cannot do it now: {0}")]
    Provider(String),
    /// What only local sign-in has.
    #[error("people are made and let in by {0} here; `identity.provider = \"local\"` has links of its own")]
    NotLocal(String),
    /// A scope that cannot be written.
    #[error("`{0}` is no scope; scopes are words without spaces, such as `orders:read`")]
    Scope(String),
}
