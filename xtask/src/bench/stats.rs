//! Figures of interleaved rounds to one figure each: the median, and the spread of the ratios.

/// The middle value; the mean of the two middle ones of an even count. Zero of nothing.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// What `percent` of the values do not exceed (nearest rank). Zero of nothing.
pub(super) fn percentile(values: &mut [u32], percent: f64) -> u32 {
    if values.is_empty() {
        return 0;
    }
    values.sort_unstable();
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// Which of these has the highest median; the first of those that have it.
pub(super) fn fastest(values: &[Vec<f64>]) -> usize {
    let mut best = 0;
    for (at, values_of_one) in values.iter().enumerate() {
        if median(values_of_one) > median(&values[best]) {
            best = at;
        }
    }
    best
}

/// Ratios of rounds in which both sides ran one after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Ours to the peer's, round by round; none when a round is missing or a peer's figure is not positive.
pub(super) fn ratio(ours: &[f64], peer: &[f64]) -> Option<Ratio> {
    if ours.is_empty() || ours.len() != peer.len() || peer.iter().any(|value| *value <= 0.0) {
        return None;
    }
    let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect();
    Some(Ratio {
        median: median(&ratios),
        low: ratios.iter().copied().fold(f64::INFINITY, f64::min),
        high: ratios.iter().copied().fold(0.0, f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn medians() {
        assert!(close(median(&[]), 0.0));
        assert!(close(median(&[3.0]), 3.0));
        assert!(close(median(&[9.0, 1.0, 5.0]), 5.0));
        assert!(close(median(&[4.0, 1.0, 2.0, 100.0]), 3.0));
    }

    #[test]
    fn the_fastest_by_its_median() {
        assert_eq!(fastest(&[vec![3.0, 3.0], vec![1.0, 9.0, 2.0], vec![3.5]]), 2);
        assert_eq!(fastest(&[vec![3.0], vec![3.0]]), 0);
        assert_eq!(fastest(&[]), 0);
    }

    #[test]
    fn percentiles() {
        let mut values: Vec<u32> = (1..=200).rev().collect();
        assert_eq!(percentile(&mut values, 50.0), 100);
        assert_eq!(percentile(&mut values, 99.0), 198);
        assert_eq!(percentile(&mut values, 100.0), 200);
        assert_eq!(percentile(&mut [], 99.0), 0);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine slowed down by half in round two; the ratio did not.
        let ratio = ratio(&[100.0, 50.0, 120.0], &[50.0, 25.0, 40.0]).unwrap_or(Ratio {
            median: 0.0,
            low: 0.0,
            high: 0.0,
        });
        assert!(close(ratio.median, 2.0) && close(ratio.low, 2.0) && close(ratio.high, 3.0));
    }

    #[test]
    fn no_ratio_of_what_was_not_measured() {
        assert_eq!(ratio(&[], &[]), None);
        assert_eq!(ratio(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(ratio(&[1.0], &[0.0]), None);
    }
}
