//! Parcels in the plugin's own database.

use jackfield_sdk::prelude::*;

/// What the carrier tells.
#[derive(Clone, Serialize, Deserialize)]
pub struct Move {
    pub shop: String,
    pub parcel: String,
    /// `sent`, `on its way`, `arrived`.
    pub state: String,
}

/// A parcel.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Parcel {
    /// The carrier's number.
    pub id: String,
    /// Where it is.
    pub state: String,
    /// What stands on the label.
    pub check_digits: String,
    /// Moves so far.
    pub moves: i64,
}

pub async fn find(database: &Database, id: &str) -> Result<Option<Parcel>> {
    let text = "SELECT id, state, check_digits, (SELECT count(*) FROM move WHERE parcel = $1) AS moves FROM parcel WHERE id = $1";
    database.query_one(sql(text).bind(id)).await
}

/// Writes a move down; gives how many there are of the parcel.
pub async fn record(host: &Host, event: &Move, digits: &str, now_ms: i64) -> Result<i64> {
    let (event, digits) = (event.clone(), digits.to_owned());
    host.database()
        .transaction(|tx| async move {
            let parcel = "INSERT INTO parcel (id, shop, state, check_digits, moved_ms) VALUES ($1, $2, $3, $4, $5) \
                          ON CONFLICT (id) DO UPDATE SET state = $3, moved_ms = $5";
            let values = [&event.parcel, &event.shop, &event.state, &digits];
            let parcel = values
                .iter()
                .fold(sql(parcel), |statement, value| statement.bind(value.as_str()));
            tx.execute(parcel.bind(now_ms)).await?;
            let step = sql("INSERT INTO move (parcel, state, at_ms) VALUES ($1, $2, $3)");
            tx.execute(step.bind(event.parcel.as_str()).bind(event.state.as_str()).bind(now_ms))
                .await?;
            let count = sql("SELECT count(*) FROM move WHERE parcel = $1").bind(event.parcel.as_str());
            Ok(tx.query_one(count).await?.unwrap_or(0))
        })
        .await
}

/// Removes what arrived before; gives how many that were.
pub async fn put_away(database: Database, before_ms: i64) -> Result<u64> {
    let old = "SELECT id FROM parcel WHERE state = 'arrived' AND moved_ms < $1";
    let removed = database
        .transaction(|tx| async move {
            tx.execute(sql(format!("DELETE FROM move WHERE parcel IN ({old})")).bind(before_ms))
                .await?;
            tx.execute(sql("DELETE FROM parcel WHERE state = 'arrived' AND moved_ms < $1").bind(before_ms))
                .await
        })
        .await?;
    Ok(removed)
}
