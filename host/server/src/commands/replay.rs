//! `deliveries replay`: the host does it; this shows how far it is, and may be interrupted without harm.

use std::time::Duration;

use http::Method;
use indicatif::{ProgressBar, ProgressStyle};
use jackfield_config::Loaded;
use jackfield_inbox::model::{Filter, ReplayMode};
use uuid::Uuid;

use super::{Failure, output};
use crate::control;

pub(super) async fn replay(
    loaded: &Loaded,
    filter: &Filter,
    mode: ReplayMode,
    dry_run: bool,
    as_json: bool,
) -> Result<(), Failure> {
    let data_dir = &loaded.settings.data_dir;
    let mut request = serde_json::to_value(filter)?;
    request["mode"] = serde_json::to_value(mode)?;
    request["dry_run"] = dry_run.into();
    let path = "/api/admin/v1/deliveries/replay";
    let begun = control::call(data_dir, Method::POST, path, Some(&request)).await?;
    if dry_run {
        if as_json {
            output::json(&begun);
        } else {
            output::line(format_args!("{} deliveries match", begun["total"]));
        }
        return Ok(());
    }
    let id: Uuid = serde_json::from_value(begun["id"].clone())?;
    // On a terminal's standard error only; elsewhere it draws nothing.
    let bar = ProgressBar::new(begun["total"].as_u64().unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template("replaying {bar:30} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    let mut now = begun;
    while now["finished"] != true {
        tokio::time::sleep(Duration::from_millis(200)).await;
        now = control::call(data_dir, Method::GET, &format!("/api/admin/v1/replays/{id}"), None).await?;
        bar.set_position(now["seen"].as_u64().unwrap_or(0));
    }
    bar.finish_and_clear();
    if as_json {
        output::json(&now);
        return Ok(());
    }
    output::line(format_args!(
        "{} armed, {} left as they were",
        now["armed"], now["skipped"]
    ));
    if now["armed"] == 0 && now["skipped"] != 0 && mode == ReplayMode::Resume {
        output::line(
            "what is done stays done; --from-start repeats its steps with the same keys, --again with new ones",
        );
    }
    Ok(())
}
