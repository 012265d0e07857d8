//! The providers' own libraries, asked to sign or to verify: Node packages in `tests/node`, Python packages in an
//! environment that is made once per build directory.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;

use crate::process;

/// What the libraries are given: one JSON array in, one out, in the same order.
pub fn ask_node(script: &str, asked: &Value) -> Vec<Value> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    let mut command = Command::new("node");
    command.arg(script).current_dir(directory);
    ask(command, asked)
}

/// The same of Python; none, with the reason printed, when there is no Python or no package index.
pub fn ask_python(script: &str, asked: &Value) -> Option<Vec<Value>> {
    let mut command = Command::new(python()?);
    command
        .arg(script)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("python"));
    Some(ask(command, asked))
}

/// The Python that has what `python/requirements.txt` lists; none, with the reason printed, when it cannot be had.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(environment).as_deref()
}

fn ask(mut command: Command, asked: &Value) -> Vec<Value> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let text = asked.to_string();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Makes the environment; one that is complete is used again.
fn environment() -> Option<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = manifest.join("../target/tmp/signers-python");
    let (python, done) = (home.join("bin/python3"), home.join("complete"));
    let wanted = std::fs::read_to_string(manifest.join("python/requirements.txt")).unwrap();
    if std::fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Some(python);
    }
    let steps: [(&Path, Vec<&str>); 2] = [
        (
            Path::new("python3"),
            vec!["-m", "venv", "--clear", home.to_str().unwrap()],
        ),
        (
            &python,
            vec![
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
                "requirements.txt",
            ],
        ),
    ];
    for (program, arguments) in steps {
        let mut command = Command::new(program);
        command.args(&arguments).current_dir(manifest.join("python"));
        if command.get_program() == "python3" && Command::new("python3").arg("--version").output().is_err() {
            println!("skipped: there is no python3");
            return None;
        }
        let (code, _, error) = process::run(command, Duration::from_secs(180));
        if code != 0 {
            println!("skipped: {} {}: {error}", program.display(), arguments.join(" "));
            return None;
        }
    }
    std::fs::write(done, wanted).unwrap();
    Some(python)
}
