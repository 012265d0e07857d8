//! What ends the host: SIGTERM, Ctrl-C, or the end of its standard input.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are listened for from here on; before, they end the process at once.
pub(crate) struct Signals(Option<[Signal; 2]>);

impl Signals {
    pub(crate) fn listen() -> Self {
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => Self(Some([terminate, interrupt])),
            _ => {
                tracing::error!("cannot listen for signals");
                Self(None)
            }
        }
    }

    /// Waits for the first; the second one is "now".
    pub(crate) async fn until_told(self, until_stdin_closes: bool) {
        let Some([mut terminate, mut interrupt]) = self.0 else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stdin_closed(), if until_stdin_closes => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            crate::logs::flush();
            std::process::exit(1);
        });
    }
}

async fn stdin_closed() {
    let (tell, told) = tokio::sync::oneshot::channel();
    // A thread of its own: a read cannot be given up, and the runtime must not wait for it.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = tell.send(());
    });
    let _ = told.await;
}
