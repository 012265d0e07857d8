//! Where a plugin may declare paths: below its own prefix, and where `plugins.toml` grants it. Declarations are known only
//! when a file is loaded, and grants change without it, so this is asked again for every generation.

use jackfield_sdk::descriptor::Descriptor;

/// The first declared path that a plugin with these capabilities may not have.
pub(crate) fn outside<'d>(id: &str, descriptor: &'d Descriptor, granted: &[String]) -> Option<&'d str> {
    let routes = descriptor.routes.iter().map(|route| route.path.as_str());
    let hooks = descriptor.webhooks.iter().map(|hook| hook.path.as_str());
    routes.chain(hooks).find(|path| !may_declare(id, granted, path))
}

fn may_declare(id: &str, capabilities: &[String], path: &str) -> bool {
    let below = |prefix: &str| path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
    let granted = |capability: &String| {
        let pattern = capability.strip_prefix("routes:")?;
        Some(pattern.strip_suffix("/*").map_or(path == pattern, below))
    };
    below(&format!("/{id}")) || capabilities.iter().filter_map(granted).any(|open| open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_owns_its_prefix_and_what_is_granted() {
        let granted = [
            "kv".to_owned(),
            "routes:/integration/github/*".to_owned(),
            "routes:/one".to_owned(),
        ];
        for (path, may) in [
            ("/pager", true),
            ("/pager/ring", true),
            ("/pagers", false),
            ("/", false),
            ("/integration/github/events", true),
            ("/integration/githubs", false),
            ("/one", true),
            ("/one/more", false),
        ] {
            assert_eq!(may_declare("pager", &granted, path), may, "{path}");
        }
        assert!(!may_declare("pager", &[], "/integration/github/events"));
    }
}
