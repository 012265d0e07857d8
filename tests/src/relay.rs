//! A real SMTP server that keeps what it is sent: `sink.py` of the e-mail plugin's tests, as a child process.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::provider;

/// The server. It ends with this.
pub struct Relay {
    child: Child,
    mails: Arc<Mutex<Vec<Value>>>,
    /// Where it listens.
    pub port: u64,
}

impl Relay {
    /// Starts it as `sink.py` is told; none, with the reason printed, when there is no Python or no package index.
    pub fn start(told: &Value) -> Option<Self> {
        let python = provider::python()?;
        let mut child = Command::new(python)
            .args(["-W", "ignore", "sink.py", &told.to_string()])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/email/tests/sink"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let mails: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (first, port) = mpsc::channel();
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line: Value = serde_json::from_str(&line).unwrap();
                match line["port"].as_u64() {
                    Some(port) => first.send(port).unwrap(),
                    None => kept.lock().unwrap().push(line),
                }
            }
        });
        let port = port.recv_timeout(Duration::from_secs(20)).expect("its port");
        Some(Self { child, mails, port })
    }

    /// What it has taken so far.
    pub fn mails(&self) -> Vec<Value> {
        self.mails.lock().unwrap().clone()
    }

    /// Waits until it has taken so many mails.
    pub async fn until(&self, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let mails = self.mails();
            if mails.len() >= count {
                return mails;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{count} mails did not come: {mails:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
