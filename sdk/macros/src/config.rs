//! `#[derive(Config)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Error, Expr, ExprArray, ExprLit, ExprUnary, Field, Fields, Ident, Lit,
    LitStr, Meta, Result, Token, UnOp, punctuated::Punctuated, spanned::Spanned,
};

/// What `#[config(…)]` and the doc comment say about a field.
#[derive(Default)]
struct Facts {
    doc: String,
    default: Option<Literal>,
    env: Vec<LitStr>,
    egress: bool,
    enables: bool,
    secret: bool,
}

/// A default as Rust and as JSON.
struct Literal {
    json: String,
}

pub(crate) fn expand(item: DeriveInput) -> Result<TokenStream> {
    match &item.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => expand_struct(&item, fields.named.iter()),
            _ => Err(Error::new(
                item.ident.span(),
                "a configuration has named fields; write `struct Settings { name: String }`",
            )),
        },
        Data::Enum(data) => expand_enum(&item, data),
        Data::Union(_) => Err(Error::new(
            item.ident.span(),
            "a configuration is a struct with named fields",
        )),
    }
}

fn expand_struct<'f>(item: &DeriveInput, fields: impl Iterator<Item = &'f Field>) -> Result<TokenStream> {
    let this = &item.ident;
    let (mut properties, mut required, mut names, mut reads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut idents: Vec<&Ident> = Vec::new();
    for field in fields {
        let Some(name) = &field.ident else { continue };
        let facts = facts(field, name)?;
        let (text, ty) = (name.to_string(), &field.ty);
        let comma = if properties.is_empty() { "" } else { "," };
        let head = format!("{comma}{}:{{", quoted(&text));
        let tail = format!("{}}}", tail(&facts));
        properties.push(quote!(#head, <#ty as ::jackfield_sdk::config::ConfigField>::SCHEMA, #tail));
        if facts.default.is_none() && !facts.enables {
            let written = quoted(&text);
            required.push(quote! {
                (#written, <#ty as ::jackfield_sdk::config::ConfigField>::OPTIONAL)
            });
        }
        let default = match &facts.default {
            Some(default) => {
                let json = &default.json;
                quote!(Some(#json))
            }
            None => quote!(None),
        };
        reads.push(quote! {
            #name: ::jackfield_sdk::config::read_field::<#ty>(&mut members, #text, #default)?
        });
        names.push(text);
        idents.push(name);
    }
    let title = quoted(&this.to_string());
    let open = format!(r#"{{"type":"object","title":{title},"additionalProperties":false,"properties":{{"#);
    Ok(quote! {
        impl ::jackfield_sdk::config::Config for #this {
            const SCHEMA: &'static str = {
                const REQUIRED: &[(&str, bool)] = &[#(#required),*];
                const NEEDED: &str = {
                    const LEN: usize = ::jackfield_sdk::config::required_len(REQUIRED);
                    const BYTES: [u8; LEN] = ::jackfield_sdk::config::required::<LEN>(REQUIRED);
                    ::jackfield_sdk::config::text(&BYTES)
                };
                const PARTS: &[&str] = &[#open, #(#properties,)* "},\"required\":[", NEEDED, "]}"];
                const LEN: usize = ::jackfield_sdk::config::joined_len(PARTS);
                const BYTES: [u8; LEN] = ::jackfield_sdk::config::join::<LEN>(PARTS);
                ::jackfield_sdk::config::text(&BYTES)
            };

            fn from_value(
                value: ::jackfield_sdk::serde_json::Value,
            ) -> ::std::result::Result<Self, ::std::string::String> {
                let mut members = ::jackfield_sdk::config::members(value, &[#(#names),*])?;
                Ok(Self { #(#reads),* })
            }

            fn host_reads(&self) {
                #(let _ = &self.#idents;)*
            }
        }
    })
}

/// A fieldless enum is a text out of its names in kebab case.
fn expand_enum(item: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let this = &item.ident;
    let mut names = Vec::new();
    let mut variants: Vec<&Ident> = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.span(),
                "a setting's choices carry no fields; write `enum Mode { Fast, Safe }`",
            ));
        }
        names.push(kebab(&variant.ident.to_string()));
        variants.push(&variant.ident);
    }
    let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let schema = format!(r#""type":"string","enum":[{}]"#, list.join(","));
    let expected = format!("write one of {}", names.join(", "));
    Ok(quote! {
        impl ::jackfield_sdk::config::ConfigField for #this {
            const SCHEMA: &'static str = #schema;
        }

        impl<'de> ::jackfield_sdk::serde::Deserialize<'de> for #this {
            fn deserialize<D: ::jackfield_sdk::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let text = <::std::string::String as ::jackfield_sdk::serde::Deserialize>::deserialize(deserializer)?;
                match text.as_str() {
                    #(#names => Ok(Self::#variants),)*
                    _ => Err(<D::Error as ::jackfield_sdk::serde::de::Error>::custom(#expected)),
                }
            }
        }
    })
}

fn facts(field: &Field, name: &Ident) -> Result<Facts> {
    let mut facts = Facts {
        doc: doc(&field.attrs),
        ..Facts::default()
    };
    if facts.doc.is_empty() {
        let message = format!("`{name}` needs a doc comment: people see it in `jackfield config` and in the console");
        return Err(Error::new(name.span(), message));
    }
    for attribute in field
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("config"))
    {
        for meta in attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)? {
            apply(&mut facts, &meta)?;
        }
    }
    Ok(facts)
}

fn apply(facts: &mut Facts, meta: &Meta) -> Result<()> {
    let key = meta.path().get_ident().map(ToString::to_string).unwrap_or_default();
    match (key.as_str(), meta) {
        ("egress", Meta::Path(_)) => facts.egress = true,
        ("enables", Meta::Path(_)) => facts.enables = true,
        ("secret", Meta::Path(_)) => facts.secret = true,
        ("default", Meta::NameValue(pair)) => {
            facts.default = Some(Literal {
                json: literal(&pair.value)?,
            });
        }
        ("env", Meta::NameValue(pair)) => facts.env.extend(names(&pair.value)?),
        _ => {
            return Err(Error::new(
                meta.span(),
                "#[config] takes default = …, env = \"NAME\", egress, enables and secret",
            ));
        }
    }
    Ok(())
}

/// A literal as JSON text.
fn literal(expr: &Expr) -> Result<String> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => Ok(quoted(&text.value())),
            Lit::Int(number) => Ok(number.base10_digits().to_owned()),
            Lit::Float(number) => Ok(number.base10_digits().to_owned()),
            Lit::Bool(flag) => Ok(flag.value.to_string()),
            _ => Err(wrong_default(expr)),
        },
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_), expr, ..
        }) => Ok(format!("-{}", literal(expr)?)),
        Expr::Array(ExprArray { elems, .. }) => {
            let items: Vec<String> = elems.iter().map(literal).collect::<Result<_>>()?;
            Ok(format!("[{}]", items.join(",")))
        }
        _ => Err(wrong_default(expr)),
    }
}

