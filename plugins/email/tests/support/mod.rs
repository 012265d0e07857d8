//! A real SMTP server as a child process: `sink/sink.py` on aiosmtpd, which is installed once per build directory.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

/// Longest time for the server to say something.
const SOON: Duration = Duration::from_secs(20);

/// The server. It ends with this.
pub(crate) struct Sink {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<Value>,
    seen: Vec<Value>,
    asked: u32,
    pub(crate) port: u16,
}

impl Sink {
    /// Starts it as `sink.py` is told.
    pub(crate) fn start(told: Value) -> Self {
        let mut child = Command::new("python3")
            .args(["-W", "ignore", "sink.py", &told.to_string()])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sink"))
            .env("PYTHONPATH", library())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (says, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
                if says.send(line).is_err() {
                    return;
                }
            }
        });
        let mut sink = Self {
            child,
            input,
            lines,
            seen: Vec::new(),
            asked: 0,
            port: 0,
        };
        let first = sink.next();
        sink.port = u16::try_from(first["port"].as_u64().expect("its port")).unwrap();
        sink
    }

    /// Takes every mail, in the open.
    pub(crate) fn open() -> Self {
        Self::start(json!({}))
    }

    /// Every mail that it has taken so far.
    pub(crate) fn mails(&mut self) -> Vec<Value> {
        self.said(|line| line.get("to").is_some())
    }

    /// Every sign-in so far.
    pub(crate) fn sign_ins(&mut self) -> Vec<Value> {
        self.said(|line| line.get("sign_in").is_some())
    }

    fn said(&mut self, which: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.asked += 1;
        let mark = self.asked.to_string();
        writeln!(self.input, "{mark}").unwrap();
        loop {
            let line = self.next();
            if line["seen"] == mark.as_str() {
                break;
            }
            self.seen.push(line);
        }
        self.seen.iter().filter(|line| which(line)).cloned().collect()
    }

    fn next(&self) -> Value {
        self.lines
            .recv_timeout(SOON)
            .expect("the SMTP server says nothing; its errors stand above")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where aiosmtpd is.
fn library() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("email-sink");
        let (wanted, done) = (include_str!("../sink/requirements.txt"), place.join("complete"));
        if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
            return place;
        }
        let _ = std::fs::remove_dir_all(&place);
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sink/requirements.txt");
        let installed = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg("--target")
            .arg(&place)
            .arg("-r")
            .arg(requirements)
            .status();
        assert!(
            installed.is_ok_and(|status| status.success()),
            "these tests speak to a real SMTP server, aiosmtpd: they need python3 with pip, and once a package index"
        );
        std::fs::write(done, wanted).unwrap();
        place
    })
}

/// An authority of one's own and a certificate for 127.0.0.1, as files.
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Certificates {
    /// Made anew, in a folder of this name.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("email-{name}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_file = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        Self {
            authority: write("authority.pem", &authority_file),
            certificate: write("certificate.pem", &certificate.pem()),
            key: write("key.pem", &key.serialize_pem()),
        }
    }

    /// As `sink.py` is told of them.
    pub(crate) fn files(&self) -> Value {
        json!([self.certificate, self.key])
    }
}
