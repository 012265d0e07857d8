#![allow(clippy::unwrap_used, clippy::expect_used)]

use http::HeaderMap;
use jackfield_sdk::expr::{Expr, concat, first, form, header, json, text};
use proptest::prelude::*;
use serde_json::{Value, json as value};

use super::Plan;

fn one(expression: &Expr, headers: &[(&str, &str)], body: &str) -> Option<String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    Plan::new(&[Some(expression)])
        .evaluate(&map, body.as_bytes())
        .pop()
        .unwrap()
}

#[test]
fn finds_what_is_asked_for() {
    let body = r#"{"a":{"b":[1,{"c":"x"}],"n":12345678901234567},"t":true,"z":null,"s/l":"slash","~":"tilde"}"#;
    let table = [
        ("/a/b/0", Some("1")),
        ("/a/b/1/c", Some("x")),
        ("/a/n", Some("12345678901234567")),
        ("/t", Some("true")),
        ("/z", None),
        ("/a", None),
        ("/s~1l", Some("slash")),
        ("/~0", Some("tilde")),
        ("/missing", None),
    ];
    for (pointer, expected) in table {
        assert_eq!(one(&json(pointer), &[], body).as_deref(), expected, "{pointer}");
    }
}

#[test]
fn combines() {
    let lane = concat([json("/repo"), text("#"), first([json("/issue"), json("/pull")])]);
    assert_eq!(one(&lane, &[], r#"{"repo":"o/r","pull":7}"#).as_deref(), Some("o/r#7"));
    assert_eq!(one(&lane, &[], r#"{"repo":"o/r"}"#), None);
    assert_eq!(one(&header("X-Id"), &[("x-id", "7")], "").as_deref(), Some("7"));
    assert_eq!(one(&form("a b"), &[], "x=1&a+b=c%20d").as_deref(), Some("c d"));
    assert_eq!(
        one(
            &form("payload").json("/team/id"),
            &[],
            "payload=%7B%22team%22%3A%7B%22id%22%3A5%7D%7D"
        )
        .as_deref(),
        Some("5")
    );
}

#[test]
fn what_is_no_json_yields_nothing() {
    for body in ["", "{\"a\":1", "{\"a\":1} x", "nonsense"] {
        assert_eq!(one(&json("/a"), &[], body), None, "{body}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(one(&json("/a"), &[], &deep), None);
    assert_eq!(one(&json("/a"), &[], r#"{"a":1,"a":2}"#).as_deref(), Some("1"));
    assert_eq!(
        one(&json("/a"), &[], &format!("{{\"a\":\"{}\"}}", "x".repeat(513))),
        None
    );
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/~\"\\\\]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[abc~/]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn pointers(document: &Value, at: &str, all: &mut Vec<(String, Option<String>)>) {
    let scalar = match document {
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    };
    all.push((at.to_owned(), scalar));
    match document {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, item)| pointers(item, &format!("{at}/{n}"), all)),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            let step = key.replace('~', "~0").replace('/', "~1");
            pointers(item, &format!("{at}/{step}"), all);
        }),
        _ => {}
    }
}

proptest! {
    #[test]
    fn agrees_with_a_tree(document in documents()) {
        let mut wanted = Vec::new();
        pointers(&value!({ "root": document.clone() }), "", &mut wanted);
        let text = serde_json::to_vec(&value!({ "root": document })).unwrap();
        let expressions: Vec<Expr> = wanted.iter().map(|(pointer, _)| json(pointer)).collect();
        let plan = Plan::new(&expressions.iter().map(Some).collect::<Vec<_>>());
        let found = plan.evaluate(&HeaderMap::new(), &text);
        let expected: Vec<Option<String>> = wanted.into_iter().map(|(_, value)| value).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let expressions = [json("/a/b"), form("a"), form("a").json("/b"), concat([json("/x"), header("y")])];
        let plan = Plan::new(&expressions.iter().map(Some).collect::<Vec<_>>());
        prop_assert_eq!(plan.evaluate(&HeaderMap::new(), &body).len(), 4);
    }
}
