//! People in memory, for plugins that ask who somebody is. They outlive a kill, as a database does.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use jackfield_sdk::{
    identity::{
        ApiKey, AuditEntry, AuditService, CreatedApiKey, EmailChange, IdentityService, Membership, NewApiKey,
        ProviderToken, Role, Session, SignIn, User,
    },
    service::ServiceError,
};
use uuid::Uuid;

use crate::{host::TestHost, services::Memory};

/// Everybody, and what is theirs.
#[derive(Default)]
pub(crate) struct People(Mutex<All>);

#[derive(Default)]
struct All {
    users: HashMap<String, User>,
    sessions: Vec<(String, Session)>,
    keys: Vec<(NewApiKey, ApiKey)>,
    audit: Vec<AuditEntry>,
    tokens: HashMap<(String, String), ProviderToken>,
}

impl People {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, user: User) {
        self.all().users.insert(user.id.clone(), user);
    }

    pub(crate) fn add_session(&self, user: &str, session: Session) {
        self.all().sessions.push((user.to_owned(), session));
    }

    pub(crate) fn add_token(&self, user: &str, provider: &str, token: &str) {
        let token = ProviderToken {
            token: token.to_owned(),
            expires_ms: None,
        };
        let whose = (user.to_owned(), provider.to_owned());
        self.all().tokens.insert(whose, token);
    }

    pub(crate) fn get(&self, id: &str) -> Option<User> {
        self.all().users.get(id).cloned()
    }

    pub(crate) fn audit(&self) -> Vec<AuditEntry> {
        self.all().audit.clone()
    }
}

impl TestHost {
    /// Gives somebody a token at a git provider, as a sign-in by it would.
    pub fn add_provider_token(&self, user: &str, provider: &str, token: &str) {
        self.kept.people.add_token(user, provider, token);
    }

    /// Makes somebody known to the identity service; [`person`](crate::person) makes one with everything in order.
    pub fn add_person(&self, user: User) {
        self.kept.people.add(user);
    }

    /// Opens a session of a person, as the identity service lists it.
    pub fn add_session(&self, user: &str, session: Session) {
        self.kept.people.add_session(user, session);
    }

    /// What is known of a person now.
    pub fn person(&self, id: &str) -> Option<User> {
        self.kept.people.get(id)
    }

    /// What plugins wrote to the audit trail, in order.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.kept.people.audit()
    }
}

/// A person as tests need one: signed in, verified, terms accepted.
pub fn person(id: &str) -> User {
    User {
        id: id.to_owned(),
        username: id.to_owned(),
        email: Some(format!("{id}@example.com")),
        email_verified: true,
        name: None,
        company: None,
        organization: id.to_owned(),
        terms_accepted_ms: Some(0),
        operator: false,
        provider: "local".to_owned(),
    }
}

#[async_trait]
impl IdentityService for Memory {
    async fn user(&self, id: String) -> Result<Option<User>, ServiceError> {
        self.process.living()?;
        Ok(self.kept.people.get(&id))
    }

    async fn accept_terms(&self, user: String) -> Result<bool, ServiceError> {
        self.process.living()?;
        let now = self.kept.now_ms();
        let mut all = self.kept.people.all();
        let known = all.users.get_mut(&user);
        Ok(known.map(|user| user.terms_accepted_ms = Some(now)).is_some())
    }

    async fn change_email(&self, user: String, email: String) -> Result<EmailChange, ServiceError> {
        self.process.living()?;
        let mut all = self.kept.people.all();
        let same = |other: &User| {
            let theirs = other.email.as_deref().map(str::to_lowercase);
            other.email_verified && theirs == Some(email.to_lowercase())
        };
        if all.users.values().any(|other| other.id != user && same(other)) {
            return Ok(EmailChange::Taken);
        }
        let Some(user) = all.users.get_mut(&user) else {
            return Ok(EmailChange::Unknown);
        };
        if !same(user) {
            user.email = Some(email);
            user.email_verified = false;
        }
        Ok(EmailChange::Changed)
    }

