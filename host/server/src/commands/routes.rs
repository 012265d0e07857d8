//! `routes`.

use http::Method;
use jackfield_config::Loaded;

use super::{Failure, output};
use crate::control;

pub(super) async fn routes(loaded: &Loaded, as_json: bool) -> Result<(), Failure> {
    let rows = control::call(&loaded.settings.data_dir, Method::GET, "/api/admin/v1/routes", None).await?;
    output::rows(
        &rows,
        &["method", "path", "plugin", "policy", "rate_limit"],
        "nothing is mounted",
        !output::person(as_json),
    );
    Ok(())
}
