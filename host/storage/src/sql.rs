//! Reads SQL far enough to tell statements apart: what a plugin may run, how many parameters it needs, and where one
//! statement of a migration ends. It prevents accidents; the database itself is the judge of the rest.

use jackfield_sdk::{database::Dialect, service::ServiceError};

/// What a plugin's statement may begin with: nothing that reaches beyond its transaction or its own database.
const ALLOWED: [&str; 9] = [
    "SELECT", "VALUES", "WITH", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP",
];
/// What a migration may begin with besides.
const IN_MIGRATIONS: [&str; 3] = ["COMMENT", "DO", "REINDEX"];
/// Functions that would reach out of the transaction: one loads code, the others change or lock the pooled connection.
const FUNCTIONS: [&str; 6] = [
    "LOAD_EXTENSION",
    "SET_CONFIG",
    "PG_ADVISORY_LOCK",
    "PG_ADVISORY_LOCK_SHARED",
    "PG_TRY_ADVISORY_LOCK",
    "PG_TRY_ADVISORY_LOCK_SHARED",
];

/// Checks one statement of a plugin with `params` parameters.
pub(crate) fn admit(sql: &str, params: usize, dialect: Dialect) -> Result<(), ServiceError> {
    check(sql, &ALLOWED, dialect)?;
    let mut highest = 0;
    for token in tokens(sql, dialect) {
        match token.kind {
            Kind::Parameter(0) => return Err(ServiceError::invalid("parameters begin with $1")),
            Kind::Parameter(number) => highest = highest.max(number),
            Kind::Question if dialect == Dialect::Sqlite => {
                return Err(ServiceError::invalid(
                    "write parameters as $1, $2, …; they work on both databases",
                ));
            }
            _ => {}
        }
    }
    if highest == params {
        return Ok(());
    }
    Err(ServiceError::invalid(format!(
        "the statement names {highest} parameters and {params} are bound"
    )))
}

/// The statements of a migration, each checked.
pub(crate) fn statements(text: &str, dialect: Dialect) -> Result<Vec<&str>, ServiceError> {
    let allowed: Vec<&str> = ALLOWED.into_iter().chain(IN_MIGRATIONS).collect();
    let all = split(text, dialect);
    for sql in &all {
        check(sql, &allowed, dialect)?;
    }
    Ok(all)
}

/// Whether it only reads.
pub(crate) fn only_reads(sql: &str, dialect: Dialect) -> bool {
    let writes = |token: Token<'_>| {
        let is = |word: &str| token.text.eq_ignore_ascii_case(word);
        token.kind == Kind::Word && ["INSERT", "UPDATE", "DELETE"].into_iter().any(is)
    };
    match first_word(sql, dialect).as_str() {
        "SELECT" | "VALUES" => true,
        "WITH" => !tokens(sql, dialect).any(writes),
        _ => false,
    }
}

fn check(sql: &str, allowed: &[&str], dialect: Dialect) -> Result<(), ServiceError> {
    let word = first_word(sql, dialect);
    if !allowed.contains(&word.as_str()) {
        return Err(ServiceError::invalid(format!(
            "a plugin may not run `{word}`; it may run {}",
            allowed.join(", ")
        )));
    }
    if split(sql, dialect).len() > 1 {
        return Err(ServiceError::invalid(
            "one statement per call; `batch` runs several in one transaction",
        ));
    }
    let function = tokens(sql, dialect)
        .filter(|token| token.kind == Kind::Word)
        .find_map(|token| FUNCTIONS.into_iter().find(|name| token.text.eq_ignore_ascii_case(name)));
    match function {
        Some(name) => Err(ServiceError::invalid(format!(
            "a plugin may not call {}: it would reach out of its transaction",
            name.to_ascii_lowercase()
        ))),
        None => Ok(()),
    }
}

fn first_word(sql: &str, dialect: Dialect) -> String {
    match tokens(sql, dialect).next() {
        Some(token) if token.kind == Kind::Word => token.text.to_ascii_uppercase(),
        _ => String::new(),
    }
}

