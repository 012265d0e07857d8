//! A host with a third party's plugin compiled in: name the crate, call the library.

use jackfield_example_pager as _;

fn main() -> std::process::ExitCode {
    jackfield_server::main()
}
