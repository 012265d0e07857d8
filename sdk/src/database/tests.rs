#![allow(clippy::unwrap_used)]

use super::*;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Loud,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Id(i64);

#[derive(Debug, PartialEq, Deserialize)]
struct Note {
    id: Id,
    text: Option<String>,
    done: bool,
    kind: Kind,
    size: f64,
    raw: Vec<u8>,
    #[serde(default)]
    extra: u8,
}

fn rows(columns: &[&str], rows: Vec<Vec<Value>>) -> Rows {
    Rows {
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        affected: rows.len() as u64,
        rows,
    }
}

#[test]
fn a_row_reads_as_a_struct_a_tuple_or_its_only_value() {
    let note = rows(
        &["id", "text", "done", "kind", "size", "raw", "not_asked_for"],
        vec![vec![
            7.into(),
            Value::Null,
            Value::Int(1),
            "loud".into(),
            1.5.into(),
            vec![1_u8, 2].into(),
            Value::Null,
        ]],
    );
    let expected = Note {
        id: Id(7),
        text: None,
        done: true,
        kind: Kind::Loud,
        size: 1.5,
        raw: vec![1, 2],
        extra: 0,
    };
    assert_eq!(note.read::<Note>().unwrap(), [expected]);
    let pairs = rows(
        &["a", "b"],
        vec![vec![1.into(), "x".into()], vec![2.into(), "y".into()]],
    );
    let read: Vec<(i64, String)> = pairs.read().unwrap();
    assert_eq!(read, [(1, "x".to_owned()), (2, "y".to_owned())]);
    assert_eq!(rows(&["n"], vec![vec![3.into()]]).read::<u16>().unwrap(), [3]);
    assert_eq!(
        rows(&["n"], vec![vec![Value::Null]]).read::<Option<i64>>().unwrap(),
        [None]
    );
    assert_eq!(
        rows(&["b"], vec![vec![Value::Bool(true)]]).read::<bool>().unwrap(),
        [true]
    );
    let blob = rows(&["b"], vec![vec![Value::Blob(Bytes::from_static(b"x"))]]);
    assert_eq!(blob.read::<Bytes>().unwrap(), ["x"]);
}

#[test]
fn a_row_that_does_not_fit_names_its_columns_and_not_its_values() {
    let error = rows(&["id", "text"], vec![vec!["canary".into(), "canary".into()]])
        .read::<Note>()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("(id, text)") && error.contains("a text stands"),
        "{error}"
    );
    assert!(!error.contains("canary"), "{error}");
    let error = rows(&["a", "b"], vec![vec![1.into(), 2.into()]])
        .read::<i64>()
        .unwrap_err();
    assert!(error.to_string().contains("2 columns"), "{error}");
    let error = rows(&["n"], vec![vec![300.into()]]).read::<u8>().unwrap_err();
    assert!(error.to_string().contains("does not fit"), "{error}");
}