/// Statements without their semicolons; empty ones are left out.
fn split(text: &str, dialect: Dialect) -> Vec<&str> {
    let mut all = Vec::new();
    let (mut start, mut words, mut body, mut depth) = (None, 0, false, 0_i32);
    for token in tokens(text, dialect) {
        if token.kind == Kind::Semicolon && depth <= 0 {
            if let Some(from) = start.take() {
                all.push(text[from..token.at].trim_end());
            }
            (words, body, depth) = (0, false, 0);
            continue;
        }
        start.get_or_insert(token.at);
        if token.kind != Kind::Word {
            continue;
        }
        words += 1;
        let is = |word: &str| token.text.eq_ignore_ascii_case(word);
        // CREATE [OR REPLACE | TEMP] TRIGGER … BEGIN …; …; END holds statements of its own.
        body |= words <= 4 && ["TRIGGER", "FUNCTION", "PROCEDURE"].into_iter().any(is);
        if body && (is("BEGIN") || is("CASE")) {
            depth += 1;
        } else if body && is("END") {
            depth -= 1;
        }
    }
    all.extend(start.map(|from| text[from..].trim_end()));
    all
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    /// `$1`.
    Parameter(usize),
    /// `?`, SQLite's own placeholder and an operator of PostgreSQL.
    Question,
    Semicolon,
    Other,
}

struct Token<'t> {
    kind: Kind,
    at: usize,
    text: &'t str,
}

/// Tokens without blanks and comments. What is quoted is one token.
fn tokens(text: &str, dialect: Dialect) -> impl Iterator<Item = Token<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &text[at..];
            let first = rest.chars().next()?;
            let (length, kind) = next(rest, first, dialect);
            let begun = at;
            at += length;
            if let Some(kind) = kind {
                return Some(Token {
                    kind,
                    at: begun,
                    text: &rest[..length],
                });
            }
        }
    })
}

