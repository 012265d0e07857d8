//! API keys (spec/10 §18, without its weaknesses): kept as SHA-256, shown once, bound to an organisation, with scopes and an
//! end. Checking one asks nobody but the database, and that once a minute.

use jackfield_sdk::{
    Principal, PrincipalKind,
    identity::{ApiKey, CreatedApiKey, NewApiKey},
    principal::{ALL, OPERATOR},
};
use jackfield_storage::entity::{api_key, person};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
};

use crate::{
    cache::Known,
    change,
    core::Identity,
    error::IdentityError,
    token::{self, Hash},
};

impl Identity {
    /// Makes a key; its secret is in the answer and nowhere else.
    pub async fn create_key(&self, new: NewApiKey) -> Result<CreatedApiKey, IdentityError> {
        self.create_key_in(self.write(), new).await
    }

    /// The same, asked for by its owner: only an operator's key may hold the operator's scope.
    pub(crate) async fn create_own_key(&self, new: NewApiKey) -> Result<CreatedApiKey, IdentityError> {
        if new.scopes.iter().any(|scope| scope == OPERATOR) {
            let owner = self.person(&new.user).await?;
            if !owner.is_some_and(|owner| owner.operator) {
                return Err(IdentityError::NotOperator);
            }
        }
        self.create_key(new).await
    }

    /// Deletes the keys of a person that hold the operator's scope.
    pub(crate) async fn delete_operator_keys(
        &self,
        on: &impl ConnectionTrait,
        person: &str,
    ) -> Result<(), IdentityError> {
        let rows = api_key::Entity::find()
            .filter(api_key::Column::Person.eq(person))
            .all(on)
            .await?;
        let holds = |row: &api_key::Model| row.scopes.split_whitespace().any(|scope| scope == OPERATOR);
        for row in rows.into_iter().filter(holds) {
            api_key::Entity::delete_by_id(row.id).exec(on).await?;
            self.changed(on, change::key(row.id)).await?;
        }
        Ok(())
    }

    pub(crate) async fn create_key_in(
        &self,
        on: &impl ConnectionTrait,
        new: NewApiKey,
    ) -> Result<CreatedApiKey, IdentityError> {
        let plain = |scope: &String| !scope.is_empty() && scope.chars().all(|c| c.is_ascii_graphic());
        if let Some(scope) = new.scopes.iter().find(|scope| !plain(scope)) {
            return Err(IdentityError::Scope(scope.clone()));
        }
        let key = token::api_key();
        let row = api_key::ActiveModel {
            id: NotSet,
            hash: Set(token::hash(&key).to_vec()),
            prefix: Set(token::shown(&key)),
            person: Set(new.user),
            organization: Set(new.organization),
            name: Set(new.name),
            scopes: Set(new.scopes.join(" ")),
            created_ms: Set(self.now()),
            last_used_ms: Set(None),
            expires_ms: Set(new.expires_ms),
        };
        let row = row.insert(on).await?;
        Ok(CreatedApiKey {
            listed: listed(row),
            key,
        })
    }

    /// Keys of a person in an organisation, oldest first.
    pub async fn keys(&self, person: &str, organization: &str) -> Result<Vec<ApiKey>, IdentityError> {
        let rows = api_key::Entity::find()
            .filter(api_key::Column::Person.eq(person))
            .filter(api_key::Column::Organization.eq(organization))
            .order_by_asc(api_key::Column::Id)
            .all(self.read())
            .await?;
        Ok(rows.into_iter().map(listed).collect())
    }

    /// Deletes a key of the person; tells whether there was one.
    pub async fn delete_key(&self, person: &str, organization: &str, id: i64) -> Result<bool, IdentityError> {
        let tx = self.0.database.begin().await?;
        let deleted = api_key::Entity::delete_many()
            .filter(api_key::Column::Id.eq(id))
            .filter(api_key::Column::Person.eq(person))
            .filter(api_key::Column::Organization.eq(organization))
            .exec(&tx)
            .await?;
        self.changed(&tx, change::key(id)).await?;
        tx.commit().await?;
        Ok(deleted.rows_affected > 0)
    }

    /// What a key opens now.
    pub(crate) async fn key_of(&self, hash: Hash, read_ms: i64) -> Result<Option<Known>, IdentityError> {
        let found = api_key::Entity::find()
            .filter(api_key::Column::Hash.eq(hash.to_vec()))
            .find_also_related(person::Entity)
            .one(self.read())
            .await?;
        let alive = |row: &api_key::Model| row.expires_ms.is_none_or(|ends| ends > read_ms);
        let Some((row, Some(person))) = found.filter(|(row, _)| alive(row)) else {
            return Ok(None);
        };
        if !self.may_come_in(&person).await? {
            return Ok(None);
        }
        let asked: Vec<String> = row.scopes.split_whitespace().map(str::to_owned).collect();
        // The operator's scope is only for keys that name it.
        let scopes = if asked.is_empty() { vec![ALL.to_owned()] } else { asked };
        Ok(Some(Known {
            subject: change::key(row.id),
            person: change::person(&person.id),
            accepted_terms: !self.0.settings.terms || person.terms_accepted_ms.is_some(),
            verified_email: person.email_verified,
            ends_ms: row.expires_ms.unwrap_or(i64::MAX),
            read_ms,
            principal: Principal {
                id: change::key(row.id),
                kind: PrincipalKind::ApiKey,
                scopes,
                user: Some(person.id),
                organization: Some(row.organization),
                session: None,
            },
        }))
    }
}

fn listed(row: api_key::Model) -> ApiKey {
    ApiKey {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        scopes: row.scopes.split_whitespace().map(str::to_owned).collect(),
        created_ms: row.created_ms,
        last_used_ms: row.last_used_ms,
        expires_ms: row.expires_ms,
    }
}
