//! `--since`: an instant, or how long ago.

use std::{
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since(pub(crate) i64);

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        parse(text, i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
            .map(Self)
            .ok_or_else(|| "write a time such as 2026-11-01T00:00:00Z, or how long ago: 90s, 15m, 2h, 7d".to_owned())
    }
}

fn parse(text: &str, now_ms: i64) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return jackfield_inbox::when::parse(text),
    };
    let count: u32 = text[..text.len() - 1].parse().ok()?;
    i64::from(count).checked_mul(unit).map(|ago| now_ms - ago)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_ages() {
        let now = 1_760_000_000_000;
        assert_eq!(parse("2h", now), Some(now - 7_200_000));
        assert_eq!(parse("7d", now), Some(now - 604_800_000));
        assert_eq!(parse("1970-01-01T00:00:01Z", now), Some(1_000));
        for wrong in ["", "h", "-2h", "2w", "1.5h", "yesterday", "2026-11-01", "é"] {
            assert_eq!(parse(wrong, now), None, "{wrong}");
        }
    }
}
