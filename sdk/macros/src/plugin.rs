//! `#[plugin]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Error, Ident, Item, LitStr, Result, Token, parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    spanned::Spanned,
};

/// The closed list of capabilities; those that end with `:` carry a value.
const CAPABILITIES: [&str; 15] = [
    "http:",
    "routes:",
    "database",
    "kv",
    "pubsub",
    "jobs",
    "vault",
    "identity:users",
    "identity:accounts",
    "identity:sessions",
    "identity:keys",
    "identity:tokens",
    "conversations",
    "mail",
    "audit",
];

/// What stands in the parentheses.
pub(crate) struct Arguments {
    id: LitStr,
    capabilities: Vec<LitStr>,
    migrations: Option<LitStr>,
    description: Option<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (mut id, mut capabilities, mut migrations, mut description) = (None, Vec::new(), None, None);
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            match key.to_string().as_str() {
                "id" => id = Some(text(input)?),
                "migrations" => migrations = Some(text(input)?),
                "description" => description = Some(text(input)?),
                "capabilities" => {
                    let list;
                    parenthesized!(list in input);
                    capabilities.extend(Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?);
                }
                other => {
                    let message = format!(
                        "`{other}` is no key of #[plugin]; write id = \"…\", capabilities(\"…\"), migrations = \"…\" or description = \"…\""
                    );
                    return Err(Error::new(key.span(), message));
                }
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let id = id.ok_or_else(|| input.error("#[plugin] needs an id: write #[plugin(id = \"my-plugin\")]"))?;
        check_id(&id)?;
        for capability in &capabilities {
            check_capability(capability)?;
        }
        Ok(Self {
            id,
            capabilities,
            migrations,
            description,
        })
    }
}

fn text(input: ParseStream<'_>) -> Result<LitStr> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn check_id(id: &LitStr) -> Result<()> {
    let text = id.value();
    let kebab = text.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    if kebab && text.len() <= 40 && text.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Ok(());
    }
    let message = format!(
        "`{text}` is no plugin id; write at most 40 lower-case letters and digits in words joined by `-`, such as \"jira-dc\""
    );
    Err(Error::new(id.span(), message))
}

fn check_capability(capability: &LitStr) -> Result<()> {
    let text = capability.value();
    let known = CAPABILITIES.iter().any(|known| {
        if known.ends_with(':') {
            text.len() > known.len() && text.starts_with(known)
        } else {
            text == *known
        }
    });
    if known {
        return Ok(());
    }
    let message = format!(
        "`{text}` is no capability; write one of \"http:{{field}}\", \"routes:/prefix/*\", \"{}\"",
        CAPABILITIES[2..].join("\", \"")
    );
    Err(Error::new(capability.span(), message))
}

pub(crate) fn expand(arguments: Arguments, item: Item) -> Result<TokenStream> {
    let misplaced = |span| {
        Error::new(
            span,
            "#[plugin] stands on the trait's implementation: write it above `impl Plugin for MyPlugin`",
        )
    };
    let Item::Impl(item) = item else {
        return Err(misplaced(item.span()));
    };
    let is_plugin = item
        .trait_
        .as_ref()
        .is_some_and(|(_, path, _)| path.segments.last().is_some_and(|segment| segment.ident == "Plugin"));
    if !is_plugin {
        return Err(misplaced(item.self_ty.span()));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new(
            item.generics.span(),
            "a plugin is one type without parameters, because the host makes it by its id; write `impl Plugin for MyPlugin`",
        ));
    }
    let this = &item.self_ty;
    let Arguments {
        id,
        capabilities,
        migrations,
        description,
    } = arguments;
    let description = description.map_or_else(|| quote!(env!("CARGO_PKG_DESCRIPTION")), |text| quote!(#text));
    let migrations = match migrations {
        Some(directory) => crate::migrations::expand(&directory)?,
        None => quote!(&[]),
    };
    // A rustc run that emits an rlib and a cdylib emits the same symbols for both, so they carry the id.
    let symbol = |kind: &str| format_ident!("jackfield_{kind}_{}", id.value().replace('-', "_"), span = id.span());
    let (manifest_symbol, entry_symbol) = (symbol("manifest"), symbol("entry"));
    Ok(quote! {
        #item

        impl ::jackfield_sdk::manifest::Described for #this {
            const MANIFEST: &'static ::jackfield_sdk::manifest::Manifest = &::jackfield_sdk::manifest::Manifest {
                id: #id,
                version: env!("CARGO_PKG_VERSION"),
                description: #description,
                config_schema: <<#this as ::jackfield_sdk::Plugin>::Config as ::jackfield_sdk::config::Config>::SCHEMA,
                capabilities: &[#(#capabilities),*],
                migrations: #migrations,
            };
        }

        ::jackfield_sdk::__private::inventory::submit! {
            ::jackfield_sdk::manifest::Builtin::of::<#this>()
        }

        const _: () = {
            const MANIFEST: &::jackfield_sdk::manifest::Manifest =
                <#this as ::jackfield_sdk::manifest::Described>::MANIFEST;
            const ABORT: bool = cfg!(panic = "abort");
            const LEN: usize = ::jackfield_sdk::ffi::manifest::len(MANIFEST, ABORT);

            #[used]
            #[unsafe(no_mangle)]
            #[allow(non_upper_case_globals)]
            pub static #manifest_symbol: [u8; LEN] = ::jackfield_sdk::ffi::manifest::text(MANIFEST, ABORT);

            #[unsafe(no_mangle)]
            pub extern "C" fn #entry_symbol() -> *const ::jackfield_sdk::ffi::Entry {
                ::jackfield_sdk::ffi::plugin::Export::<#this>::ENTRY
            }
        };
    })
}
