//! The host that `cargo xtask bench` starts where a row needs plugins of its own. `bench-host bare FILE` is the peer of the
//! route row instead; `bench-host calls FILE` measures calls into the plugin's shared library,
//! `bench-host limits …` rate-limit checks.

mod bare;
mod calls;
mod grown;
mod limits;

use std::{path::Path, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match text.as_slice() {
        ["bare", answer] => bare::serve(Path::new(answer)),
        ["calls", file] => calls::measure(Path::new(file)),
        ["limits", ..] => limits::check(&arguments[1..]),
        _ => return jackfield_server::main(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-host: {error}");
            ExitCode::FAILURE
        }
    }
}
