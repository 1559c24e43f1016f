//! An alarm that rings within some tens of microseconds of its time. The timers of runtimes and of
//! `epoll_wait` count in milliseconds, and what they are late would be in every latency.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Readable once it rings (timerfd_create(2)).
#[derive(Debug)]
pub(crate) struct Alarm(OwnedFd);

impl Alarm {
    /// # Errors
    /// When the process may open no more files.
    pub(crate) fn new() -> Result<Self, String> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags);
        timer
            .map(Self)
            .map_err(|error| format!("no timer: {error}"))
    }

    /// Rings so long from now, and no other time.
    pub(crate) fn ring_in(&self, time: Duration) {
        // Zero would silence it.
        let time = time.max(Duration::from_nanos(1));
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: time.as_secs().cast_signed(),
                tv_nsec: time.subsec_nanos().into(),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)
            .expect("the descriptor is a timer and the time is one");
    }

    /// Takes note that it has rung.
    pub(crate) fn heard(&self) {
        // Nothing to read: it has been set again since.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Alarm {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
