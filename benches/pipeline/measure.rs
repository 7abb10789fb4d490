//! Times and memory of stages, and the table of them.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

/// Something that was measured several times.
pub(crate) struct Stage {
    name: String,
    rows: Option<u64>,
    bytes: Option<u64>,
    times: Vec<Duration>,
    before: Option<u64>,
    peak: Option<u64>,
}

/// A run of a stage that has begun.
pub(crate) struct Run {
    started: Instant,
}

impl Stage {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), rows: None, bytes: None, times: Vec::new(), before: None, peak: None }
    }

    /// One run goes over so many rows.
    pub(crate) fn rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }

    /// One run reads so many bytes.
    pub(crate) fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    pub(crate) fn begin(&mut self) -> Run {
        // Sets the mark of `VmHWM` back to what is resident now. Where it cannot, the mark is that of the whole process.
        let _ = fs::write("/proc/self/clear_refs", "5");
        self.before = self.before.or_else(|| memory("VmRSS:"));
        Run { started: Instant::now() }
    }

    pub(crate) fn end(&mut self, run: Run) {
        self.times.push(run.started.elapsed());
        self.peak = self.peak.max(memory("VmHWM:"));
    }

    fn line(&self) -> String {
        let mut times = self.times.clone();
        times.sort_unstable();
        let median = median(&times);
        let per_second = |count: Option<u64>, unit: f64, digits: usize| match (count, median) {
            (Some(count), Some(median)) => format!("{:.digits$}", count as f64 / median.as_secs_f64() / unit),
            _ => String::new(),
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.name,
            times.len(),
            milliseconds(times.first().copied()),
            milliseconds(median),
            milliseconds(times.last().copied()),
            per_second(self.rows, 1e6, 2),
            per_second(self.bytes, 1e6, 1),
            mebibytes(self.before),
            mebibytes(self.peak),
        )
    }
}

/// All stages as a Markdown table.
pub(crate) fn table(stages: &[Stage]) -> String {
    let mut out = String::from(
        "| stage | runs | min ms | median ms | max ms | million rows/s | MB/s | resident before, MiB | peak, MiB |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for stage in stages {
        let _ = writeln!(out, "{}", stage.line());
    }
    out
}

/// The middle one, or the mean of the two in the middle.
fn median(sorted: &[Duration]) -> Option<Duration> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some((*lower + *upper) / 2)
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(String::new, |time| format!("{:.1}", time.as_secs_f64() * 1e3))
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "unknown".to_owned(), |bytes| (bytes >> 20).to_string())
}

/// A line of the process's status, in bytes; nothing where the system does not tell.
fn memory(line: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|found| found.strip_prefix(line))?.split_whitespace().next()?;
    Some(kibibytes.parse::<u64>().ok()? << 10)
}
