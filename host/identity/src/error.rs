//! What goes wrong inside; the edge turns it into answers in [`crate::caller`].

use sea_orm::DbErr;

/// Why identity cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database does not answer or refuses.
    #[error("the database cannot do it now: {0}")]
    Store(#[from] DbErr),
    /// There is no such person.
    #[error("there is no person `{0}`; see `jackfield admin users list`")]
    NoPerson(String),
    /// Not an address.
    #[error("`{0}` is no e-mail address; write it as name@example.com")]
    Email(String),
    /// A key for an operator, asked for by somebody else.
    #[error(
        "only an operator's key may have the scope `operator`; `jackfield admin users set … --operator true` makes one"
    )]
    NotOperator,
    /// A scope that cannot be written.
    #[error("`{0}` is no scope; scopes are words without spaces, such as `orders:read`")]
    Scope(String),
}
