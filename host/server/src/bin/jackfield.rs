//! The shipped binary: the host with every first-party plugin.

use std::process::ExitCode;

use jackfield_plugin_api_keys as _;
use jackfield_plugin_email as _;
use jackfield_plugin_github as _;
use jackfield_plugin_settings as _;
use jackfield_plugin_users as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jackfield_server::main()
}
