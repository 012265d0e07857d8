//! Which web app is served.

use jackfield_config::Settings;
use jackfield_frontend::{FolderError, Frontend};

/// The folder that is named, else what was compiled in.
pub(crate) fn open(settings: &Settings) -> Result<Option<Frontend>, FolderError> {
    let sources = settings.page_sources();
    let Some(folder) = &settings.frontend_dir else {
        return Ok(Frontend::embedded(&sources));
    };
    let frontend = Frontend::folder(folder, &sources)?;
    let packing = frontend.clone();
    // Nobody waits for it: until a file is compressed, it is sent as it is. A thread that the runtime need not see end.
    std::thread::spawn(move || packing.compress());
    Ok(Some(frontend))
}
