//! `plugins.toml` of a plugin that is being written.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Table, value};

/// The author's file with the plugin `id` taken from `built`. Relative paths start in `directory`, where the author's file is.
/// What the plugin asks for is granted unless the author's file says what is.
pub fn with_file(
    text: &str,
    directory: &Path,
    id: &str,
    built: &Path,
    asks_for: &[String],
) -> Result<String, toml_edit::TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let plugins = document.entry("plugins").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let Some(plugins) = plugins.as_table_like_mut() else {
        return Ok(document.to_string());
    };
    for (_, entry) in plugins.iter_mut() {
        let path = entry.as_table_like_mut().and_then(|entry| entry.get_mut("path"));
        if let Some(path) = path
            && let Some(relative) = path.as_str()
        {
            *path = value(directory.join(relative).display().to_string());
        }
    }
    let entry = plugins.entry(id).or_insert_with(|| Item::Table(Table::new()));
    if let Some(entry) = entry.as_table_like_mut() {
        entry.insert("carrier", value("dylib"));
        entry.insert("path", value(built.display().to_string()));
        // A pin is for a file that is finished.
        entry.remove("sha256");
        if entry.get("capabilities").is_none() {
            entry.insert("capabilities", value(asks_for.iter().collect::<Array>()));
        }
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_authors_file_stays_and_names_what_was_built() {
        let text = "# mine\n[plugins.door]\npath = \"elsewhere.so\"\ncarrier = \"dylib\"\nsha256 = \"00\"\n\
                    [plugins.door.config]\ngreeting = \"Hi\"\n[plugins.other]\ncarrier = \"dylib\"\npath = \"other.so\"\n";
        let made = with_file(
            text,
            Path::new("/here"),
            "door",
            Path::new("/built/libdoor.so"),
            &["kv".to_owned()],
        );
        assert_eq!(
            made.unwrap(),
            "# mine\n[plugins.door]\npath = \"/built/libdoor.so\"\ncarrier = \"dylib\"\ncapabilities = [\"kv\"]\n\
             [plugins.door.config]\ngreeting = \"Hi\"\n[plugins.other]\ncarrier = \"dylib\"\npath = \"/here/other.so\"\n"
        );
    }

    #[test]
    fn a_plugin_that_is_not_named_is_added_and_a_grant_stays() {
        let (here, built) = (Path::new("/here"), Path::new("/built/libdoor.so"));
        let made = with_file("", here, "door", built, &["kv".to_owned(), "jobs".to_owned()]).unwrap();
        assert_eq!(
            made,
            "[plugins.door]\ncarrier = \"dylib\"\npath = \"/built/libdoor.so\"\ncapabilities = [\"kv\", \"jobs\"]\n"
        );
        let less = with_file(
            "[plugins.door]\ncapabilities = []\n",
            here,
            "door",
            built,
            &["kv".to_owned()],
        )
        .unwrap();
        assert!(less.contains("capabilities = []"), "{less}");
        assert!(with_file("[plugins", here, "door", built, &[]).is_err());
    }
}
