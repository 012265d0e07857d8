use std::collections::BTreeSet;

use jackfield_sdk::error::Fate;
use serde_json::json;

use super::*;

fn write(template: &str, values: Value) -> Result<Letter> {
    let Value::Object(values) = values else {
        panic!("{values}")
    };
    Letters::new().unwrap().write(template, &values, "Acme Cloud")
}

fn refused(template: &str, values: Value) -> String {
    let error = write(template, values).unwrap_err();
    assert_eq!(error.fate(), Fate::Permanent);
    error.to_string()
}

fn example(source: &Source) -> Value {
    let values = source.needs.iter().chain(source.may).map(|name| {
        let value = if *name == "link" {
            "https://app.example/x?a=1&b=2"
        } else {
            name
        };
        ((*name).to_owned(), Value::from(value))
    });
    Value::Object(values.collect())
}

#[test]
fn what_a_source_names_is_what_it_uses() {
    let engine = Environment::new();
    for source in &SOURCES {
        let pieces = [&source.subject].into_iter().chain(source.before).chain(source.after);
        let used: BTreeSet<String> = pieces
            .flat_map(|piece| engine.template_from_str(piece).unwrap().undeclared_variables(false))
            .collect();
        let named = source.needs.iter().chain(source.may).map(|name| (*name).to_owned());
        let mut named: BTreeSet<String> = named.collect();
        assert!(named.remove("link") && named.insert("product".to_owned()));
        assert_eq!(used, named, "{}", source.name);
    }
}

#[test]
fn every_template_is_written_with_and_without_what_may_be_there() {
    let letters = Letters::new().unwrap();
    for source in &SOURCES {
        let mut values = example(source);
        let full = write(source.name, values.clone()).unwrap();
        for name in source.may {
            values.as_object_mut().unwrap().remove(*name);
        }
        let least = write(source.name, values).unwrap();
        for letter in [&full, &least] {
            let (text, html) = (letters.text(letter).unwrap(), letters.html(letter).unwrap());
            assert!(text.contains("\nhttps://app.example/x?a=1&b=2\n"), "{text}");
            assert!(
                html.contains("href=\"https:&#x2f;&#x2f;app.example&#x2f;x?a=1&amp;b=2\""),
                "{html}"
            );
            assert!(html.contains("<html lang=\"en\">") && html.contains("<h1"), "{html}");
            for made in [&text, &html] {
                assert!(!made.contains("{{") && !made.contains("{%"), "{made}");
            }
        }
        assert_eq!(full == least, source.may.is_empty(), "{}", source.name);
    }
}

#[test]
fn the_text_of_a_mail_reads_well() {
    let letters = Letters::new().unwrap();
    let letter = write(
        "sign-in-link",
        json!({ "link": "https://app.example/s/1", "expires_in": "15 minutes" }),
    );
    let letter = letter.unwrap();
    assert_eq!(letter.subject, "Sign in to Acme Cloud");
    assert_eq!(
        letters.text(&letter).unwrap(),
        "Somebody, hopefully you, asked for a link to sign in to Acme Cloud.\n\n\
         Sign in:\nhttps://app.example/s/1\n\n\
         The link works once, within 15 minutes. Do not pass it on: whoever has it can sign in as you.\n\n\
         If you did not ask for it, you need not do anything.\n"
    );
}

#[test]
fn values_are_escaped_in_html_and_stay_in_one_line() {
    let values = json!({
        "inviter": "<script>alert(1)</script>\r\nBcc: all@example.com",
        "organization": "A & \"B\"",
        "link": "https://app.example/<i>",
    });
    let letter = write("invitation", values).unwrap();
    assert!(!letter.subject.contains(['\r', '\n']), "{}", letter.subject);
    let letters = Letters::new().unwrap();
    let html = letters.html(&letter).unwrap();
    assert!(!html.contains("<script>") && !html.contains("<i>"), "{html}");
    assert!(
        html.contains("&lt;script&gt;") && html.contains("A &amp; &quot;B&quot;"),
        "{html}"
    );
    assert!(letters.text(&letter).unwrap().contains("join A & \"B\" on Acme Cloud"));
}

#[test]
fn what_is_missing_or_cannot_be_used_is_named() {
    let with = |name: &str, value: Value| {
        let mut values = json!({ "inviter": "Ada", "organization": "Acme", "link": "https://app.example/1" });
        values[name] = value;
        values
    };
    for value in [Value::Null, json!(""), json!("  \n")] {
        assert_eq!(
            refused("invitation", with("organization", value)),
            "template `invitation` needs the value `organization`, which is missing"
        );
    }
    assert!(refused("verify-email", json!({})).contains("needs the value `link`"));
    for (name, value, what) in [
        (
            "inviter",
            json!(["Ada"]),
            "`inviter` of template `invitation` is neither a text nor a number",
        ),
        ("inviter", json!("a".repeat(201)), "longer than 200 characters"),
        (
            "role",
            json!("a\u{7}"),
            "`role` of template `invitation` holds a control character",
        ),
        (
            "link",
            json!("javascript:alert(1)"),
            "`link` of template `invitation` is no http address",
        ),
        ("link", json!("/relative"), "is no http address"),
    ] {
        let said = refused("invitation", with(name, value));
        assert!(said.contains(what), "{said}");
    }
    assert_eq!(
        refused("welcome", json!({})),
        "there is no template `welcome`; there are sign-in-link, verify-email, email-changed, invitation"
    );
}