    async fn verify_email(&self, user: String, email: String) -> Result<bool, ServiceError> {
        self.process.living()?;
        let mut all = self.kept.people.all();
        let theirs = all
            .users
            .get_mut(&user)
            .filter(|user| user.email.as_deref() == Some(email.as_str()));
        Ok(theirs.map(|user| user.email_verified = true).is_some())
    }

    async fn sessions(&self, user: String) -> Result<Vec<Session>, ServiceError> {
        self.process.living()?;
        let all = self.kept.people.all();
        let theirs = all.sessions.iter().filter(|(whose, _)| *whose == user);
        Ok(theirs.map(|(_, session)| session.clone()).collect())
    }

    async fn end_session(&self, user: String, session: String) -> Result<bool, ServiceError> {
        self.process.living()?;
        let mut all = self.kept.people.all();
        let before = all.sessions.len();
        all.sessions
            .retain(|(whose, open)| *whose != user || open.id != session);
        Ok(all.sessions.len() < before)
    }

    async fn keys(&self, user: String, organization: String) -> Result<Vec<ApiKey>, ServiceError> {
        self.process.living()?;
        let all = self.kept.people.all();
        let theirs = all
            .keys
            .iter()
            .filter(|(new, _)| new.user == user && new.organization == organization);
        Ok(theirs.map(|(_, key)| key.clone()).collect())
    }

    async fn create_key(&self, new: NewApiKey) -> Result<CreatedApiKey, ServiceError> {
        self.process.living()?;
        let key = format!("sk-oh-{}", Uuid::new_v4().simple());
        let created_ms = self.kept.now_ms();
        let mut all = self.kept.people.all();
        let listed = ApiKey {
            id: all.keys.iter().map(|(_, key)| key.id).max().unwrap_or(0) + 1,
            name: new.name.clone(),
            prefix: key.chars().take(10).collect(),
            scopes: new.scopes.clone(),
            created_ms,
            last_used_ms: None,
            expires_ms: new.expires_ms,
        };
        all.keys.push((new, listed.clone()));
        Ok(CreatedApiKey { listed, key })
    }

    async fn delete_key(&self, user: String, organization: String, id: i64) -> Result<bool, ServiceError> {
        self.process.living()?;
        let mut all = self.kept.people.all();
        let before = all.keys.len();
        all.keys
            .retain(|(new, key)| new.user != user || new.organization != organization || key.id != id);
        Ok(all.keys.len() < before)
    }

    async fn memberships(&self, user: String) -> Result<Vec<Membership>, ServiceError> {
        self.process.living()?;
        let own = self.kept.people.get(&user).map(|user| Membership {
            name: format!("user_{}_org", user.id),
            organization: user.organization,
            role: Role::Owner,
        });
        Ok(own.into_iter().collect())
    }

    async fn sign_in(&self) -> Result<SignIn, ServiceError> {
        self.process.living()?;
        Ok(SignIn {
            provider: "local".to_owned(),
            auth_url: None,
        })
    }

    async fn send_verification(&self, _: String, _: bool) -> Result<bool, ServiceError> {
        self.process.living()?;
        Ok(false)
    }

    async fn renew(&self, user: String) -> Result<Option<User>, ServiceError> {
        self.process.living()?;
        Ok(self.kept.people.get(&user))
    }

    async fn provider_token(&self, user: String, provider: String) -> Result<Option<ProviderToken>, ServiceError> {
        self.process.living()?;
        Ok(self.kept.people.all().tokens.get(&(user, provider)).cloned())
    }
}

#[async_trait]
impl AuditService for Memory {
    async fn record(&self, entry: AuditEntry) -> Result<(), ServiceError> {
        self.process.living()?;
        self.kept.people.all().audit.push(entry);
        Ok(())
    }
}
