//! Keycloak's pages, as far as a person uses them: forms, links, and what they say.

/// A form: where it goes, and what it sends by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) action: String,
    pub(super) fields: Vec<(String, String)>,
}

/// The form with this `id`.
pub(super) fn form(page: &str, id: &str) -> Option<Form> {
    let begin = tags(page, "form").find(|tag| tag.value("id").as_deref() == Some(id))?;
    let rest = &page[begin.at..];
    let inside = rest.split_once("</form>").map_or(rest, |(inside, _)| inside);
    let hidden = tags(inside, "input").filter(|tag| tag.value("type").as_deref() == Some("hidden"));
    Some(Form {
        action: begin.value("action")?,
        fields: hidden
            .filter_map(|tag| Some((tag.value("name")?, tag.value("value").unwrap_or_default())))
            .collect(),
    })
}

/// Where the link with this `id` leads.
pub(super) fn link(page: &str, id: &str) -> Option<String> {
    let tag = tags(page, "a").find(|tag| tag.value("id").as_deref() == Some(id))?;
    tag.value("href")
}

/// Where the first link leads whose address holds `part`.
pub(super) fn link_to(page: &str, part: &str) -> Option<String> {
    tags(page, "a")
        .filter_map(|tag| tag.value("href"))
        .find(|address| address.contains(part))
}

/// An opening tag.
struct Tag<'p> {
    /// Where in the page.
    at: usize,
    /// Its attributes.
    inside: &'p str,
}

impl Tag<'_> {
    fn value(&self, attribute: &str) -> Option<String> {
        let wanted = format!("{attribute}=\"");
        let at = self.inside.match_indices(&wanted).find(|(at, _)| {
            let before = self.inside[..*at].chars().next_back();
            before.is_some_and(char::is_whitespace)
        })?;
        let value = &self.inside[at.0 + wanted.len()..];
        let value = value.split('"').next()?;
        Some(
            value
                .replace("&quot;", "\"")
                .replace("&#39;", "'")
                .replace("&amp;", "&"),
        )
    }
}

/// Every opening tag of this name.
fn tags<'p>(page: &'p str, name: &str) -> impl Iterator<Item = Tag<'p>> {
    let begin = format!("<{name}");
    let found: Vec<usize> = page.match_indices(&begin).map(|(at, _)| at).collect();
    found.into_iter().filter_map(move |at| {
        let rest = &page[at + begin.len()..];
        rest.starts_with(char::is_whitespace).then(|| Tag {
            at,
            inside: rest.split('>').next().unwrap_or(rest),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<form id="other" action="/no"></form>
        <form class="x" id="kc-form-login" onsubmit="return true;" action="http://k/auth?a=1&amp;b=2" method="post">
        <input name="username" type="text"><input type="hidden" id="h" name="credentialId" data-value="7" value=""/></form>
        <input type="hidden" name="outside" value="1">
        <abbr id="social-github" href="/no"></abbr><a data-once-link id="social-github" href="/broker?x=1&amp;y=2">GitHub</a>"#;

    #[test]
    fn finds_the_form_and_the_link() {
        let found = form(PAGE, "kc-form-login").unwrap();
        assert_eq!(found.action, "http://k/auth?a=1&b=2");
        assert_eq!(found.fields, [("credentialId".to_owned(), String::new())]);
        assert_eq!(link(PAGE, "social-github").unwrap(), "/broker?x=1&y=2");
        assert_eq!(form(PAGE, "none"), None);
        assert_eq!(link(PAGE, "kc-form-login"), None);
    }
}
