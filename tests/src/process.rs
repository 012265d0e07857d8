//! Processes that are watched from outside: signals, memory, limits, a time for their end.

use std::{
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
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

/// Ends a process group when its standard input ends; then removes the directory that it may be given.
const GUARD: &str = r#"cat; kill -s KILL -- "-$1"; [ -z "$2" ] || rm -rf -- "$2""#;

/// A process with all that it starts: a group of its own, ended when this is dropped, and also when the test process ends in any
/// other way. For what is shared in a `static`, which is never dropped, and for programs that are scripts around others.
pub struct Group {
    /// The first of them.
    pub child: Child,
    /// Waits for the end of our side of its pipe. In a group of its own, so that Ctrl-C does not end it before its work.
    guard: Child,
    line: Option<ChildStdin>,
}

impl Group {
    /// Starts one. With it ends `directory`, when there is one.
    pub fn spawn(command: &mut Command, directory: Option<&Path>) -> Self {
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", command.get_program().display()));
        let mut guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(child.id().to_string())
            .args(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let line = guard.stdin.take();
        Self { child, guard, line }
    }

    /// Ends all of them at once.
    pub fn kill(&mut self) {
        // The guard does it: the one way that is always taken.
        self.line = None;
        let _ = self.guard.wait();
        let _ = self.child.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids of a group's living processes.
    fn alive(group: u32) -> Vec<String> {
        let (_, out, _) = run(
            {
                let mut command = Command::new("ps");
                command.args(["-eo", "pgid=,stat=,pid="]);
                command
            },
            Duration::from_secs(10),
        );
        let rows = out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row[0] == group.to_string() && !row[1].starts_with('Z'))
            .map(|row| row[2].to_owned())
            .collect()
    }

    #[test]
    fn a_group_ends_with_all_that_it_started_and_its_directory() {
        let scratch = crate::scratch::Scratch::new("group");
        let directory = scratch.0.join("own");
        std::fs::create_dir(&directory).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", "sleep 600 & sleep 600 & touch started; wait"])
            .current_dir(&directory);
        let group = Group::spawn(&mut command, Some(&directory));
        let id = group.child.id();
        let begun = Instant::now();
        while !directory.join("started").exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "the group has not started");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(alive(id).len(), 3);
        drop(group);
        assert_eq!(alive(id), Vec::<String>::new());
        assert!(!directory.exists());
    }
}
