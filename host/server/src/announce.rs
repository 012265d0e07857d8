//! What people see at start. Printed, not logged: the first sign-in link lets in whoever reads it.

use jackfield_config::{Settings, SignIn};
use jackfield_plugins::Plugins;

use crate::serve::Running;

/// Where it listens, and a line for each plugin.
pub(crate) fn announce(settings: &Settings, plugins: &Plugins) {
    println!("jackfield {} on http://{}", env!("CARGO_PKG_VERSION"), settings.listen);
    println!(
        "  admin http://{}  data {}",
        settings.admin_listen,
        settings.data_dir.display()
    );
    for row in plugins.list() {
        println!(
            "  {:<16} {:<8} {:<11} {} routes, {} webhooks  {}",
            row.id,
            row.carrier,
            row.state.as_str(),
            row.routes,
            row.webhooks,
            row.reason
        );
    }
}

/// The way into an installation that nobody has signed in to yet.
pub(crate) async fn first_link(running: &Running) {
    if running.loaded.load().settings.identity.provider != SignIn::Local {
        return;
    }
    match running.identity.first_link().await {
        Ok(Some(link)) => println!("  sign in once, within a day: {}{}", running.base(), link.path),
        Ok(None) => {}
        Err(error) => {
            tracing::error!(%error, "cannot make the first sign-in link; `jackfield admin sign-in-link` makes one");
        }
    }
}
