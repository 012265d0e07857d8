//! People and their organisations.
//!
//! A person is made at the first sign-in, in one transaction with their own organisation, whose id is theirs, and their
//! place in it. Two first sign-ins at once make one person.

use jackfield_sdk::identity::{EmailChange, Membership, Role, User};
use jackfield_storage::entity::{membership, organization, person};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QueryOrder, SqlErr,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use crate::{change, core::Identity, error::IdentityError};

/// Whether `email`, in lower case, is `local@domain` or `local+…@domain`.
pub(crate) fn same_base(email: &str, local: &str, domain: &str) -> bool {
    let rest = email.strip_prefix(local).and_then(|rest| rest.strip_suffix(domain));
    match rest.and_then(|rest| rest.strip_suffix('@')) {
        Some("") => true,
        Some(tag) => tag.starts_with('+') && !tag.contains('@'),
        None => false,
    }
}

/// Who arrives at a sign-in, as the identity provider says.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Stable id; a new one when none.
    pub id: Option<String>,
    /// What signs them in.
    pub provider: String,
    /// Name they sign in with.
    pub username: String,
    /// Address.
    pub email: Option<String>,
    /// Whether the provider vouches for the address.
    pub email_verified: bool,
    /// Full name.
    pub name: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// Whether they are to operate this host.
    pub operator: bool,
}

impl Identity {
    /// The person of an arrival: made when they are new; what the identity provider says of them is taken over when they are
    /// not.
    pub async fn arrive(&self, arrival: Arrival) -> Result<User, IdentityError> {
        let news = arrival.id.clone().map(|id| (id, arrival.clone()));
        let id = arrival.id.unwrap_or_else(|| Uuid::new_v4().to_string());
        let now = self.now();
        let email_key = arrival.email.as_deref().map(email_key);
        let row = person::ActiveModel {
            id: Set(id.clone()),
            provider: Set(arrival.provider),
            username: Set(arrival.username.clone()),
            email_verified: Set(arrival.email_verified && arrival.email.is_some()),
            email: Set(arrival.email.clone()),
            email_key: Set(email_key),
            name: Set(arrival.name.clone()),
            company: Set(arrival.company),
            organization: Set(id.clone()),
            terms_accepted_ms: Set(None),
            operator: Set(arrival.operator),
            disabled: Set(false),
            created_ms: Set(now),
            signed_in_ms: Set(None),
            refused_ms: Set(None),
        };
        let own = organization::ActiveModel {
            id: Set(id.clone()),
            name: Set(format!("user_{id}_org")),
            contact_name: Set(Some(arrival.name.unwrap_or(arrival.username))),
            contact_email: Set(arrival.email),
            created_ms: Set(now),
        };
        let place = membership::ActiveModel {
            organization: Set(id.clone()),
            person: Set(id.clone()),
            role: Set(role_text(Role::Owner).to_owned()),
            created_ms: Set(now),
        };
        let tx = self.0.database.begin().await?;
        let once = |column| OnConflict::column(column).do_nothing().to_owned();
        let made = person::Entity::insert(row)
            .on_conflict(once(person::Column::Id))
            .exec_without_returning(&tx)
            .await;
        let made = match made {
            Err(error) if is_taken(&error) => return Err(IdentityError::Taken),
            made => made?,
        };
        if made > 0 {
            organization::Entity::insert(own)
                .on_conflict(OnConflict::column(organization::Column::Id).do_nothing().to_owned())
                .exec_without_returning(&tx)
                .await?;
            membership::Entity::insert(place)
                .on_conflict(
                    OnConflict::columns([membership::Column::Organization, membership::Column::Person])
                        .do_nothing()
                        .to_owned(),
                )
                .exec_without_returning(&tx)
                .await?;
        }
        tx.commit().await?;
        if let (0, Some((id, news))) = (made, news) {
            self.take_over(&id, news).await?;
        }
        let found = person::Entity::find_by_id(&id).one(self.write()).await?;
        found.map(user).ok_or(IdentityError::NoPerson(id))
    }

    /// What an identity provider says of somebody who was here before.
    pub(crate) async fn take_over(&self, id: &str, news: Arrival) -> Result<(), IdentityError> {
        let Some(before) = person::Entity::find_by_id(id).one(self.write()).await? else {
            return Ok(());
        };
        let email = news.email.clone().or_else(|| before.email.clone());
        let same = before.provider == news.provider
            && before.username == news.username
            && (news.name.is_none() || before.name == news.name)
            && (news.company.is_none() || before.company == news.company)
            && before.email == email
            && (news.email.is_none() || before.email_verified == news.email_verified);
        if same {
            return Ok(());
        }
        // The contact of their own organisation was the user name while nothing better was known (spec/10 §13.8).
        if let Some(name) = &news.name {
            organization::Entity::update_many()
                .col_expr(organization::Column::ContactName, Expr::value(name))
                .filter(organization::Column::Id.eq(id))
                .filter(organization::Column::ContactName.eq(&news.username))
                .exec(self.write())
                .await?;
        }
        let mut values = vec![
            (person::Column::Provider, news.provider.into()),
            (person::Column::Username, news.username.into()),
            (person::Column::Name, news.name.or(before.name).into()),
            (person::Column::Company, news.company.or(before.company).into()),
        ];
        if let Some(email) = news.email {
            values.push((person::Column::EmailKey, email_key(&email).into()));
            values.push((person::Column::EmailVerified, news.email_verified.into()));
            values.push((person::Column::Email, email.into()));
        }
        match self.set_person(id, values).await {
            Err(IdentityError::Store(error)) if is_taken(&error) => Err(IdentityError::Taken),
            done => done.map(drop),
        }
    }

