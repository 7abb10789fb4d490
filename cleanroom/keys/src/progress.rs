//! How far a long work has come.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Hears how far a work has come. Called now and then from the thread that does it.
pub trait Progress: Sync {
    /// `done` of `total` bytes are done.
    fn report(&self, done: u64, total: u64);

    /// The work has ended, well or not.
    fn finish(&self) {}
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn report(&self, _done: u64, _total: u64) {}
}

/// A bar on stderr, shown where that is a terminal and gone when the work has ended.
#[derive(Debug)]
pub struct TerminalProgress {
    bar: ProgressBar,
}

impl TerminalProgress {
    /// An empty bar; it appears with the first report.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
            bar.set_style(style);
        }
        Self { bar }
    }
}

impl Default for TerminalProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for TerminalProgress {
    fn report(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
