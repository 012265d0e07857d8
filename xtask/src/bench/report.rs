//! One measured row, as JSON and as a line of the printed table.

use serde::Serialize;

use super::stats::{median, ratio};

/// A row of `design/60`. The names of the members are a promise to scripts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) row: String,
    pub(super) what: String,
    pub(super) ours: f64,
    pub(super) peer: Option<String>,
    pub(super) peer_version: Option<String>,
    pub(super) peer_value: Option<f64>,
    pub(super) unit: &'static str,
    pub(super) ratio: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) rounds: usize,
    /// Whether counts and stored rows were right in every round; otherwise the row is void.
    pub(super) checked: bool,
    pub(super) settings: String,
    /// What the row is held to.
    pub(super) target: Target,
    pub(super) met: bool,
    /// The peer's other configurations, all slower.
    pub(super) tried: Vec<Tried>,
    pub(super) notes: Vec<String>,
}

/// What a row is held to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    /// Ours to the peer's, at least.
    Ratio(f64),
    /// Ours, at most.
    AtMost(f64),
}

/// A configuration that lost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tried {
    pub(super) configuration: String,
    pub(super) value: f64,
}

/// The peer of a row.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) version: String,
    pub(super) values: Vec<f64>,
    pub(super) tried: Vec<Tried>,
}

/// What a row measures.
pub(super) struct Subject {
    pub(super) row: &'static str,
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) target: Target,
    pub(super) settings: String,
}

impl Row {
    /// Of the figures of all rounds; `wrong` says what did not hold, round by round.
    pub(super) fn of(
        subject: Subject,
        ours: &[f64],
        peer: Option<Peer>,
        wrong: Vec<String>,
        notes: Vec<String>,
    ) -> Self {
        let ratio = peer.as_ref().and_then(|peer| ratio(ours, &peer.values));
        let value = median(ours);
        let met = wrong.is_empty()
            && match subject.target {
                Target::Ratio(least) => ratio.is_some_and(|ratio| ratio.median >= least),
                Target::AtMost(most) => value <= most,
            };
        let checked = wrong.is_empty();
        Self {
            row: subject.row.to_owned(),
            what: subject.what.to_owned(),
            ours: round(value),
            peer: peer.as_ref().map(|peer| peer.name.to_owned()),
            peer_version: peer.as_ref().map(|peer| peer.version.clone()),
            peer_value: peer.as_ref().map(|peer| round(median(&peer.values))),
            unit: subject.unit,
            ratio: ratio.map(|ratio| round(ratio.median)),
            low: ratio.map(|ratio| round(ratio.low)),
            high: ratio.map(|ratio| round(ratio.high)),
            rounds: ours.len(),
            checked,
            settings: subject.settings,
            target: subject.target,
            met,
            tried: peer.map(|peer| peer.tried).unwrap_or_default(),
            notes: wrong
                .into_iter()
                .map(|why| format!("VOID: {why}"))
                .chain(notes)
                .collect(),
        }
    }

    /// The row for people: one line of figures, then what belongs to it, indented.
    pub(super) fn text(&self) -> String {
        let peer = match (&self.peer, self.peer_value) {
            (Some(name), Some(value)) => format!("{} {}", number(value), name),
            _ => "-".to_owned(),
        };
        let ratio = match (self.ratio, self.low, self.high) {
            (Some(ratio), Some(low), Some(high)) => format!("{ratio:.2}x ({low:.2} to {high:.2})"),
            _ => "-".to_owned(),
        };
        let target = match self.target {
            Target::Ratio(least) => format!(">= {least}x"),
            Target::AtMost(most) => format!("<= {most} {}", self.unit),
        };
        let verdict = match (self.checked, self.met) {
            (false, _) => "VOID",
            (true, true) => "met",
            (true, false) => "missed",
        };
        let mut text = format!(
            "{:<8} {:>9} {:<9} {:<28} {:<24} {:<10} {verdict}\n         {}: {}\n",
            self.row,
            number(self.ours),
            self.unit,
            peer,
            ratio,
            target,
            self.what,
            self.settings
        );
        if let Some(version) = &self.peer_version {
            text.push_str(&format!("         peer: {version}\n"));
        }
        for tried in &self.tried {
            text.push_str(&format!(
                "         peer with {}: {} {}\n",
                tried.configuration,
                number(tried.value),
                self.unit
            ));
        }
        for note in &self.notes {
            text.push_str(&format!("         {note}\n"));
        }
        text
    }
}

/// The line above the rows.
pub(super) fn head() -> String {
    format!(
        "{:<8} {:>9} {:<9} {:<28} {:<24} {:<10} verdict",
        "row", "ours", "unit", "peer", "ratio (low to high)", "target"
    )
}

/// Three digits behind the point are more than a benchmark knows.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn number(value: f64) -> String {
    if value >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(target: Target) -> Subject {
        Subject {
            row: "B9",
            what: "counting",
            unit: "1/s",
            target,
            settings: "fsync on".to_owned(),
        }
    }

    fn peer(values: &[f64]) -> Peer {
        Peer {
            name: "abacus",
            version: "abacus 1.2".to_owned(),
            values: values.to_vec(),
            tried: vec![Tried {
                configuration: "one hand".to_owned(),
                value: 500.0,
            }],
        }
    }

    #[test]
    fn a_row_with_a_peer() {
        let row = Row::of(
            subject(Target::Ratio(2.0)),
            &[3000.0, 2000.0, 2500.0],
            Some(peer(&[1000.0, 1000.0, 1250.0])),
            Vec::new(),
            vec!["server core 97 % busy".to_owned()],
        );
        assert!(row.met && row.checked);
        assert_eq!(
            row.text(),
            "B9            2500 1/s       1000 abacus                  2.00x (2.00 to 3.00)     >= 2x      met\n\
             \x20        counting: fsync on\n\
             \x20        peer: abacus 1.2\n\
             \x20        peer with one hand: 500.0 1/s\n\
             \x20        server core 97 % busy\n"
        );
        let json = serde_json::to_value(&row).unwrap_or_default();
        for member in [
            "row",
            "ours",
            "peer",
            "peer_version",
            "peer_value",
            "unit",
            "ratio",
            "low",
            "high",
            "rounds",
            "checked",
            "settings",
        ] {
            assert!(json.get(member).is_some_and(|value| !value.is_null()), "{member}");
        }
        assert_eq!(json["rounds"], 3);
        assert_eq!(json["target"]["ratio"], 2.0);
    }

    #[test]
    fn a_wrong_count_voids_the_row() {
        let wrong = vec!["round 2 stored 9 rows of 10".to_owned()];
        let row = Row::of(
            subject(Target::Ratio(1.0)),
            &[3.0],
            Some(peer(&[1.0])),
            wrong,
            Vec::new(),
        );
        assert!(!row.checked && !row.met);
        assert!(row.text().contains("VOID: round 2 stored 9 rows of 10"));
    }

    #[test]
    fn a_row_without_a_peer() {
        let good = Row::of(
            subject(Target::AtMost(100.0)),
            &[90.0, 80.0],
            None,
            Vec::new(),
            Vec::new(),
        );
        assert!(good.met && good.ratio.is_none());
        assert!(good.text().starts_with("B9            85.0 1/s       -"));
        let bad = Row::of(subject(Target::AtMost(100.0)), &[101.0], None, Vec::new(), Vec::new());
        assert!(!bad.met && bad.checked);
    }
}