    /// Somebody who is to sign in by a link: an operator vouches for the address.
    pub async fn invite(&self, email: &str) -> Result<User, IdentityError> {
        let email = email.trim();
        if domain(email).is_none() {
            return Err(IdentityError::Email(email.to_owned()));
        }
        self.must_be_local()?;
        self.arrive(Arrival {
            id: None,
            provider: "local".to_owned(),
            username: email.to_owned(),
            email: Some(email.to_owned()),
            email_verified: true,
            name: None,
            company: None,
            operator: false,
        })
        .await
    }

    /// A person.
    pub(crate) async fn person(&self, id: &str) -> Result<Option<person::Model>, IdentityError> {
        Ok(person::Entity::find_by_id(id).one(self.read()).await?)
    }

    /// Whether somebody may come in now: not shut out by an operator, by what signs them in, or by the domain of their address.
    pub(crate) async fn may_come_in(&self, person: &person::Model) -> Result<bool, IdentityError> {
        if person.disabled || person.refused_ms.is_some() {
            return Ok(false);
        }
        match person.email.as_deref().and_then(domain) {
            Some(domain) => Ok(!self.was_blocked(domain).await?),
            None => Ok(true),
        }
    }

    /// Whether somebody else has verified `local@domain`, or that with something after a `+`.
    pub(crate) async fn others_have(&self, local: &str, domain: &str, id: &str) -> Result<bool, IdentityError> {
        let exact = person::Column::EmailKey.eq(format!("{local}@{domain}"));
        // What of these is meant is told in code: addresses may hold the signs of LIKE.
        let begin = person::Column::EmailKey.starts_with(format!("{local}+"));
        let found = person::Entity::find()
            .filter(person::Column::EmailVerified.eq(true))
            .filter(person::Column::Id.ne(id))
            .filter(Condition::any().add(exact).add(begin))
            .all(self.read())
            .await?;
        let same = |row: &person::Model| {
            row.email_key
                .as_deref()
                .is_some_and(|email| same_base(email, local, domain))
        };
        Ok(found.iter().any(same))
    }

    /// A person, as plugins see them.
    pub async fn user(&self, id: &str) -> Result<Option<User>, IdentityError> {
        Ok(self.person(id).await?.map(user))
    }

    /// Everybody, by the time they came.
    pub async fn users(&self) -> Result<Vec<User>, IdentityError> {
        let rows = person::Entity::find()
            .order_by_asc(person::Column::CreatedMs)
            .order_by_asc(person::Column::Id)
            .all(self.read())
            .await?;
        Ok(rows.into_iter().map(user).collect())
    }

