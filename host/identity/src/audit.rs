//! The audit trail: append-only, each entry sealed to the one before by SHA-256, so that nobody changes or drops one unseen.

use jackfield_sdk::identity::AuditEntry;
use jackfield_storage::entity::audit;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{core::Identity, error::IdentityError};

/// A number of our own for PostgreSQL's advisory lock: entries are written one after the other.
const LOCK: i64 = 0x4a41_434b_4155_4449;

/// An entry as it is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    /// Position, from 1 without gaps.
    pub seq: i64,
    /// When.
    pub at_ms: i64,
    /// Who.
    pub actor: String,
    /// Did what.
    pub action: String,
    /// To what.
    pub target: String,
    /// From where.
    pub address: Option<String>,
    /// More.
    pub detail: serde_json::Value,
    /// SHA-256 over the hash before and this entry, in hex.
    pub hash: String,
    /// Whether the hash is that of this entry after the one before.
    pub sound: bool,
}

impl Identity {
    /// Appends an entry; it is stored when this answers.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), IdentityError> {
        let tx = self.0.database.begin().await?;
        if !self.0.database.is_sqlite() {
            tx.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
                .await?;
        }
        let last = audit::Entity::find().order_by_desc(audit::Column::Seq).one(&tx).await?;
        let (seq, before) = last.map_or((1, Vec::new()), |last| (last.seq + 1, last.hash));
        let mut row = audit::Model {
            seq,
            at_ms: self.now(),
            actor: entry.actor,
            action: entry.action,
            target: entry.target,
            address: entry.address,
            detail: entry.detail.to_string(),
            hash: Vec::new(),
        };
        row.hash = sealed(&before, &row);
        let row = audit::ActiveModel {
            seq: Set(row.seq),
            at_ms: Set(row.at_ms),
            actor: Set(row.actor),
            action: Set(row.action),
            target: Set(row.target),
            address: Set(row.address),
            detail: Set(row.detail),
            hash: Set(row.hash),
        };
        row.insert(&tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Entries after `seq`, oldest first, each checked against the one before.
    pub async fn audit(&self, after: i64, limit: u64) -> Result<Vec<AuditRow>, IdentityError> {
        let rows = audit::Entity::find()
            .filter(audit::Column::Seq.gte(after))
            .order_by_asc(audit::Column::Seq)
            .limit(limit.saturating_add(1))
            .all(self.read())
            .await?;
        let mut before = Vec::new();
        let mut position = after;
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            if row.seq == after {
                before = row.hash;
                continue;
            }
            position += 1;
            let sound = row.seq == position && sealed(&before, &row) == row.hash;
            position = row.seq;
            before.clone_from(&row.hash);
            all.push(AuditRow {
                seq: row.seq,
                at_ms: row.at_ms,
                actor: row.actor,
                action: row.action,
                target: row.target,
                address: row.address,
                detail: serde_json::from_str(&row.detail).unwrap_or(serde_json::Value::String(row.detail)),
                hash: hex::encode(&row.hash),
                sound,
            });
        }
        all.truncate(limit as usize);
        Ok(all)
    }
}

fn sealed(before: &[u8], row: &audit::Model) -> Vec<u8> {
    let entry = serde_json::json!([
        row.seq,
        row.at_ms,
        row.actor,
        row.action,
        row.target,
        row.address,
        row.detail
    ]);
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(entry.to_string().as_bytes());
    hash.finalize().to_vec()
}
