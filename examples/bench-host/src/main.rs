//! The host that `cargo xtask bench` starts where a row needs a plugin of its own. `bench-host bare FILE` is the peer of the
//! route row instead.

mod bare;
mod plugin;

use std::{path::Path, process::ExitCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("bare"), Some(answer)) => match bare::serve(Path::new(&answer)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bench-host: {error}");
                ExitCode::FAILURE
            }
        },
        _ => jackfield_server::main(),
    }
}
