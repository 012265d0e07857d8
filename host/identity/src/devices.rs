//! Devices that a person approves in their browser (RFC 8628; spec/10 §17).
//!
//! The API key is made when the device asks for it after the approval, in the transaction that takes the code away: it is
//! handed out once, and there is none when nobody asks.

use std::time::Duration;

use jackfield_sdk::identity::{CreatedApiKey, NewApiKey};
use jackfield_storage::entity::device_code as device;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, SqlErr, sea_query::Expr};

use crate::{
    core::{Identity, millis},
    error::IdentityError,
    token,
};

/// How long a code waits.
pub(crate) const LIFE: Duration = Duration::from_secs(600);
/// Seconds between two questions of a device, at first.
pub(crate) const INTERVAL_S: i64 = 5;
/// The most that they become.
const MOST_INTERVAL_S: i64 = 60;
/// How long a device's key lives.
const KEY_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Tries to find a user code that nobody has.
const TRIES: usize = 10;

/// What a device shows and asks with.
pub(crate) struct Codes {
    pub(crate) device: String,
    pub(crate) user: String,
}

/// What a device that asks is told.
pub(crate) enum Polled {
    Unknown,
    TooOften { wait_s: i64 },
    Expired,
    Denied,
    Pending,
    Key(CreatedApiKey),
}

/// What became of an approval or a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    Done,
    Unknown,
    /// It was decided before, or is over.
    Over,
}

impl Identity {
    pub(crate) async fn new_device(&self) -> Result<Codes, IdentityError> {
        let now = self.now();
        let mut tries = 0;
        loop {
            tries += 1;
            let codes = Codes {
                device: token::device_code(),
                user: token::user_code(),
            };
            let row = device::ActiveModel {
                hash: Set(token::hash(&codes.device).to_vec()),
                user_code: Set(codes.user.clone()),
                state: Set("pending".to_owned()),
                person: Set(None),
                organization: Set(None),
                created_ms: Set(now),
                expires_ms: Set(now + millis(LIFE)),
                polled_ms: Set(None),
                interval_s: Set(INTERVAL_S),
            };
            match row.insert(self.write()).await {
                Ok(_) => return Ok(codes),
                Err(error) if tries < TRIES && is_taken(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A device asks. The order of the answers is that of spec/10 §17.
    pub(crate) async fn poll_device(&self, code: &str) -> Result<Polled, IdentityError> {
        let (hash, now) = (token::hash(code).to_vec(), self.now());
        let tx = self.0.database.begin().await?;
        let Some(row) = device::Entity::find_by_id(hash.clone()).one(&tx).await? else {
            return Ok(Polled::Unknown);
        };
        let too_often = row
            .polled_ms
            .is_some_and(|polled| now - polled < row.interval_s.saturating_mul(1000));
        let wait_s = if too_often {
            (row.interval_s + INTERVAL_S).min(MOST_INTERVAL_S)
        } else {
            row.interval_s
        };
        device::Entity::update_many()
            .col_expr(device::Column::PolledMs, Expr::value(now))
            .col_expr(device::Column::IntervalS, Expr::value(wait_s))
            .filter(device::Column::Hash.eq(hash.clone()))
            .exec(&tx)
            .await?;
        let approved = (row.state == "approved").then_some((row.person, row.organization));
        let polled = if too_often {
            Polled::TooOften { wait_s }
        } else if row.expires_ms <= now {
            Polled::Expired
        } else if row.state == "denied" {
            Polled::Denied
        } else if let Some((Some(person), Some(organization))) = approved {
            let taken = device::Entity::delete_by_id(hash).exec(&tx).await?.rows_affected > 0;
            if !taken {
                return Ok(Polled::Unknown);
            }
            let new = NewApiKey {
                user: person,
                organization,
                name: Some(format!("Device Link Access Key ({})", row.user_code)),
                scopes: Vec::new(),
                expires_ms: Some(now + millis(KEY_LIFE)),
            };
            Polled::Key(self.create_key_in(&tx, new).await?)
        } else {
            Polled::Pending
        };
        tx.commit().await?;
        Ok(polled)
    }

    /// A person decides on the code that they typed; `organization` is whose key an approval gives.
    pub(crate) async fn decide_device(
        &self,
        user_code: &str,
        approve: bool,
        person: &str,
        organization: &str,
    ) -> Result<Decided, IdentityError> {
        let state = if approve { "approved" } else { "denied" };
        let decided = device::Entity::update_many()
            .col_expr(device::Column::State, Expr::value(state))
            .col_expr(device::Column::Person, Expr::value(Some(person.to_owned())))
            .col_expr(device::Column::Organization, Expr::value(Some(organization.to_owned())))
            .filter(device::Column::UserCode.eq(user_code))
            .filter(device::Column::State.eq("pending"))
            .filter(device::Column::ExpiresMs.gt(self.now()))
            .exec(self.write())
            .await?;
        if decided.rows_affected > 0 {
            return Ok(Decided::Done);
        }
        let known = device::Entity::find()
            .filter(device::Column::UserCode.eq(user_code))
            .one(self.read())
            .await?;
        Ok(if known.is_some() {
            Decided::Over
        } else {
            Decided::Unknown
        })
    }

    pub(crate) async fn forget_devices(&self) -> Result<(), IdentityError> {
        // A device that asks a little late is told that its code is over, not that there was none.
        device::Entity::delete_many()
            .filter(device::Column::ExpiresMs.lt(self.now() - millis(LIFE)))
            .exec(self.write())
            .await?;
        Ok(())
    }
}

fn is_taken(error: &sea_orm::DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
