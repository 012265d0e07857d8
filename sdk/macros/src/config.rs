//! `#[derive(Config)]`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Error, Expr, ExprArray, ExprLit, ExprUnary, Field, Fields, Ident, Lit,
    LitStr, Meta, Result, Token, UnOp, ext::IdentExt, punctuated::Punctuated, spanned::Spanned,
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

/// A default as JSON, with where it stands.
struct Literal {
    json: String,
    /// JSON Schema's name of its type.
    kind: &'static str,
    span: Span,
}

pub(crate) fn expand(item: DeriveInput) -> Result<TokenStream> {
    if !item.generics.params.is_empty() {
        return Err(Error::new(
            item.generics.span(),
            "a configuration has no parameters, because its schema is one text; write out the types of its fields",
        ));
    }
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
            "a configuration has named fields; write `struct Settings { name: String }`",
        )),
    }
}

fn expand_struct<'f>(item: &DeriveInput, fields: impl Iterator<Item = &'f Field>) -> Result<TokenStream> {
    let this = &item.ident;
    let (mut properties, mut required, mut names, mut reads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut idents: Vec<&Ident> = Vec::new();
    let mut fits = Vec::new();
    for field in fields {
        let Some(name) = &field.ident else { continue };
        let facts = facts(field, name)?;
        let (text, ty) = (name.unraw().to_string(), &field.ty);
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
                let (json, kind) = (&default.json, default.kind);
                fits.push(quote_spanned! {default.span=>
                    const _: () = assert!(
                        ::jackfield_sdk::config::default_fits(
                            <#ty as ::jackfield_sdk::config::ConfigField>::SCHEMA, #kind),
                        "this default has another type than its field; write a text for a text, a number for a number"
                    );
                });
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
        #(#fits)*

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
    if data.variants.is_empty() {
        return Err(Error::new(
            this.span(),
            "a setting needs something to choose from; write `enum Mode { Fast, Safe }`",
        ));
    }
    let mut names = Vec::new();
    let mut variants: Vec<&Ident> = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new(
                variant.span(),
                "a setting's choices carry no fields; write `enum Mode { Fast, Safe }`",
            ));
        }
        names.push(kebab(&variant.ident.unraw().to_string()));
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
            let (json, kind) = literal(&pair.value)?;
            facts.default = Some(Literal {
                json,
                kind,
                span: pair.value.span(),
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

/// A literal as JSON text, and JSON Schema's name of its type.
fn literal(expr: &Expr) -> Result<(String, &'static str)> {
    match expr {
        Expr::Lit(ExprLit { lit, .. }) => match lit {
            Lit::Str(text) => Ok((quoted(&text.value()), "string")),
            Lit::Int(number) => Ok((number.base10_digits().to_owned(), "integer")),
            // Rust takes `1.`, JSON does not.
            Lit::Float(number) if number.base10_digits().ends_with('.') => {
                Ok((format!("{}0", number.base10_digits()), "number"))
            }
            Lit::Float(number) => Ok((number.base10_digits().to_owned(), "number")),
            Lit::Bool(flag) => Ok((flag.value.to_string(), "boolean")),
            _ => Err(wrong_default(expr)),
        },
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_),
            expr: inner,
            ..
        }) if matches!(**inner, Expr::Lit(_)) => match literal(inner)? {
            (number, kind @ ("integer" | "number")) => Ok((format!("-{number}"), kind)),
            _ => Err(wrong_default(expr)),
        },
        Expr::Array(ExprArray { elems, .. }) => {
            let items: Vec<String> = elems
                .iter()
                .map(|item| literal(item).map(|(json, _)| json))
                .collect::<Result<_>>()?;
            Ok((format!("[{}]", items.join(",")), "array"))
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
        }) => environment_name(text).map(|()| vec![text.clone()]),
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

fn environment_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let fits = text.starts_with(|first: char| first.is_ascii_uppercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if fits {
        return Ok(());
    }
    let message =
        format!("`{text}` is no variable name; write upper-case letters, digits and `_`, such as \"PAGER_URL\"");
    Err(Error::new(name.span(), message))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_json_string(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }

        #[test]
        fn the_members_of_any_field_are_json(doc in any::<String>(), default in any::<String>(), name in "[A-Z][A-Z0-9_]{0,20}") {
            let facts = Facts {
                doc: doc.clone(),
                default: Some(Literal { json: quoted(&default), kind: "string", span: Span::call_site() }),
                env: vec![LitStr::new(&name, Span::call_site())],
                egress: true,
                enables: true,
                secret: true,
            };
            let schema: Value = serde_json::from_str(&format!("{{\"type\":\"string\"{}}}", tail(&facts))).unwrap();
            prop_assert_eq!(&schema["description"], &Value::from(doc));
            prop_assert_eq!(&schema["default"], &Value::from(default));
            prop_assert_eq!(&schema["x-env"][0], &Value::from(name));
        }

        #[test]
        fn any_number_is_a_json_number(number in any::<f64>().prop_filter("literals are finite", |number| number.is_finite())) {
            let expr: Expr = syn::parse_str(&format!("{number:?}")).unwrap();
            let (json, kind) = literal(&expr).unwrap();
            prop_assert_eq!(kind, "number");
            prop_assert!(serde_json::from_str::<Value>(&json).unwrap().is_f64());
            prop_assert_eq!(json.parse::<f64>().unwrap().to_bits(), number.to_bits());
        }
    }

    #[test]
    fn literals() {
        for (rust, json) in [
            ("1.", "1.0"),
            ("-0x10", "-16"),
            ("1_000u64", "1000"),
            ("[\"a\", \"b\"]", "[\"a\",\"b\"]"),
            ("true", "true"),
        ] {
            assert_eq!(literal(&syn::parse_str(rust).unwrap()).unwrap().0, json, "{rust}");
        }
        for rust in ["-\"a\"", "-true", "--1", "'c'", "b\"a\"", "f()", "A", "[1, f()]", "(1)"] {
            assert!(literal(&syn::parse_str(rust).unwrap()).is_err(), "{rust}");
        }
    }
}