/// Length of what comes next, and what it is; none for blanks and comments.
fn next(rest: &str, first: char, dialect: Dialect) -> (usize, Option<Kind>) {
    let sqlite = dialect == Dialect::Sqlite;
    let upto = |end: Option<usize>| end.unwrap_or(rest.len());
    let word = |from: usize| {
        upto(
            rest[from..]
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .map(|end| from + end),
        )
    };
    match first {
        c if c.is_whitespace() => (c.len_utf8(), None),
        '-' if rest.starts_with("--") => (upto(rest.find('\n')), None),
        '/' if rest.starts_with("/*") => (comment(rest, !sqlite), None),
        'e' | 'E' if !sqlite && rest[1..].starts_with('\'') => (1 + quoted(&rest[1..], '\'', true), Some(Kind::Other)),
        '\'' | '"' => (quoted(rest, first, false), Some(Kind::Other)),
        '`' if sqlite => (quoted(rest, first, false), Some(Kind::Other)),
        '[' if sqlite => (upto(rest.find(']').map(|end| end + 1)), Some(Kind::Other)),
        '$' => {
            let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 {
                return (1 + digits, Some(Kind::Parameter(rest[1..=digits].parse().unwrap_or(0))));
            }
            // PostgreSQL's $tag$ … $tag$.
            let tag = rest[1..].find('$').map(|end| &rest[..end + 2]);
            let tag =
                tag.filter(|tag| !sqlite && tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_'));
            match tag {
                Some(tag) => {
                    let end = rest[tag.len()..].find(tag).map(|end| 2 * tag.len() + end);
                    (upto(end), Some(Kind::Other))
                }
                None => (1, Some(Kind::Other)),
            }
        }
        ';' => (1, Some(Kind::Semicolon)),
        '?' => (1, Some(Kind::Question)),
        c if c.is_alphabetic() || c == '_' => (word(0), Some(Kind::Word)),
        // A number's letters (1e5) are no word.
        c if c.is_ascii_digit() => (word(0), Some(Kind::Other)),
        c => (c.len_utf8(), Some(Kind::Other)),
    }
}

/// Length of a quoted text; a doubled quote is part of it.
fn quoted(rest: &str, quote: char, backslash: bool) -> usize {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if backslash && c == '\\' {
            characters.next();
        } else if c == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    rest.len()
}

/// Length of a comment; PostgreSQL's may stand in one another.
fn comment(rest: &str, nests: bool) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (2, 1);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'*', b'/', ..] => {
                (at, depth) = (at + 2, depth - 1);
                if depth == 0 {
                    return at;
                }
            }
            [b'/', b'*', ..] if nests => (at, depth) = (at + 2, depth + 1),
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Sqlite, Dialect::Postgres];

    #[test]
    fn what_leaves_the_transaction_or_the_database_is_refused() {
        for sql in [
            "ATTACH 'x' AS y",
            "/* c */ PRAGMA journal_mode",
            "-- c\npragma x",
            "VACUUM INTO 'x'",
            "BEGIN",
            "commit",
            "ROLLBACK",
            "SAVEPOINT x",
            "SET search_path TO public",
            "RESET ALL",
            "DISCARD ALL",
            "COPY t TO PROGRAM 'x'",
            "LISTEN x",
            "CALL x()",
            "DO $$ BEGIN END $$",
            "GRANT ALL ON t TO u",
            "SELECT 1; ATTACH 'x' AS y",
            "SELECT 1; COMMIT; DROP TABLE job",
            "SELECT ''''; COMMIT",
            "SELECT 'a' -- ;\n; COMMIT",
            "SELECT \"a;\"\"\"; COMMIT",
            "SELECT load_extension('x')",
            "SELECT Set_Config('search_path', 'public', false)",
            "SELECT pg_advisory_lock(1)",
            "",
            ";",
            "(SELECT 1)",
        ] {
            for dialect in BOTH {
                assert!(admit(sql, 0, dialect).is_err(), "{dialect:?}: {sql}");
            }
        }
    }

    #[test]
    fn quotes_and_comments_hold_anything() {
        for sql in [
            "SELECT ';', 'it''s; $1', \"a;b\" FROM t",
            "SELECT 1 -- ; COMMIT $7",
            "SELECT 1 /* ; COMMIT ? */;",
            "INSERT INTO t (set_configuration) VALUES (1e5);  ",
        ] {
            for dialect in BOTH {
                admit(sql, 0, dialect).unwrap();
            }
        }
        admit(
            "SELECT $tag$ ; $$ COMMIT $1 $tag$, E'\\'; COMMIT', a ? 'b'",
            0,
            Dialect::Postgres,
        )
        .unwrap();
        admit("SELECT 1 /* /* */ ; COMMIT */", 0, Dialect::Postgres).unwrap();
        assert!(admit("SELECT 1 /* /* */ ; COMMIT */", 0, Dialect::Sqlite).is_err());
        admit("SELECT [a;b], `c;d` FROM t", 0, Dialect::Sqlite).unwrap();
    }

    #[test]
    fn parameters_are_counted_and_have_one_form() {
        for dialect in BOTH {
            admit("SELECT $1, $2, $1", 2, dialect).unwrap();
            assert!(admit("SELECT $1, $3", 2, dialect).is_err());
            assert!(admit("SELECT $1", 2, dialect).is_err());
            assert!(admit("SELECT $0", 0, dialect).is_err());
        }
        for sql in ["SELECT ?1", "SELECT ?"] {
            let error = admit(sql, 1, Dialect::Sqlite).unwrap_err().to_string();
            assert!(error.contains("$1"), "{error}");
        }
    }

    #[test]
    fn a_migration_is_split_where_its_statements_end() {
        let text = "-- min_reader: 1\nCREATE TABLE a (t text DEFAULT ';');\n\
            CREATE TRIGGER r AFTER UPDATE ON a BEGIN UPDATE a SET t = CASE WHEN 1 THEN 'x' END; DELETE FROM a; END;\n\
            INSERT INTO a VALUES (1)\n";
        let all = statements(text, Dialect::Sqlite).unwrap();
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(
            all[1].ends_with("END") && all[2] == "INSERT INTO a VALUES (1)",
            "{all:?}"
        );
        let text = "DO $$ BEGIN PERFORM 1; END $$; CREATE INDEX i ON a (t);;";
        assert_eq!(statements(text, Dialect::Postgres).unwrap().len(), 2);
        assert!(statements("CREATE TABLE a (b text); COMMIT; DROP TABLE a", Dialect::Postgres).is_err());
        assert!(statements("-- nothing\n", Dialect::Sqlite).unwrap().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in "[ -~\\n\u{e9}\u{1F600}]{0,60}") {
            for dialect in BOTH {
                let mut end = 0;
                for token in tokens(&text, dialect) {
                    assert!(token.at >= end);
                    end = token.at + token.text.len();
                }
                let _ = statements(&text, dialect);
            }
        }
    }
}
