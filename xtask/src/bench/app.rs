//! B13: the files of a web app, against nginx: a large one that a build has compressed, a tiny one, and one that the browser has.
//!
//! Both serve one folder. The large file is sent as the `.gz` that lies beside it, so that both send the same bytes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{
    ground::{Ground, LOAD_CORE, Load, SERVER_CORE},
    host::{Host, Setup},
    peers::{self, Server},
    report::{Peer, Row, Subject, Target, Tried},
    route::{CONNECTIONS, SECONDS, broken},
    stats::{fastest, median},
    wire,
};
use crate::{install, must};

/// Lines of the large file: so many are 270 KB when gzip has compressed them.
const LINES: usize = 6_500;
/// Bytes of it as it is sent, within a hundredth.
const BIG: usize = 270_000;
/// Bytes of the tiny file.
const TINY: usize = 120;
/// Configurations of nginx.
const PEERS: [&str; 2] = ["sendfile on", "sendfile off"];

/// What is asked for.
struct Case {
    row: &'static str,
    what: &'static str,
    path: &'static str,
    /// Whether the `.gz` beside the file is sent.
    packed: bool,
    target: f64,
    /// Asked for by whoever has it.
    again: bool,
}

const CASES: [Case; 3] = [
    Case {
        row: "B13-big",
        what: "static app: a large script, precompressed",
        path: "/assets/app.js",
        packed: true,
        target: 0.95,
        again: false,
    },
    Case {
        row: "B13-tiny",
        what: "static app: a tiny picture",
        path: "/assets/dot.png",
        packed: false,
        target: 1.2,
        again: false,
    },
    Case {
        row: "B13-304",
        what: "static app: the large script, asked for by a browser that has it",
        path: "/assets/app.js",
        packed: true,
        target: 1.2,
        again: true,
    },
];

impl Case {
    /// The file that is sent, by its path in the folder.
    fn file(&self) -> String {
        let path = self.path.trim_start_matches('/');
        format!("{path}{}", if self.packed { ".gz" } else { "" })
    }
}

/// Figures of one side.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    busy: Vec<f64>,
}

/// A case and what came of it.
struct Measured {
    case: Case,
    /// What the file holds.
    content: Vec<u8>,
    /// Bytes of our whole answer.
    size: usize,
    ours: Side,
    theirs: [Side; PEERS.len()],
    wrong: Vec<String>,
}

/// B13, in three rows.
pub(super) fn rows(ground: &Ground) -> Result<Vec<Row>> {
    let binary = install::nginx()?;
    let app = make(ground)?;
    let mut measured = Vec::new();
    for case in CASES {
        measured.push(Measured {
            content: std::fs::read(app.join(case.file()))?,
            case,
            size: 0,
            ours: Side::default(),
            theirs: Default::default(),
            wrong: Vec::new(),
        });
    }
    for round in 1..=ground.rounds {
        let host = Host::start(Setup {
            binary: "jackfield",
            directory: ground.directory("host")?,
            core: SERVER_CORE,
            settings: vec![("JACKFIELD_FRONTEND_DIR", app.display().to_string())],
            ..Setup::default()
        })?;
        for one in &mut measured {
            let before = host.requests("other", one.status())?;
            let total = one.ask(ground, round, None, host.port, &|| host.cpu_seconds())?;
            let kept = host.requests("other", one.status())? - before;
            if kept < total {
                one.wrong
                    .push(format!("round {round}: the metrics count {kept} requests of {total}"));
            }
        }
        drop(host);
        for (peer, configuration) in PEERS.into_iter().enumerate() {
            let directory = ground.directory("nginx")?;
            let server = Server::nginx(&binary, &directory, |port| nginx(&app, port, configuration))?;
            for one in &mut measured {
                one.ask(ground, round, Some(peer), server.port, &|| server.cpu_seconds())?;
            }
        }
    }
    let version = peers::first_line(Command::new(&binary).arg("-v"))?;
    Ok(measured.into_iter().map(|one| one.row(&version)).collect())
}

