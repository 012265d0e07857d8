//! Entities of identity: one table each, as migration 3 makes them. What they mean is said in `jackfield-identity`.

pub mod api_key;
pub mod audit;
pub mod blocked_email_domain;
pub mod device_code;
pub mod identity_change;
pub mod membership;
pub mod organization;
pub mod person;
pub mod session;
pub mod sign_in_link;