fn wrong_default(expr: &Expr) -> Error {
    Error::new(
        expr.span(),
        "a default is a literal: a text, a number, true, false, or a list of them in [ ]",
    )
}

fn names(expr: &Expr) -> Result<Vec<LitStr>> {
    match expr {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => Ok(vec![text.clone()]),
        Expr::Array(ExprArray { elems, .. }) => {
            let lists: Vec<Vec<LitStr>> = elems.iter().map(names).collect::<Result<_>>()?;
            Ok(lists.into_iter().flatten().collect())
        }
        _ => Err(Error::new(
            expr.span(),
            "env is a name or a list of names: env = \"PAGER_URL\"",
        )),
    }
}

/// The members of a property after its type.
fn tail(facts: &Facts) -> String {
    let mut text = format!(r#","description":{}"#, quoted(&facts.doc));
    if let Some(default) = &facts.default {
        text.push_str(&format!(r#","default":{}"#, default.json));
    }
    if !facts.env.is_empty() {
        let names: Vec<String> = facts.env.iter().map(|name| quoted(&name.value())).collect();
        text.push_str(&format!(r#","x-env":[{}]"#, names.join(",")));
    }
    for (on, mark) in [
        (facts.egress, "x-egress"),
        (facts.enables, "x-enables"),
        (facts.secret, "x-secret"),
    ] {
        if on {
            text.push_str(&format!(r",{}:true", quoted(mark)));
        }
    }
    text
}

fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text), ..
                }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    lines.collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (at, character) in name.chars().enumerate() {
        if character.is_uppercase() && at > 0 {
            out.push('-');
        }
        out.extend(character.to_lowercase());
    }
    out
}
