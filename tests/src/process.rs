//! Processes that are watched from outside: signals, memory, limits, a time for their end.

use std::{
    io::Read,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Runs a command to its end: exit code, standard output, standard error. One that takes too long is killed and fails the test.
pub fn run(mut command: Command, within: Duration) -> (i32, String, String) {
    // Without its variables: keys are among them.
    let arguments: Vec<_> = command.get_args().map(|text| text.to_string_lossy()).collect();
    let what = format!("{} {}", command.get_program().to_string_lossy(), arguments.join(" "));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
    let (output, errors) = (aside(child.stdout.take().unwrap()), aside(child.stderr.take().unwrap()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > within {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "{what} has not ended after {within:?}: {}{}",
                output.join().unwrap(),
                errors.join().unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    (
        status.code().unwrap_or(-1),
        output.join().unwrap(),
        errors.join().unwrap(),
    )
}

/// Reads a pipe on its own thread, so that a full one never blocks the process.
fn aside(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Sends a signal to a process that a test started.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success(), "cannot send {name} to {pid}");
}

/// Resident memory in bytes.
pub fn rss(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    let pages: u64 = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Lets a process have this many files open. False, with the reason printed, when the system does not allow it.
pub fn allow_files(pid: u32, files: u64) -> bool {
    let limit = format!("--nofile={files}:{files}");
    let (code, _, error) = run(
        {
            let mut command = Command::new("prlimit");
            command.args(["--pid", &pid.to_string(), &limit]);
            command
        },
        Duration::from_secs(10),
    );
    if code != 0 {
        println!("prlimit {limit}: {}", error.trim());
    }
    code == 0
}

/// Whether this is root, who may mount and become another user.
pub fn as_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}
