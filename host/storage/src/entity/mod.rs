//! Entities of identity: one table each, as migrations 3 and 4 make them. What they mean is said in `jackfield-identity`.

pub mod api_key;
pub mod audit;
pub mod blocked_email_domain;
pub mod device_code;
pub mod identity_change;
pub mod keycloak_grant;
pub mod keycloak_login;
pub mod keycloak_logout;
pub mod membership;
pub mod organization;
pub mod person;
pub mod provider_token;
pub mod session;
pub mod sign_in_link;
