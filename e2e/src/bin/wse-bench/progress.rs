//! A bar for who waits, on stderr and only if that is a terminal; `NO_COLOR` is respected.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::worker::plan::Progress;

#[derive(Clone)]
pub(crate) struct Bar {
    bar: ProgressBar,
    /// What is counted by the second.
    unit: &'static str,
    /// Milliseconds that the work takes. 0: not known.
    millis: u64,
    shown: Arc<Mutex<Shown>>,
}

/// What it showed last.
struct Shown {
    /// When the work began. None: clients are still coming in.
    begun: Option<Instant>,
    at: Instant,
    done: u64,
}

impl Bar {
    /// For a round with a name and so many connections, whose work takes so many seconds. 0: not known.
    pub(crate) fn new(name: &str, unit: &'static str, connections: usize, seconds: f64) -> Self {
        let style = ProgressStyle::with_template("{prefix:26} {bar:16.cyan/dim} {wide_msg}");
        let bar = ProgressBar::new(connections as u64)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix(format!("{name} {}", HumanCount(connections as u64)));
        bar.set_message("connecting");
        Self {
            bar,
            unit,
            millis: (seconds * 1_000.0) as u64,
            shown: Arc::new(Mutex::new(Shown {
                begun: None,
                at: Instant::now(),
                done: 0,
            })),
        }
    }

    /// All are in, and the work begins.
    pub(crate) fn begin(&self) {
        self.shown().begun = Some(Instant::now());
        self.bar.set_length(self.millis.max(1));
        self.bar.set_position(0);
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// What shows how far the workers are.
    pub(crate) fn watch(&self) -> impl Fn(&Progress) + Send + 'static {
        let own = self.clone();
        move |progress| own.show(progress)
    }

    fn show(&self, progress: &Progress) {
        let mut shown = self.shown();
        self.bar.set_position(match shown.begun {
            None => progress.opened,
            Some(begun) => (begun.elapsed().as_millis() as u64).min(self.millis),
        });
        let mut said = format!("{} in", HumanCount(progress.held));
        if progress.done > 0 {
            let since = shown.at.elapsed().max(Duration::from_millis(1));
            let rate = progress.done.saturating_sub(shown.done) as f64 / since.as_secs_f64();
            said += &format!("  {} {}/s", HumanCount(rate as u64), self.unit);
        }
        (shown.at, shown.done) = (Instant::now(), progress.done);
        if let Some(latency) = progress.latency.summary() {
            let ms = |name| latency.by_name(name).unwrap_or_default() / 1_000.0;
            said += &format!("  p50 {:.1} ms  p99 {:.1} ms", ms("p50"), ms("p99"));
        }
        self.bar.set_message(said);
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
