//! Hands the target triple to the code: a plugin's manifest names the target it was built for, and this is what it must be.

fn main() {
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-env=JACKFIELD_TARGET={target}");
    println!("cargo:rerun-if-changed=build.rs");
}
