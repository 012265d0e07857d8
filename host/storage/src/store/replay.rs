//! Replays: durable, resumable, chunk by chunk. A chunk's re-arming and the replay's progress are one commit.

use jackfield_inbox::{
    model::{Filter, Replay, ReplayMode, State},
    store::{StoreResult, arms},
};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use uuid::Uuid;

use super::{
    SqlStore,
    read::conditions,
    rows::{get, json, parse, state},
    store_error,
};

impl SqlStore {
    pub(super) async fn begin_replay(&self, filter: &Filter, mode: ReplayMode) -> StoreResult<Replay> {
        let now = self.clock_ms().await?;
        let filter = Filter {
            until_ms: Some(filter.until_ms.unwrap_or(i64::MAX).min(now + 1)),
            ..filter.clone()
        };
        let total = self.count_matching(&filter).await?;
        // What has not ended is not armed, so there is nothing to look at.
        let idle = filter.state.is_some_and(|state| !state.ended());
        let passed = if idle { total } else { 0 };
        let replay = Replay {
            id: Uuid::now_v7(),
            filter,
            mode,
            total,
            seen: passed,
            armed: 0,
            skipped: passed,
            finished: idle || total == 0,
        };
        let statement = self.statement(
            "INSERT INTO replay (id, filter, mode, total, seen, armed, skipped, finished, begun_ms) VALUES ($1, $2, $3, $4, $6, 0, $6, $5, {now})",
            [
                replay.id.into(),
                json(&replay.filter)?.into(),
                json(&mode)?.into(),
                i64::try_from(total).unwrap_or(i64::MAX).into(),
                replay.finished.into(),
                i64::try_from(passed).unwrap_or(i64::MAX).into(),
            ],
        );
        self.db.write.execute_raw(statement).await.map_err(store_error)?;
        Ok(replay)
    }

    pub(super) async fn step_replay(&self, id: Uuid, chunk: u32) -> StoreResult<Option<Replay>> {
        let tx = self.begin().await?;
        let lock = if self.db.is_sqlite() { "" } else { " FOR UPDATE" };
        let text = format!("SELECT * FROM replay WHERE id = $1{lock}");
        let Some(row) = tx
            .query_one_raw(self.statement(&text, [id.into()]))
            .await
            .map_err(store_error)?
        else {
            tx.rollback().await.map_err(store_error)?;
            return Ok(None);
        };
        let mut replay = replay_of(&row)?;
        if replay.finished {
            tx.rollback().await.map_err(store_error)?;
            return Ok(Some(replay));
        }
        let last: Option<Uuid> = get(&row, "last")?;
        // What was armed by this replay no longer has the state that was asked for; the cursor passes it, so it is not missed.
        let asked = Filter {
            state: None,
            ..replay.filter.clone()
        };
        let (mut conditions, mut values) = conditions(&asked);
        if let Some(last) = last {
            values.push(last.into());
            conditions.push(format!("d.id > ${}", values.len()));
        }
        if let Some(wanted) = replay.filter.state.filter(|state| state.ended()) {
            values.push(Value::from(wanted.as_str()));
            conditions.push(format!("d.state = ${}", values.len()));
        }
        values.push(i64::from(chunk).into());
        let text = format!(
            "SELECT d.id, d.state FROM delivery d WHERE {} ORDER BY d.id LIMIT ${}{lock}",
            conditions.join(" AND "),
            values.len()
        );
        let rows = tx
            .query_all_raw(self.statement(&text, values))
            .await
            .map_err(store_error)?;
        let mut last = last;
        let mut armed = Vec::new();
        for row in &rows {
            let one: Uuid = get(row, "id")?;
            let ended: Option<String> = get(row, "state")?;
            let now_state = ended.as_deref().map(state).transpose()?.unwrap_or(State::Pending);
            replay.seen += 1;
            last = Some(one);
            if arms(replay.mode, now_state) {
                armed.push(one);
                replay.armed += 1;
            } else {
                replay.skipped += 1;
            }
        }
        self.arm(&tx, &armed, replay.mode).await?;
        replay.finished = rows.len() < chunk as usize;
        let count = |count: u64| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let statement = self.statement(
            "UPDATE replay SET seen = $2, armed = $3, skipped = $4, finished = $5, last = $6 WHERE id = $1",
            [
                id.into(),
                count(replay.seen),
                count(replay.armed),
                count(replay.skipped),
                replay.finished.into(),
                last.into(),
            ],
        );
        tx.execute_raw(statement).await.map_err(store_error)?;
        tx.commit().await.map_err(store_error)?;
        Ok(Some(replay))
    }

    pub(super) async fn one_replay(&self, id: Uuid) -> StoreResult<Option<Replay>> {
        let statement = self.statement("SELECT * FROM replay WHERE id = $1", [id.into()]);
        self.db
            .read
            .query_one_raw(statement)
            .await
            .map_err(store_error)?
            .as_ref()
            .map(replay_of)
            .transpose()
    }

    pub(super) async fn open_replays(&self) -> StoreResult<Vec<Replay>> {
        let statement = self.statement("SELECT * FROM replay WHERE finished = $1 ORDER BY id", [false.into()]);
        self.db
            .read
            .query_all_raw(statement)
            .await
            .map_err(store_error)?
            .iter()
            .map(replay_of)
            .collect()
    }
}

fn replay_of(row: &QueryResult) -> StoreResult<Replay> {
    let count = |column: &str| get::<i64>(row, column).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Replay {
        id: get(row, "id")?,
        filter: parse(&get::<String>(row, "filter")?)?,
        mode: parse(&get::<String>(row, "mode")?)?,
        total: count("total")?,
        seen: count("seen")?,
        armed: count("armed")?,
        skipped: count("skipped")?,
        finished: get(row, "finished")?,
    })
}
