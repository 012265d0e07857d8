//! Sessions: begun at sign-in, ended by their owner, an operator, or time.

use jackfield_sdk::{
    Principal, PrincipalKind,
    identity::Session,
    principal::{ALL, OPERATOR},
};
use jackfield_storage::entity::{person, session};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    cache::Known,
    change,
    core::{Identity, millis},
    error::IdentityError,
    token::{self, Hash},
};

/// Longest `User-Agent` that is kept.
const USER_AGENT: usize = 300;
/// How long ended sessions are kept, for the audit's readers.
const KEPT_MS: i64 = 30 * 86_400_000;
/// Most sessions shown.
const SHOWN: usize = 200;

/// A session, as an operator may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnedSession {
    /// Id of the person.
    pub person: String,
    /// Theirs.
    #[serde(flatten)]
    pub session: Session,
}

/// Where a sign-in comes from.
#[derive(Debug, Clone, Default)]
pub(crate) struct From {
    pub(crate) address: Option<String>,
    pub(crate) user_agent: Option<String>,
    /// What the sign-in left at Keycloak.
    pub(crate) keycloak_grant: Option<String>,
}

impl Identity {
    /// Begins a session; gives the cookie's value, which is not kept. Every sign-in has a session of its own.
    pub(crate) async fn begin_session(&self, person: &str, from: From) -> Result<String, IdentityError> {
        let tx = self.0.database.begin().await?;
        let secret = self.begin_session_in(&tx, person, from).await?;
        tx.commit().await?;
        Ok(secret)
    }

    /// The same, in a transaction that does more.
    pub(crate) async fn begin_session_in(
        &self,
        on: &impl ConnectionTrait,
        person: &str,
        from: From,
    ) -> Result<String, IdentityError> {
        let (secret, now) = (token::opaque(), self.now());
        let row = session::ActiveModel {
            hash: Set(token::hash(&secret).to_vec()),
            id: Set(Uuid::new_v4().to_string()),
            person: Set(person.to_owned()),
            created_ms: Set(now),
            seen_ms: Set(now),
            ended_ms: Set(None),
            address: Set(from.address),
            user_agent: Set(from.user_agent.map(|agent| agent.chars().take(USER_AGENT).collect())),
            keycloak_grant: Set(from.keycloak_grant),
        };
        row.insert(on).await?;
        person::Entity::update_many()
            .col_expr(person::Column::SignedInMs, Expr::value(now))
            .filter(person::Column::Id.eq(person))
            .exec(on)
            .await?;
        Ok(secret)
    }

    /// What a cookie opens now.
    pub(crate) async fn session_of(&self, hash: Hash, read_ms: i64) -> Result<Option<Known>, IdentityError> {
        let found = session::Entity::find_by_id(hash.to_vec())
            .find_also_related(person::Entity)
            .one(self.read())
            .await?;
        let Some((row, Some(person))) = found.filter(|(row, _)| row.ended_ms.is_none()) else {
            return Ok(None);
        };
        let ends_ms = self.ends(&row);
        if !self.may_come_in(&person).await? {
            return Ok(None);
        }
        if ends_ms <= read_ms {
            return Ok(None);
        }
        let mut scopes = vec![ALL.to_owned()];
        scopes.extend(person.operator.then(|| OPERATOR.to_owned()));
        Ok(Some(Known {
            subject: change::session(&row.id),
            person: change::person(&person.id),
            accepted_terms: !self.0.settings.terms || person.terms_accepted_ms.is_some(),
            verified_email: person.email_verified,
            ends_ms,
            read_ms,
            principal: Principal {
                id: person.id.clone(),
                kind: PrincipalKind::User,
                scopes,
                user: Some(person.id),
                organization: Some(person.organization),
                session: Some(row.id),
            },
        }))
    }

    /// When a session ends by itself, as far as the database knows of its use.
    fn ends(&self, row: &session::Model) -> i64 {
        let idle = row.seen_ms.saturating_add(millis(self.0.settings.idle));
        let whole = row.created_ms.saturating_add(millis(self.0.settings.lifetime));
        idle.min(whole)
    }

