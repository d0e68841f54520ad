//! How long things took: counted, sorted, summed up.

use std::time::Duration;

use serde::Serialize;

/// What happened within the window that was measured; durations in seconds.
#[derive(Debug, Serialize, PartialEq)]
pub struct Rate {
    /// Things done within the window.
    pub count: usize,
    /// Things done in all, with those before the window.
    pub total: u64,
    /// How long the window was.
    pub seconds: f64,
    /// `count` per second.
    pub per_second: f64,
    /// The median, 0 when nothing was done.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// Things that failed.
    pub errors: u64,
    /// What the first failure was.
    pub first_error: Option<String>,
}

/// Collects what one closed loop does.
#[derive(Default)]
pub struct Latencies {
    /// Of what was done within the window.
    pub measured: Vec<Duration>,
    /// Of all that was done.
    pub total: u64,
    /// Of all that failed.
    pub errors: u64,
    /// The first of these.
    pub first_error: Option<String>,
}

impl Latencies {
    /// Count a failure.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Add what another loop collected.
    pub fn merge(&mut self, other: Self) {
        self.measured.extend(other.measured);
        self.total += other.total;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// Sum up over a window of this length.
    pub fn rate(mut self, window: Duration) -> Rate {
        self.measured.sort_unstable();
        let seconds = window.as_secs_f64();
        Rate {
            count: self.measured.len(),
            total: self.total,
            seconds,
            per_second: self.measured.len() as f64 / seconds,
            p50: percentile(&self.measured, 0.50),
            p99: percentile(&self.measured, 0.99),
            max: percentile(&self.measured, 1.0),
            errors: self.errors,
            first_error: self.first_error,
        }
    }
}

/// The smallest value that this share of the sorted values does not exceed (nearest rank).
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.max(1) - 1)
        .map_or(0.0, Duration::as_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let measured = (1..=200).rev().map(Duration::from_secs).collect();
        let latencies = Latencies {
            measured,
            total: 300,
            ..Latencies::default()
        };
        let rate = latencies.rate(Duration::from_secs(2));
        assert_eq!((rate.p50, rate.p99, rate.max), (100.0, 198.0, 200.0));
        assert_eq!((rate.per_second, rate.total), (100.0, 300));
    }

    #[test]
    fn nothing_done_is_no_division_by_zero() {
        let rate = Latencies::default().rate(Duration::from_secs(1));
        assert_eq!((rate.count, rate.p50, rate.p99), (0, 0.0, 0.0));
    }

    #[test]
    fn the_first_failure_is_told() {
        let mut latencies = Latencies::default();
        let mut other = Latencies::default();
        other.fail(&anyhow::anyhow!("first"));
        other.fail(&anyhow::anyhow!("second"));
        latencies.merge(other);
        assert_eq!(
            (latencies.errors, latencies.first_error.as_deref()),
            (2, Some("first"))
        );
    }
}