impl Measured {
    fn status(&self) -> &'static str {
        if self.case.again { "304" } else { "200" }
    }

    /// Checks what a side answers, then asks it as fast as it can; gives how many answers were right. The side is ours, or that
    /// of a configuration of nginx.
    fn ask(
        &mut self,
        ground: &Ground,
        round: usize,
        peer: Option<usize>,
        port: u16,
        cpu: &dyn Fn() -> Result<f64>,
    ) -> Result<u64> {
        let whose = peer.map_or("ours", |peer| PEERS[peer]);
        let mut request = request(self.case.path, None);
        let (mut answer, mut bytes) = wire::exchange(port, &request)?;
        if answer.status != 200 || bytes[answer.head..] != self.content {
            bail!(
                "{whose}: `{}` is answered {} with {} bytes instead of the {} of {}",
                self.case.path,
                answer.status,
                answer.length - answer.head,
                self.content.len(),
                self.case.file()
            );
        }
        let packed = wire::header(&bytes, answer, "content-encoding") == Some("gzip");
        if packed != self.case.packed {
            self.wrong
                .push(format!("round {round}: {whose}: the answer does not tell its encoding"));
        }
        let mut length = self.content.len();
        if self.case.again {
            let tag = wire::header(&bytes, answer, "etag").context("the answer has no ETag")?;
            request = self::request(self.case.path, Some(tag));
            (answer, bytes) = wire::exchange(port, &request)?;
            if answer.status != 304 {
                bail!("{whose}: who has `{}` is answered {}", self.case.path, answer.status);
            }
            length = 0;
        }
        let load = Load {
            connections: CONNECTIONS,
            core: LOAD_CORE,
            warm: 1.0,
            seconds: SECONDS,
            in_turn: None,
            status: Some(answer.status),
            length: Some(length),
        };
        let (before, begun) = (cpu()?, Instant::now());
        let loaded = ground.send(port, &request, &load)?;
        let busy = (cpu()? - before) / begun.elapsed().as_secs_f64();
        self.wrong.extend(broken(&loaded, round, whose));
        let side = match peer {
            Some(peer) => &mut self.theirs[peer],
            None => {
                self.size = bytes.len();
                &mut self.ours
            }
        };
        side.rates.push(loaded.per_second);
        side.busy.push(busy);
        Ok(loaded.total)
    }

    fn row(self, version: &str) -> Row {
        let mut rates = self.theirs.each_ref().map(|side| side.rates.clone());
        let best = fastest(&rates);
        let tried = (0..PEERS.len()).filter(|peer| *peer != best).map(|peer| Tried {
            configuration: PEERS[peer].to_owned(),
            value: median(&rates[peer]),
        });
        let tried = tried.collect();
        let peer = Peer {
            name: "nginx",
            version: format!(
                "{version}, one process, gzip_static, open_file_cache, access log on, {}",
                PEERS[best]
            ),
            values: std::mem::take(&mut rates[best]),
            tried,
        };
        let subject = Subject {
            row: self.case.row,
            what: self.case.what,
            unit: "1/s",
            target: Target::Ratio(self.case.target),
            settings: format!(
                "{CONNECTIONS} connections, {} bytes an answer; server on core 0, load on core 1; {SECONDS} s a round",
                self.size
            ),
        };
        let notes = vec![format!(
            "server core busy: ours {:.0} %, the peer's {:.0} %",
            median(&self.ours.busy) * 100.0,
            median(&self.theirs[best].busy) * 100.0
        )];
        Row::of(subject, &self.ours.rates, Some(peer), self.wrong, notes)
    }
}

/// The request of a browser that takes gzip only, and has the file of this tag.
fn request(path: &str, tag: Option<&str>) -> Vec<u8> {
    let tag = tag.map_or_else(String::new, |tag| format!("If-None-Match: {tag}\r\n"));
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n{tag}\r\n").into_bytes()
}

/// The folder of the app.
fn make(ground: &Ground) -> Result<PathBuf> {
    let app = ground.directory("app")?;
    let assets = app.join("assets");
    std::fs::create_dir_all(&assets)?;
    let page = "<!doctype html><html lang=\"en\"><title>bench</title><script src=\"/assets/app.js\"></script></html>\n";
    std::fs::write(app.join("index.html"), page)?;
    let noise = |number: usize| Sha256::digest(format!("part {number}"));
    let line = |number| format!("export const part{number}=\"{}\";\n", hex::encode(noise(number)));
    std::fs::write(assets.join("app.js"), (0..LINES).map(line).collect::<String>())?;
    must(
        Command::new("gzip")
            .args(["--best", "--no-name", "--keep"])
            .arg(assets.join("app.js")),
    )?;
    let size = usize::try_from(std::fs::metadata(assets.join("app.js.gz"))?.len())?;
    if size.abs_diff(BIG) > BIG / 100 {
        bail!("gzip makes {size} bytes of {LINES} lines instead of {BIG}");
    }
    let dot: Vec<u8> = (0..).flat_map(noise).take(TINY).collect();
    std::fs::write(assets.join("dot.png"), dot)?;
    Ok(app)
}

/// `nginx.conf`: one process, and everything on that makes it fast. It sends the cache header that we send.
fn nginx(app: &Path, port: u16, sendfile: &str) -> String {
    format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 1024; }}
http {{
    types {{ text/html html; application/javascript js; image/png png; }}
    {sendfile};
    tcp_nopush on;
    keepalive_timeout 75;
    keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=60s;
    open_file_cache_valid 60s;
    access_log access.log combined buffer=64k flush=1s;
    gzip_static on;
    gzip_vary on;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port};
        root {};
        add_header Cache-Control \"public, max-age=2592000, immutable\";
    }}
}}
",
        app.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_has_the_file_names_its_tag() {
        let text = |tag| String::from_utf8(request("/a.js", tag)).unwrap_or_default();
        assert!(text(None).starts_with("GET /a.js HTTP/1.1\r\n") && text(None).ends_with("gzip\r\n\r\n"));
        assert_eq!(
            text(Some("\"x\"")),
            text(None).replace("gzip\r\n", "gzip\r\nIf-None-Match: \"x\"\r\n")
        );
    }

    #[test]
    fn nginx_serves_the_folder_on_its_port() {
        let text = nginx(Path::new("/tmp/app"), 4711, "sendfile off");
        for line in [
            "listen 127.0.0.1:4711;",
            "root /tmp/app;",
            "sendfile off;",
            "gzip_static on;",
        ] {
            assert!(text.lines().any(|one| one.trim() == line), "{line}");
        }
    }
}
