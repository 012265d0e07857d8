//! Leases that are lost in a row: the bound on a payload that ends every process that runs it.
//!
//! A lost lease is no attempt, because a deploy, a crash or a frozen worker is not the job's fault. When it happens to the
//! same job again and again and no step is kept between, it may be. So the store counts ([`Store::reclaim`]); from the
//! third on the job waits longer and longer, each at a moment of its own, so that it meets fewer innocent ones; after
//! [`MAX`] the engine ends it without its handler, and its `on_dead` handler tells people. A kept step, a park and every
//! end that is written begin the count anew.
//!
//! [`Store::reclaim`]: crate::store::Store::reclaim

use std::time::Duration;

/// The first one after which the next claim is delayed.
pub const DELAYED: u32 = 3;
/// After so many the handler is not run any more.
pub const MAX: u32 = 10;
/// The delay after [`DELAYED`], before it is spread; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(10);

/// How long a job waits after its `lost`th lease in a row; `spread` is a random number from 0 to 1.
pub fn delay_ms(lost: u32, spread: f64) -> u64 {
    if !(DELAYED..MAX).contains(&lost) {
        return 0;
    }
    let base = FIRST.as_secs_f64() * 1000.0 * f64::from(1_u32 << (lost - DELAYED));
    (base * (0.5 + spread.clamp(0.0, 1.0))) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_from_the_third_on() {
        let delays: Vec<u64> = (0..12).map(|lost| delay_ms(lost, 0.5)).collect();
        let seconds = [0, 0, 0, 10, 20, 40, 80, 160, 320, 640, 0, 0];
        assert_eq!(delays, seconds.map(|seconds| seconds * 1000));
        assert_eq!((delay_ms(3, 0.0), delay_ms(3, 1.0)), (5_000, 15_000));
    }
}