    /// Whose address it is: who has verified it, else who came with it first.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>, IdentityError> {
        let row = person::Entity::find()
            .filter(person::Column::EmailKey.eq(email_key(email)))
            .order_by_desc(person::Column::EmailVerified)
            .order_by_asc(person::Column::CreatedMs)
            .one(self.read())
            .await?;
        Ok(row.map(user))
    }

    /// Makes somebody an operator, or takes it back; then with the keys that hold the operator's scope.
    pub async fn set_operator(&self, id: &str, operator: bool) -> Result<User, IdentityError> {
        // The flag first: whoever lost it makes no new key.
        let user = self
            .set_person(id, vec![(person::Column::Operator, operator.into())])
            .await?;
        if !operator {
            let tx = self.0.database.begin().await?;
            self.delete_operator_keys(&tx, id).await?;
            tx.commit().await?;
        }
        Ok(user)
    }

    /// Lets somebody sign in, or not; what is open ends within a second.
    pub async fn set_disabled(&self, id: &str, disabled: bool) -> Result<User, IdentityError> {
        self.set_person(id, vec![(person::Column::Disabled, disabled.into())])
            .await
    }

    pub(crate) async fn accept_terms(&self, id: &str) -> Result<bool, IdentityError> {
        let now = Some(self.now());
        match self
            .set_person(id, vec![(person::Column::TermsAcceptedMs, now.into())])
            .await
        {
            Ok(_) => Ok(true),
            Err(IdentityError::NoPerson(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn change_email(&self, id: &str, email: &str) -> Result<EmailChange, IdentityError> {
        let email = email.trim();
        let domain = domain(email).ok_or_else(|| IdentityError::Email(email.to_owned()))?;
        if self.is_blocked(domain).await? {
            return Ok(EmailChange::Blocked);
        }
        let key = email_key(email);
        let theirs = person::Entity::find()
            .filter(person::Column::EmailKey.eq(&key))
            .filter(person::Column::EmailVerified.eq(true))
            .one(self.read())
            .await?;
        match theirs {
            Some(other) if other.id != id => return Ok(EmailChange::Taken),
            Some(_) => return Ok(EmailChange::Changed),
            None => {}
        }
        // Where it is kept first: what is refused there does not change here.
        match self.0.provider.change_email(id, email).await? {
            None | Some(EmailChange::Changed) => {}
            Some(refused) => return Ok(refused),
        }
        let values = vec![
            (person::Column::Email, email.into()),
            (person::Column::EmailKey, key.into()),
            (person::Column::EmailVerified, false.into()),
        ];
        match self.set_person(id, values).await {
            // Links that are on their way to the address before open nothing any more.
            Ok(_) => self.end_links(id).await.map(|()| EmailChange::Changed),
            Err(IdentityError::NoPerson(_)) => Ok(EmailChange::Unknown),
            Err(error) => Err(error),
        }
    }

    /// False when it is no longer their address, or somebody else verified it first.
    pub(crate) async fn verify_email(&self, id: &str, email: &str) -> Result<bool, IdentityError> {
        let tx = self.0.database.begin().await?;
        let verified = person::Entity::update_many()
            .col_expr(person::Column::EmailVerified, Expr::value(true))
            .filter(person::Column::Id.eq(id))
            .filter(person::Column::EmailKey.eq(email_key(email)))
            .exec(&tx)
            .await;
        let verified = match verified {
            Err(error) if is_taken(&error) => return Ok(false),
            verified => verified?,
        };
        self.changed(&tx, change::person(id)).await?;
        tx.commit().await?;
        Ok(verified.rows_affected > 0)
    }

    pub(crate) async fn memberships(&self, id: &str) -> Result<Vec<Membership>, IdentityError> {
        let places = membership::Entity::find()
            .filter(membership::Column::Person.eq(id))
            .order_by_asc(membership::Column::CreatedMs)
            .all(self.read())
            .await?;
        let mut all = Vec::with_capacity(places.len());
        for place in places {
            let found = organization::Entity::find_by_id(&place.organization)
                .one(self.read())
                .await?;
            if let (Some(organization), Some(role)) = (found, role(&place.role)) {
                all.push(Membership {
                    organization: organization.id,
                    name: organization.name,
                    role,
                });
            }
        }
        Ok(all)
    }

    async fn set_person(&self, id: &str, values: Vec<(person::Column, sea_orm::Value)>) -> Result<User, IdentityError> {
        let tx = self.0.database.begin().await?;
        let mut update = person::Entity::update_many().filter(person::Column::Id.eq(id));
        for (column, value) in values {
            update = update.col_expr(column, Expr::value(value));
        }
        if update.exec(&tx).await?.rows_affected == 0 {
            return Err(IdentityError::NoPerson(id.to_owned()));
        }
        self.changed(&tx, change::person(id)).await?;
        let found = person::Entity::find_by_id(id).one(&tx).await?;
        tx.commit().await?;
        found.map(user).ok_or_else(|| IdentityError::NoPerson(id.to_owned()))
    }
}

fn is_taken(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

/// What addresses are compared by.
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The domain of an address (RFC 5321: what follows the last `@`); none when it is no address.
pub(crate) fn domain(email: &str) -> Option<&str> {
    let (local, domain) = email.rsplit_once('@')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let sound = !local.is_empty()
        && !local.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
        && domain.chars().all(plain)
        && domain.split('.').all(|label| !label.is_empty());
    sound.then_some(domain)
}

pub(crate) fn role_text(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

fn role(text: &str) -> Option<Role> {
    [Role::Owner, Role::Admin, Role::Member]
        .into_iter()
        .find(|role| role_text(*role) == text)
}

fn user(row: person::Model) -> User {
    User {
        id: row.id,
        username: row.username,
        email: row.email,
        email_verified: row.email_verified,
        name: row.name,
        company: row.company,
        organization: row.organization,
        terms_accepted_ms: row.terms_accepted_ms,
        operator: row.operator,
        provider: row.provider,
    }
}

#[cfg(test)]
mod tests {
    use super::same_base;

    #[test]
    fn a_tag_makes_no_other_address() {
        let same = ["ada@example.com", "ada+x@example.com", "ada+@example.com"];
        let other = [
            "adam@example.com",
            "ada@other.com",
            "ada+x@sub.example.com",
            "ada+x@evil@example.com",
        ];
        for email in same {
            assert!(same_base(email, "ada", "example.com"), "{email}");
        }
        for email in other {
            assert!(!same_base(email, "ada", "example.com"), "{email}");
        }
    }
}
