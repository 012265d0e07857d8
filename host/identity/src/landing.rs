//! Where a browser may go after its sign-in: to a page of ours, and nowhere else.

use url::Url;

/// Path, query and fragment of `wanted`, when that is a page below `base`: an absolute address of the same origin, or a path.
pub(crate) fn on_our_host(wanted: &str, base: &Url) -> Option<String> {
    // Browsers take `\` for `/` and drop tabs and line breaks: `/\evil.example` is another host's.
    let plain = !wanted.is_empty() && !wanted.contains(|c: char| c.is_control() || c == '\\');
    let url = if plain { base.join(wanted).ok()? } else { return None };
    let ours = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
    if !ours {
        return None;
    }
    let mut path = url.path().to_owned();
    // `https://host//evil.example` is ours, but its path alone names another host.
    if path.starts_with("//") {
        return None;
    }
    for (mark, part) in [('?', url.query()), ('#', url.fragment())] {
        if let Some(part) = part {
            path.push(mark);
            path.push_str(part);
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_ours_are_landed_on() {
        let base: Url = "https://app.example.com/".parse().unwrap();
        let ours = [
            ("/", "/"),
            ("/settings?a=1#b", "/settings?a=1#b"),
            ("settings", "/settings"),
            ("https://app.example.com", "/"),
            (
                "https://app.example.com:443/x?login_method=github",
                "/x?login_method=github",
            ),
        ];
        for (wanted, lands) in ours {
            assert_eq!(on_our_host(wanted, &base).as_deref(), Some(lands), "{wanted}");
        }
        let others = [
            "",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
            "https://app.example.com.evil.example/",
            "https://app.example.com@evil.example/",
            "https://me@app.example.com/",
            "http://app.example.com/",
            "https://app.example.com:8443/",
            "https://app.example.com//evil.example",
            "/\t/evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
        ];
        for wanted in others {
            assert_eq!(on_our_host(wanted, &base), None, "{wanted}");
        }
    }
}
