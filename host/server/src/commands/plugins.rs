//! `plugins`.

use std::path::Path;

use http::Method;
use jackfield_config::Loaded;
use jackfield_loader::Requirements;
use jackfield_plugins::{Enablement, Wanted};
use serde_json::{Value, json};

use super::{FAILED, Failure, GOOD, output};
use crate::{cli::PluginsCommand, control, plan};

const COLUMNS: [&str; 8] = [
    "id", "version", "enabled", "carrier", "state", "routes", "webhooks", "reason",
];

/// What a host with this program would decide on a file. Needs neither configuration nor a host.
pub(super) fn verify(file: &Path, as_json: bool) -> u8 {
    let report = jackfield_loader::verify(file, &Requirements::default());
    if as_json {
        output::json(&json!(report));
    } else {
        output::bytes(report.to_string().as_bytes());
    }
    if report.is_admitted() { GOOD } else { FAILED }
}

pub(super) async fn plugins(loaded: &Loaded, command: PluginsCommand, as_json: bool) -> Result<(), Failure> {
    let data_dir = &loaded.settings.data_dir;
    let mut how = "";
    let (id, action) = match command {
        PluginsCommand::List => {
            let rows = match control::call(data_dir, Method::GET, "/api/admin/v1/plugins", None).await {
                Ok(rows) => rows,
                Err(control::ControlError::NotRunning(_)) => planned(loaded)?,
                Err(error) => return Err(error.into()),
            };
            output::rows(&rows, &COLUMNS, "this program has no plugins", as_json);
            return Ok(());
        }
        PluginsCommand::Enable { id } => (id, "enable"),
        PluginsCommand::Disable { id } => (id, "disable"),
        PluginsCommand::Reload { id, force } => {
            how = if force { "?force=true" } else { "" };
            (id, "reload")
        }
        PluginsCommand::Pause { id } => (id, "pause"),
        PluginsCommand::Resume { id } => (id, "resume"),
        // It was answered before configuration was read.
        PluginsCommand::Verify { .. } => return Ok(()),
    };
    let path = format!("/api/admin/v1/plugins/{id}/{action}{how}");
    let row = control::call(data_dir, Method::POST, &path, None).await?;
    if as_json {
        output::json(&row);
    } else {
        let text = |member: &str| row[member].as_str().unwrap_or_default().to_owned();
        output::line(format_args!("{id}: {} ({})", text("state"), text("reason")));
    }
    Ok(())
}

/// Without a running host: what configuration says.
fn planned(loaded: &Loaded) -> Result<Value, Failure> {
    let plan = plan::plan(&loaded.settings, None).map_err(|problems| {
        format!(
            "configuration has {} problem(s); `jackfield check` lists them",
            problems.len()
        )
    })?;
    let row = |wanted: &Wanted| {
        let code = wanted.code.as_ref();
        let descriptor = code.map(|code| code.descriptor().clone()).unwrap_or_default();
        // A shared library is not loaded to be listed.
        let (version, carrier) = match (code, plan.manifests.get(&wanted.id)) {
            (Some(code), _) => (Some(code.manifest().version), Some(code.carrier())),
            (None, manifest) => (
                manifest.map(|manifest| manifest.version.as_str()),
                manifest.map(|_| "dylib"),
            ),
        };
        let (state, reason) = match &wanted.enablement {
            Enablement::Enabled(_) => ("disabled", "no host is running".to_owned()),
            Enablement::Disabled(reason) => ("disabled", reason.clone()),
            Enablement::Refused(reason) => ("refused", reason.clone()),
        };
        json!({
            "id": wanted.id, "version": version, "carrier": carrier,
            "enabled": matches!(wanted.enablement, Enablement::Enabled(_)), "state": state,
            "reason": reason, "generation": 0, "routes": descriptor.routes.len(), "webhooks": descriptor.webhooks.len(),
            "health": null,
        })
    };
    Ok(plan.wanted.iter().map(row).collect())
}