    /// Open sessions of a person, newest first.
    pub async fn sessions(&self, person: &str) -> Result<Vec<Session>, IdentityError> {
        let open = self.open_sessions(person).await?;
        Ok(open.into_iter().take(SHOWN).map(shown).collect())
    }

    /// Open sessions of everybody, each with whose it is, in the order of their ids; those after `cursor` when there is one.
    pub async fn all_sessions(&self, cursor: Option<&str>, limit: u64) -> Result<Vec<OwnedSession>, IdentityError> {
        let now = self.now();
        let rows = session::Entity::find()
            .filter(session::Column::EndedMs.is_null())
            .filter(session::Column::SeenMs.gt(now - millis(self.0.settings.idle)))
            .filter(session::Column::CreatedMs.gt(now - millis(self.0.settings.lifetime)))
            .filter(session::Column::Id.gt(cursor.unwrap_or_default()))
            .order_by_asc(session::Column::Id)
            .limit(limit)
            .all(self.read())
            .await?;
        let owned = rows.into_iter().map(|row| OwnedSession {
            person: row.person.clone(),
            session: shown(row),
        });
        Ok(owned.collect())
    }

    pub(crate) async fn open_sessions(&self, person: &str) -> Result<Vec<session::Model>, IdentityError> {
        let rows = session::Entity::find()
            .filter(session::Column::Person.eq(person))
            .filter(session::Column::EndedMs.is_null())
            .order_by_desc(session::Column::CreatedMs)
            .all(self.read())
            .await?;
        let now = self.now();
        Ok(rows.into_iter().filter(|row| self.ends(row) > now).collect())
    }

    /// Ends a session by its public id, and tells what signed it in; tells whether it was open.
    pub async fn end_session(&self, person: &str, id: &str) -> Result<bool, IdentityError> {
        let row = session::Entity::find()
            .filter(session::Column::Id.eq(id))
            .filter(session::Column::Person.eq(person))
            .one(self.read())
            .await?;
        let ended = self.close_session(person, id).await?;
        if let (true, Some(row)) = (ended, row) {
            self.0.provider.ended(person, row.keycloak_grant.as_deref());
        }
        Ok(ended)
    }

    /// Ends a session here.
    pub(crate) async fn close_session(&self, person: &str, id: &str) -> Result<bool, IdentityError> {
        let tx = self.0.database.begin().await?;
        let ended = session::Entity::update_many()
            .col_expr(session::Column::EndedMs, Expr::value(self.now()))
            .filter(session::Column::Id.eq(id))
            .filter(session::Column::Person.eq(person))
            .filter(session::Column::EndedMs.is_null())
            .exec(&tx)
            .await?;
        self.changed(&tx, change::session(id)).await?;
        tx.commit().await?;
        if ended.rows_affected > 0 {
            self.0.cache.end(id);
        }
        Ok(ended.rows_affected > 0)
    }

    /// Ends every session of a person; gives how many.
    pub async fn end_sessions(&self, person: &str) -> Result<u64, IdentityError> {
        let mut ended = 0;
        for session in self.open_sessions(person).await? {
            ended += u64::from(self.end_session(person, &session.id).await?);
        }
        Ok(ended)
    }

    pub(crate) async fn forget_sessions(&self) -> Result<(), IdentityError> {
        let long_ago = self.now() - KEPT_MS;
        let idle = self.now() - millis(self.0.settings.idle) - KEPT_MS;
        session::Entity::delete_many()
            .filter(
                Condition::any()
                    .add(session::Column::EndedMs.lt(long_ago))
                    .add(session::Column::SeenMs.lt(idle)),
            )
            .exec(self.write())
            .await?;
        Ok(())
    }
}

fn shown(row: session::Model) -> Session {
    Session {
        id: row.id,
        created_ms: row.created_ms,
        seen_ms: row.seen_ms,
        address: row.address,
        user_agent: row.user_agent,
    }
}
