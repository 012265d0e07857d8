//! Classes of requests, and the limits of each.

use std::{borrow::Cow, fmt, num::NonZeroU32, time::Duration};

/// Longest time a limit is refilled over: Lua counts microseconds exactly up to the year 2255.
const LONGEST: u128 = 366 * 86_400_000_000;

/// A signed-in caller, by user id: the reference's two limits (`auth_uid`).
pub static DEFAULT: Class = Class::fixed(
    "default",
    &[Limit::new(amount(10), SECOND), Limit::new(amount(100), MINUTE)],
);
/// A caller before sign-in, by client address.
pub static ADDRESS: Class = Class::fixed("address", &[Limit::new(amount(60), MINUTE)]);
/// The device flow's user codes, by client address (RFC 8628 §5.1 asks that guessing them is limited).
pub static DEVICE: Class = Class::fixed("device", &[Limit::new(amount(30), MINUTE)]);

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// So many at once, and so many more evenly over the time. Shown as `10 per 1 second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    amount: NonZeroU32,
    per: Duration,
    interval: i64,
}

impl Limit {
    /// `amount` at once, refilled over `per`. At most one a microsecond, and at least one in 366 days: what is outside
    /// counts as the nearest of these.
    pub const fn new(amount: NonZeroU32, per: Duration) -> Self {
        let micros = per.as_micros();
        let micros = if micros < LONGEST { micros } else { LONGEST };
        // Rounded up, so that never more than the limit comes through.
        let interval = micros.div_ceil(amount.get() as u128) as i64;
        let interval = if interval > 0 { interval } else { 1 };
        Self { amount, per, interval }
    }

    /// How many at once.
    pub const fn amount(&self) -> NonZeroU32 {
        self.amount
    }

    /// How long it takes until all of them are there again.
    pub const fn per(&self) -> Duration {
        self.per
    }

    /// Microseconds until one more is there.
    pub(crate) const fn interval(&self) -> i64 {
        self.interval
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u128, &str); 5] = [
            (86_400_000_000, "day"),
            (3_600_000_000, "hour"),
            (60_000_000, "minute"),
            (1_000_000, "second"),
            (1_000, "millisecond"),
        ];
        let micros = self.per.as_micros();
        let (size, unit) = UNITS
            .into_iter()
            .find(|(size, _)| micros >= *size && micros.is_multiple_of(*size))
            .unwrap_or((1, "microsecond"));
        // The unit stays in the singular: it is the reference's text, which clients may read.
        write!(f, "{} per {} {unit}", self.amount, micros / size)
    }
}

/// Requests that are limited alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    name: Cow<'static, str>,
    limits: Cow<'static, [Limit]>,
}

impl Class {
    /// A class of the code's own.
    pub const fn fixed(name: &'static str, limits: &'static [Limit]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            limits: Cow::Borrowed(limits),
        }
    }

    /// A class from settings. The name is a label of the metric and part of the key in Redis: letters, digits, `_`, `-`.
    /// Without limits, everything is allowed.
    pub fn new(name: impl Into<Cow<'static, str>>, limits: Vec<Limit>) -> Self {
        Self {
            name: name.into(),
            limits: Cow::Owned(limits),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its limits; a request must be within each.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }
}

/// Of a constant that is written out; zero would be one.
const fn amount(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(amount) => amount,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_as_the_reference_names_them() {
        let text = |number, per| Limit::new(amount(number), per).to_string();
        assert_eq!(text(10, SECOND), "10 per 1 second");
        assert_eq!(text(100, MINUTE), "100 per 1 minute");
        assert_eq!(text(5, Duration::from_secs(90)), "5 per 90 second");
        assert_eq!(text(7, Duration::from_secs(7200)), "7 per 2 hour");
        assert_eq!(text(1, Duration::from_secs(86_400)), "1 per 1 day");
        assert_eq!(text(1, Duration::from_micros(1500)), "1 per 1500 microsecond");
        assert_eq!(text(1, Duration::ZERO), "1 per 0 microsecond");
    }

    #[test]
    fn an_interval_is_never_too_short() {
        let interval = |number, per| Limit::new(amount(number), per).interval();
        assert_eq!(interval(10, SECOND), 100_000);
        assert_eq!(interval(7, SECOND), 142_858);
        assert_eq!(interval(u32::MAX, SECOND), 1);
        assert_eq!(interval(5, Duration::ZERO), 1);
        assert_eq!(interval(1, Duration::MAX), LONGEST as i64);
    }
}
