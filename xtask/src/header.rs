//! `sdk/abi/include/jackfield.h`: the boundary for authors in C, made from `sdk/abi/src/lib.rs`, so that the two cannot
//! differ. It is committed, because an author in C has no use for our build; `lint` checks that it is in step.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use anyhow::{Context, Result, bail};
use syn::{
    Attribute, BareFnArg, Expr, ExprLit, Fields, GenericArgument, Item, ItemStruct, Lit, PathArguments, ReturnType,
    Type, TypeBareFn,
};

use crate::root;

/// What C has and the boundary's source cannot say.
const TAIL: &str = r#"
/* What a manifest and an entry are declared with. */
#define JACKFIELD_EXPORT __attribute__((visibility("default")))

/* The target triple that a manifest names. */
#if defined(__x86_64__)
#define JACKFIELD_ARCH "x86_64"
#elif defined(__aarch64__)
#define JACKFIELD_ARCH "aarch64"
#elif defined(__riscv) && __riscv_xlen == 64
#define JACKFIELD_ARCH "riscv64"
#endif
#if defined(__GLIBC__)
#define JACKFIELD_TARGET JACKFIELD_ARCH "-unknown-linux-gnu"
#else
#define JACKFIELD_TARGET JACKFIELD_ARCH "-unknown-linux-musl"
#endif

#ifdef __cplusplus
}
#endif

#endif
"#;

/// Writes it.
pub(crate) fn write() -> Result<()> {
    let (path, text) = (place(), make()?);
    std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Fails when the committed one is not what the source says.
pub(crate) fn check() -> Result<()> {
    if std::fs::read_to_string(place()).is_ok_and(|text| make().is_ok_and(|made| made == text)) {
        return Ok(());
    }
    bail!("sdk/abi/include/jackfield.h is not in step with sdk/abi/src/lib.rs; run `cargo xtask header`")
}

fn place() -> PathBuf {
    root().join("sdk/abi/include/jackfield.h")
}

fn make() -> Result<String> {
    header(&std::fs::read_to_string(root().join("sdk/abi/src/lib.rs"))?)
}

/// The header of a source that keeps to what the boundary is made of: constants, `repr(C)` structs, function pointers.
fn header(source: &str) -> Result<String> {
    let file = syn::parse_file(source)?;
    let names = Names::of(&file.items);
    let mut text = String::from("/* Made from sdk/abi/src/lib.rs by `cargo xtask header`; a change here is lost.\n");
    for line in docs(&file.attrs) {
        let line = names.links(&line);
        writeln!(text, "{}", format!(" * {line}").trim_end())?;
    }
    text.push_str(" */\n#ifndef JACKFIELD_H\n#define JACKFIELD_H\n\n#include <stddef.h>\n#include <stdint.h>\n\n");
    text.push_str("#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    for name in file
        .items
        .iter()
        .filter_map(structure)
        .map(|one| names.c(&one.ident.to_string()))
    {
        writeln!(text, "typedef struct {name} {name};")?;
    }
    for item in &file.items {
        match item {
            Item::Const(one) => {
                let value = constant(&one.expr)?;
                let name = names.c(&one.ident.to_string());
                write!(text, "\n{}#define {name} {value}\n", comment(&names, &one.attrs, ""))?;
            }
            Item::Struct(one) => {
                let name = names.c(&one.ident.to_string());
                write!(text, "\n{}struct {name} {{\n", comment(&names, &one.attrs, ""))?;
                let Fields::Named(fields) = &one.fields else {
                    bail!("`{name}` has no named fields")
                };
                for field in &fields.named {
                    let member = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
                    text.push_str(&comment(&names, &field.attrs, "    "));
                    writeln!(text, "    {};", names.declare(&field.ty, &member)?)?;
                }
                text.push_str("};\n");
            }
            Item::Type(one) => {
                let name = names.c(&one.ident.to_string());
                text.push_str(&format!("\n{}", comment(&names, &one.attrs, "")));
                writeln!(text, "typedef {};", names.declare(&one.ty, &name)?)?;
            }
            _ => {}
        }
    }
    text.push_str(TAIL);
    Ok(text)
}

fn structure(item: &Item) -> Option<&ItemStruct> {
    match item {
        Item::Struct(one) => Some(one),
        _ => None,
    }
}

fn constant(value: &Expr) -> Result<String> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(number), ..
        }) => Ok(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => Ok(format!("{:?}", text.value())),
        _ => bail!("a constant of the boundary is a number or a text"),
    }
}

/// The text of doc comments.
fn docs(attributes: &[Attribute]) -> Vec<String> {
    let text = |attribute: &Attribute| match &attribute.meta.require_name_value().ok()?.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => Some(text.value()),
        _ => None,
    };
    let lines = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(text);
    lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect()
}

fn comment(names: &Names, attributes: &[Attribute], indent: &str) -> String {
    let lines: Vec<String> = docs(attributes).iter().map(|line| names.links(line)).collect();
    match lines.as_slice() {
        [] => String::new(),
        lines => format!("{indent}/* {} */\n", lines.join(&format!("\n{indent} * "))),
    }
}

