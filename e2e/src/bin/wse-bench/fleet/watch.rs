//! Looks at the fleet every second, and shows who waits how it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::source::{Seen, Source, State};
use crate::ramp::Ramp;
use crate::worker::plan::Progress;

/// What was seen at a moment, or why nothing was.
#[derive(Debug)]
pub(super) struct Look {
    /// Since the start.
    pub(super) second: u64,
    pub(super) seen: Result<Seen, String>,
}

/// A bar on stderr, if that is a terminal.
#[derive(Debug)]
pub(super) struct Live<'a> {
    bar: ProgressBar,
    ramp: &'a Ramp,
    told: Arc<Mutex<Told>>,
}

/// What the workers told last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    held: u64,
    returned: u64,
}

impl<'a> Live<'a> {
    pub(super) fn new(ramp: &'a Ramp) -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:16.cyan/dim} {wide_msg}");
        let bar = ProgressBar::new(ramp.time().as_secs())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_prefix("fleet");
        Self {
            bar,
            ramp,
            told: Arc::default(),
        }
    }

    /// What takes note of how far the workers are.
    pub(super) fn watch(&self) -> impl Fn(&Progress) + Send + 'static {
        let told = self.told.clone();
        move |progress| {
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Told {
                held: progress.held,
                returned: progress.done,
            };
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// How many have come back so far.
    fn show(&self, look: &Look, returned_before: u64) -> u64 {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.ramp.wanted(Duration::from_secs(look.second));
        let mut said = format!(
            "{} of {} in  {} reconnects/s",
            HumanCount(told.held),
            HumanCount(wanted),
            HumanCount(told.returned.saturating_sub(returned_before))
        );
        said += &match &look.seen {
            Ok(seen) => {
                let number =
                    |it: Option<u32>| it.map_or_else(|| "?".to_owned(), |it| it.to_string());
                let draining = match seen.count(State::Draining) {
                    0 => String::new(),
                    draining => format!(", {draining} draining"),
                };
                format!(
                    "  pods {} of {} ready{draining}  tier {}",
                    seen.count(State::Ready),
                    number(seen.desired),
                    seen.tier.as_deref().unwrap_or("?")
                )
            }
            Err(why) => format!("  {why}"),
        };
        self.bar.set_position(look.second);
        self.bar.set_message(said);
        told.returned
    }
}

/// Looks from the start until the ramp is over.
pub(super) async fn watch(source: &Source, start: Instant, live: &Live<'_>, looks: &mut Vec<Look>) {
    let end = live.ramp.time().as_secs();
    let mut ticks = interval_at(start, Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut returned = 0;
    loop {
        let second = (ticks.tick().await - start).as_secs();
        let seen = source.look().await;
        let look = Look { second, seen };
        returned = live.show(&look, returned);
        looks.push(look);
        if second >= end {
            return;
        }
    }
}
