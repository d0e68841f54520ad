//! The caller's clock, in seconds, as the `Instant` that quinn-proto computes with.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The moment that stands for `seconds` on the caller's clock, which must not run backwards.
///
/// What is negative or not finite stands for 0.
pub fn instant(seconds: f64) -> Instant {
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    origin().checked_add(since).unwrap_or_else(origin)
}

/// Seconds on the caller's clock, rounded up: at that time `instant` has reached `moment`.
pub fn seconds(moment: Instant) -> f64 {
    moment.saturating_duration_since(origin()).as_secs_f64() + RESOLUTION
}

/// Any fixed moment would do; only differences matter.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

const RESOLUTION: f64 = 1e-6; // s; more than an f64 loses of a nanosecond within 250 years

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_reached_at_the_time_it_names() {
        for now in [0.0, 0.1, 1000.7, 86_400.123_456_789, 4e8 + 1.0 / 3.0] {
            let moment = instant(now) + Duration::from_nanos(12_345_679);
            assert!(instant(seconds(moment)) >= moment, "at {now}");
        }
    }

    #[test]
    fn nonsense_is_the_beginning() {
        for now in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(instant(now), instant(0.0));
        }
    }
}
