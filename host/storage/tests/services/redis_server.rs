//! A Redis of the test's own, which it may stop and start. It writes nothing. `host/limits` uses this file too.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) struct RedisServer {
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// The shared test server's address, or a line that says why the test does nothing.
pub(crate) fn shared() -> Option<String> {
    let url = std::env::var("JACKFIELD_TEST_REDIS_URL").ok();
    if url.is_none() {
        println!("skipped: JACKFIELD_TEST_REDIS_URL is not set; `cargo xtask services` prints it");
    }
    url
}

impl RedisServer {
    /// Started and answering. The port option's name differs with TLS.
    pub(crate) async fn start(port_option: &str, more: &[String]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut arguments: Vec<String> = [port_option, &port.to_string(), "--bind", "127.0.0.1", "--save", ""]
            .map(str::to_owned)
            .to_vec();
        arguments.extend(more.iter().cloned());
        let mut server = Self {
            port,
            arguments,
            child: None,
        };
        server.up().await;
        server
    }

    pub(crate) async fn up(&mut self) {
        let child = Command::new("redis-server")
            .args(&self.arguments)
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server does not listen");
    }

    pub(crate) fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.down();
    }
}

/// Waits for something that must come about within 10 s.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not within 10 s: {what}");
}
