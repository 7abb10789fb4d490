//! Counters for the operator. No label comes from data or SQL.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Upper bounds of the duration buckets, in seconds. Coarse: a fine one would tell something about the data.
const BOUNDS: [f64; 4] = [0.1, 1.0, 10.0, 60.0];

/// What has been counted since the start.
#[derive(Default)]
pub(super) struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    queries: BTreeMap<(String, String), u64>,
    requests: BTreeMap<(&'static str, String, u16), u64>,
    durations: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

impl Metrics {
    /// Counts a question by how it ended; `code` is empty for one that was answered.
    pub(super) fn query(&self, outcome: &str, code: &str) {
        *self.lock().queries.entry((outcome.to_owned(), code.to_owned())).or_default() += 1;
    }

    /// Counts a request by its route (the pattern, not the address).
    pub(super) fn request(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let mut counts = self.lock();
        *counts.requests.entry((method, route.to_owned(), status)).or_default() += 1;
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = counts.durations.get_mut(bucket) {
            *bucket += 1;
        }
        counts.seconds += seconds;
    }

    /// Prometheus' text form.
    pub(super) fn text(&self, running: usize) -> String {
        let counts = self.lock();
        let mut out = String::new();
        // Writing to a string cannot fail.
        let mut line = |text: String| {
            let _ = writeln!(out, "{text}");
        };
        line("# HELP cleanroom_queries_total Questions by how they ended.".to_owned());
        line("# TYPE cleanroom_queries_total counter".to_owned());
        for ((outcome, code), count) in &counts.queries {
            line(format!("cleanroom_queries_total{{outcome=\"{outcome}\",code=\"{code}\"}} {count}"));
        }
        line("# HELP cleanroom_queries_running Questions at work.".to_owned());
        line("# TYPE cleanroom_queries_running gauge".to_owned());
        line(format!("cleanroom_queries_running {running}"));
        line("# HELP cleanroom_http_requests_total Requests by route and status.".to_owned());
        line("# TYPE cleanroom_http_requests_total counter".to_owned());
        for ((method, route, status), count) in &counts.requests {
            line(format!(
                "cleanroom_http_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
            ));
        }
        line("# HELP cleanroom_http_request_duration_seconds How long requests took.".to_owned());
        line("# TYPE cleanroom_http_request_duration_seconds histogram".to_owned());
        let mut total = 0;
        for (bound, count) in BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]).zip(counts.durations) {
            total += count;
            line(format!("cleanroom_http_request_duration_seconds_bucket{{le=\"{bound}\"}} {total}"));
        }
        line(format!("cleanroom_http_request_duration_seconds_sum {:.0}", counts.seconds));
        line(format!("cleanroom_http_request_duration_seconds_count {total}"));
        out
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counters are whole after every statement.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let metrics = Metrics::default();
        metrics.query("refused", "CR2101");
        for millis in [50, 500, 500, 90_000] {
            metrics.request("GET", "/healthz", 200, Duration::from_millis(millis));
        }
        let text = metrics.text(2);
        for line in [
            "cleanroom_queries_total{outcome=\"refused\",code=\"CR2101\"} 1",
            "cleanroom_queries_running 2",
            "cleanroom_http_requests_total{method=\"GET\",route=\"/healthz\",status=\"200\"} 4",
            "cleanroom_http_request_duration_seconds_bucket{le=\"0.1\"} 1",
            "cleanroom_http_request_duration_seconds_bucket{le=\"10\"} 3",
            "cleanroom_http_request_duration_seconds_bucket{le=\"+Inf\"} 4",
            "cleanroom_http_request_duration_seconds_count 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
