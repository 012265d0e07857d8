//! One OpenAPI document from all plugins' declarations.

use serde_json::{Value, json};

use crate::{HOST, lifecycle::Plugins};

impl Plugins {
    /// The merged document: paths of the host, which `own` says, and of every plugin that is not disabled, each operation tagged with
    /// who serves it, component names prefixed with the plugin's id where two plugins use the same name for different things.
    pub fn openapi(&self, own: Vec<Value>) -> Value {
        let mut paths = serde_json::Map::new();
        let mut schemas = serde_json::Map::new();
        let own = own.into_iter().map(|document| (HOST.to_owned(), document));
        let plugins = self.declarations().into_iter();
        let plugins = plugins.map(|(id, code)| (id, code.descriptor().openapi.clone()));
        for (id, mut document) in own.chain(plugins) {
            let clashing: Vec<String> = members(&document, "/components/schemas")
                .filter(|(name, schema)| schemas.get(*name).is_some_and(|old| old != *schema))
                .map(|(name, _)| name.clone())
                .collect();
            for name in clashing {
                rename(&mut document, &name, &format!("{id}.{name}"));
            }
            for (name, schema) in members(&document, "/components/schemas") {
                schemas.insert(name.clone(), schema.clone());
            }
            for (path, item) in members(&document, "/paths") {
                let mut item = item.clone();
                for operation in item
                    .as_object_mut()
                    .into_iter()
                    .flatten()
                    .filter_map(|(_, one)| one.as_object_mut())
                {
                    operation.insert("tags".to_owned(), json!([id]));
                }
                match paths.get_mut(path).and_then(Value::as_object_mut) {
                    Some(old) => old.extend(item.as_object().cloned().unwrap_or_default()),
                    None => {
                        paths.insert(path.clone(), item);
                    }
                }
            }
        }
        json!({
            "openapi": "3.1.0",
            "info": { "title": "Jackfield", "version": env!("CARGO_PKG_VERSION") },
            "paths": paths,
            "components": { "schemas": schemas },
        })
    }
}

fn members<'v>(document: &'v Value, pointer: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    document
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// Renames a component and every reference to it.
fn rename(document: &mut Value, old: &str, new: &str) {
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
        && let Some(schema) = schemas.remove(old)
    {
        schemas.insert(new.to_owned(), schema);
    }
    let (old, new) = (
        format!("#/components/schemas/{old}"),
        format!("#/components/schemas/{new}"),
    );
    point_to(document, &old, &new);
}

fn point_to(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) if text == old => new.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| point_to(item, old, new)),
        Value::Object(map) => map.values_mut().for_each(|item| point_to(item, old, new)),
        _ => {}
    }
}
