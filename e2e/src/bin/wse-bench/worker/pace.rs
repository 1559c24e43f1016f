//! Has connections wait for their moment, each for its own.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::os::fd::AsFd;

use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::alarm::Alarm;

/// Who waits, and what wakes them.
#[derive(Debug)]
pub(crate) struct Pace {
    alarm: Alarm,
    /// The same: a timer is read as a pipe is.
    rings: pipe::Receiver,
    /// The earliest first.
    waiting: RefCell<BinaryHeap<Sleeper>>,
}

#[derive(Debug)]
struct Sleeper {
    due: Instant,
    wake: oneshot::Sender<()>,
}

impl Pace {
    /// # Errors
    /// Those of [`Alarm::new`], and outside of a runtime.
    pub(crate) fn new() -> Result<Self, String> {
        let alarm = Alarm::new()?;
        let same = alarm.as_fd().try_clone_to_owned();
        let rings = same.and_then(pipe::Receiver::from_owned_fd_unchecked);
        Ok(Self {
            alarm,
            rings: rings.map_err(|error| format!("no timer: {error}"))?,
            waiting: RefCell::default(),
        })
    }

    /// Waits until a moment, while [`Pace::keep`] runs.
    pub(crate) async fn until(&self, due: Instant) {
        if due > Instant::now() {
            // Who wakes them all ends with the worker.
            let _ = self.enlist(due).await;
        }
    }

    /// Wakes each at its moment, for ever.
    pub(crate) async fn keep(&self) {
        while self.rings.readable().await.is_ok() {
            // Nothing to read: it has been set again since.
            let _ = self.rings.try_read(&mut [0; 8]);
            let mut waiting = self.waiting.borrow_mut();
            while let Some(first) = waiting.peek() {
                let left = first.due.saturating_duration_since(Instant::now());
                if !left.is_zero() {
                    self.alarm.ring_in(left);
                    break;
                }
                // One whose connection has ended does not wait any more.
                let _ = waiting.pop().map(|sleeper| sleeper.wake.send(()));
            }
        }
    }

    fn enlist(&self, due: Instant) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        waiting.push(Sleeper { due, wake });
        if waiting.peek().is_some_and(|first| first.due == due) {
            self.alarm
                .ring_in(due.saturating_duration_since(Instant::now()));
        }
        woken
    }
}

impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> Ordering {
        other.due.cmp(&self.due)
    }
}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Sleeper {}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn all_are_woken_in_their_order_and_none_too_early() {
        let pace = Rc::new(Pace::new().unwrap());
        let local = LocalSet::new();
        let keeping = pace.clone();
        local.spawn_local(async move { keeping.keep().await });
        let woken = Rc::new(RefCell::new(Vec::new()));
        let begin = Instant::now();
        let sleeping = [30, 10, 20, 0].map(|millis| {
            let (pace, woken) = (pace.clone(), woken.clone());
            let due = begin + Duration::from_millis(millis);
            local.spawn_local(async move {
                pace.until(due).await;
                assert!(Instant::now() >= due);
                woken.borrow_mut().push(millis);
            })
        });
        local
            .run_until(async {
                for sleeper in sleeping {
                    sleeper.await.unwrap();
                }
            })
            .await;
        assert_eq!(*woken.borrow(), [0, 10, 20, 30]);
    }
}
