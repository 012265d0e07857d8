//! `#[plugin]`, `#[derive(Config)]`, `migrations!`: what makes a plugin a page of code.
//!
//! Every misuse has one sentence that says what to write instead; `sdk/tests/misuse` pins them.

mod config;
mod migrations;
mod plugin;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Registers `impl Plugin for …` with the host.
///
/// `#[plugin(id = "pager", capabilities("http:{api}", "kv"), migrations = "migrations", description = "…")]`; only `id` is
/// required. The version is the crate's, the description the crate's unless given.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as plugin::Arguments);
    let item = parse_macro_input!(item as syn::Item);
    plugin::expand(arguments, item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a struct a plugin's configuration, or a fieldless enum a value in one.
///
/// Fields: `#[config(default = …, env = "NAME", egress, enables, secret)]`; each needs a doc comment, which people see.
#[proc_macro_derive(Config, attributes(config))]
pub fn derive_config(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    config::expand(item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Embeds the SQL migrations of a directory beside `Cargo.toml`: `NNN_name.sqlite.sql` and `NNN_name.postgres.sql`, from
/// 001 without gaps. Migrations only expand, so any older reader may serve, unless the SQLite file begins with
/// `-- min_reader: N`.
#[proc_macro]
pub fn migrations(directory: TokenStream) -> TokenStream {
    let directory = parse_macro_input!(directory as syn::LitStr);
    migrations::expand(&directory)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
