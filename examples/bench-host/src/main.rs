//! The host that `cargo xtask bench` starts where a row needs plugins of its own. `bench-host bare FILE` is the peer of the
//! route row instead; `bench-host calls FILE` measures calls into the plugin's shared library.

mod bare;
mod calls;
mod grown;

use std::{path::Path, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let done = match (arguments.next().as_deref(), arguments.next()) {
        (Some("bare"), Some(answer)) => bare::serve(Path::new(&answer)),
        (Some("calls"), Some(file)) => calls::measure(Path::new(&file)),
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