/// What is called how in C.
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(items: &[Item]) -> Self {
        let c = |item: &Item| match item {
            Item::Const(one) => Some((one.ident.to_string(), format!("JACKFIELD_{}", one.ident))),
            Item::Struct(one) => Some((
                one.ident.to_string(),
                format!("jackfield_{}", snake(&one.ident.to_string())),
            )),
            Item::Type(one) => Some((
                one.ident.to_string(),
                format!("jackfield_{}", snake(&one.ident.to_string())),
            )),
            _ => None,
        };
        Self(items.iter().filter_map(c).collect())
    }

    fn c(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// Links of a doc comment, by the names that C has.
    fn links(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (rust, c) in &self.0 {
            text = text.replace(&format!("[`{rust}`]"), c);
            text = text.replace(&format!("[`{rust}::"), &format!("[`{c}."));
        }
        text.replace("[`", "`").replace("`]", "`")
    }

    /// A declaration of `name`.
    fn declare(&self, ty: &Type, name: &str) -> Result<String> {
        if let Type::BareFn(function) = ty {
            return self.function(function, name);
        }
        if let Type::Path(path) = ty
            && let Some(last) = path.path.segments.last()
            && last.ident == "Option"
            && let PathArguments::AngleBracketed(inside) = &last.arguments
            && let Some(GenericArgument::Type(Type::BareFn(function))) = inside.args.first()
        {
            return self.function(function, name);
        }
        let ty = self.plain(ty)?;
        let space = if ty.ends_with('*') { "" } else { " " };
        Ok(format!("{ty}{space}{name}"))
    }

    fn function(&self, function: &TypeBareFn, name: &str) -> Result<String> {
        let result = match &function.output {
            ReturnType::Default => "void ".to_owned(),
            ReturnType::Type(_, ty) => self.declare(ty, "")?,
        };
        let argument = |one: &BareFnArg| {
            let name = one.name.as_ref().map(|(name, _)| name.to_string()).unwrap_or_default();
            self.declare(&one.ty, &name)
        };
        let arguments = function.inputs.iter().map(argument).collect::<Result<Vec<_>>>()?;
        let arguments = match arguments.is_empty() {
            true => "void".to_owned(),
            false => arguments.join(", "),
        };
        Ok(format!("{result}(*{name})({arguments})"))
    }

    fn plain(&self, ty: &Type) -> Result<String> {
        match ty {
            Type::Ptr(pointer) => {
                let to = self.plain(&pointer.elem)?;
                let constant = if pointer.const_token.is_some() { "const " } else { "" };
                Ok(format!("{constant}{to} *"))
            }
            Type::Path(path) => {
                let name = path
                    .path
                    .segments
                    .last()
                    .map(|last| last.ident.to_string())
                    .unwrap_or_default();
                let c = match name.as_str() {
                    "usize" => "size_t",
                    "u8" => "uint8_t",
                    "u32" => "uint32_t",
                    "u64" => "uint64_t",
                    "i64" => "int64_t",
                    "f64" => "double",
                    "c_void" => "void",
                    _ => {
                        return self
                            .0
                            .get(&name)
                            .cloned()
                            .with_context(|| format!("C has no type for `{name}`"));
                    }
                };
                Ok(c.to_owned())
            }
            _ => bail!("a type of the boundary is a number, a pointer, a struct or a function pointer"),
        }
    }
}

/// `RequestHead` as `request_head`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_header_is_in_step() {
        check().unwrap();
    }

    #[test]
    fn each_kind_of_item_has_its_declaration() {
        let made = header(
            "//! A boundary.\n/// One.\npub const ONE: u32 = 1;\npub const TEXT: &str = \"a\\\"b\";\n\
             /// Holds [`ONE`]; see [`TwoWords::free`].\n#[repr(C)]\npub struct TwoWords {\n/// First.\npub ptr: *const u8,\n\
             pub free: Option<unsafe extern \"C\" fn(owner: *mut c_void)>,\n\
             pub make: unsafe extern \"C\" fn(of: *const TwoWords, len: usize) -> TwoWords,\n\
             pub name: unsafe extern \"C\" fn() -> *const TwoWords }\n\
             pub type EntryFn = unsafe extern \"C\" fn() -> *const TwoWords;\n",
        )
        .unwrap();
        for expected in [
            " * A boundary.\n */\n",
            "typedef struct jackfield_two_words jackfield_two_words;\n",
            "/* One. */\n#define JACKFIELD_ONE 1\n",
            "#define JACKFIELD_TEXT \"a\\\"b\"\n",
            "/* Holds JACKFIELD_ONE; see `jackfield_two_words.free`. */\nstruct jackfield_two_words {\n",
            "    /* First. */\n    const uint8_t *ptr;\n",
            "    void (*free)(void *owner);\n",
            "    jackfield_two_words (*make)(const jackfield_two_words *of, size_t len);\n",
            "    const jackfield_two_words *(*name)(void);\n",
            "typedef const jackfield_two_words *(*jackfield_entry_fn)(void);\n",
        ] {
            assert!(made.contains(expected), "{expected:?} is missing in\n{made}");
        }
        assert!(header("pub struct A { pub text: String }").is_err());
    }
}
