//! Handshakes under way, bounded so that clients that send nothing, or send slowly, cannot keep others
//! out. When the bound is met, room is made by the oldest connection that has sent no byte, then by the
//! oldest that has not sent its whole request within [`GRACE`]. A request is there at once or within a
//! round trip, so a real client is gone from here long before it is the oldest. While every handshake is
//! being worked on, newcomers wait in the kernel's accept queue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How long a client that has begun its request may take for it while others wait for its place.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// All handshakes under way.
#[derive(Debug)]
pub(super) struct Pending {
    places: Mutex<Places>,
    /// Wakes the acceptor: a place is free, or another connection may be asked to leave.
    changed: Notify,
    gauge: IntGauge,
}

/// The place of one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    pending: Arc<Pending>,
    number: u64,
    seat: Arc<Seat>,
}

#[derive(Debug)]
struct Seat {
    arrived: Instant,
    stage: AtomicU8,
    leave: Notify,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    taken: usize,
    /// Have sent nothing, in the order of arrival.
    silent: BTreeMap<u64, Arc<Seat>>,
    /// Have sent something, in the order of arrival.
    reading: BTreeMap<u64, Arc<Seat>>,
}

const WAITING: u8 = 0;
const SERVED: u8 = 1;
const LEAVING: u8 = 2;

/// What is done for a newcomer that finds no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    /// One connection has been asked to leave.
    Asked,
    /// The oldest unfinished one may stay for that long.
    In(Duration),
    /// Every connection is being worked on.
    None,
}

impl Pending {
    pub(super) fn new(gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self {
            places: Mutex::default(),
            changed: Notify::new(),
            gauge,
        })
    }

    /// Takes a place of `limit`, making room for it. Only one caller may wait here at a time.
    pub(super) async fn enter(self: &Arc<Self>, limit: usize) -> Place {
        loop {
            let now = Instant::now();
            if let Some(place) = self.take(limit, now) {
                return place;
            }
            let changed = self.changed.notified();
            match self.make_room(now) {
                Room::In(rest) => {
                    let _ = timeout(rest, changed).await;
                }
                Room::Asked | Room::None => changed.await,
            }
        }
    }

    /// Asks the oldest unfinished connection to leave, whether or not the bound is met: for when files
    /// run out.
    pub(super) fn shed(&self) {
        self.make_room(Instant::now());
    }

    fn take(self: &Arc<Self>, limit: usize, now: Instant) -> Option<Place> {
        let mut places = self.lock();
        if places.taken >= limit {
            return None;
        }
        let number = places.next;
        let seat = Arc::new(Seat {
            arrived: now,
            stage: AtomicU8::new(WAITING),
            leave: Notify::new(),
        });
        places.next += 1;
        places.taken += 1;
        places.silent.insert(number, seat.clone());
        self.gauge.set(places.taken as i64);
        Some(Place {
            pending: self.clone(),
            number,
            seat,
        })
    }

    fn make_room(&self, now: Instant) -> Room {
        let mut places = self.lock();
        let seat = match places.silent.pop_first() {
            Some((_, seat)) => seat,
            None => match places.reading.first_entry() {
                None => return Room::None,
                Some(oldest) => {
                    let age = now.saturating_duration_since(oldest.get().arrived);
                    if age < GRACE {
                        return Room::In(GRACE - age);
                    }
                    oldest.remove()
                }
            },
        };
        seat.stage.store(LEAVING, Ordering::Relaxed);
        seat.leave.notify_one();
        Room::Asked
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Nothing in here can panic while it is locked.
        self.places.lock().expect("no holder panics")
    }
}

impl Place {
    /// The client has sent something. It also takes back a request to leave that crossed its bytes.
    pub(super) fn heard(&self) {
        let mut places = self.pending.lock();
        places.silent.remove(&self.number);
        self.seat.stage.store(WAITING, Ordering::Relaxed);
        places.reading.insert(self.number, self.seat.clone());
        drop(places);
        self.pending.changed.notify_one();
    }

    /// The whole request is there: from now on it is ours to finish, and nobody asks it to leave.
    pub(super) fn served(&self) {
        let mut places = self.pending.lock();
        places.silent.remove(&self.number);
        places.reading.remove(&self.number);
        self.seat.stage.store(SERVED, Ordering::Relaxed);
        drop(places);
        self.pending.changed.notify_one();
    }

    /// Whether the whole request is there.
    pub(super) fn is_served(&self) -> bool {
        self.seat.stage.load(Ordering::Relaxed) == SERVED
    }

    /// When the connection was accepted.
    pub(super) fn arrived(&self) -> Instant {
        self.seat.arrived
    }

    /// Ends when the connection is to leave.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.seat.leave.notified().await;
            if self.seat.stage.load(Ordering::Relaxed) == LEAVING {
                return;
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.pending.lock();
        places.silent.remove(&self.number);
        places.reading.remove(&self.number);
        places.taken -= 1;
        self.pending.gauge.set(places.taken as i64);
        drop(places);
        self.pending.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Arc<Pending> {
        Pending::new(IntGauge::new("pending", "pending").unwrap())
    }

    fn leaving(place: &Place) -> bool {
        place.seat.stage.load(Ordering::Relaxed) == LEAVING
    }

    #[test]
    fn the_oldest_silent_one_leaves_first_and_the_served_never() {
        let pending = pending();
        let start = Instant::now();
        let [served, reading, silent, younger] =
            [0, 1, 2, 3].map(|at| pending.take(4, start + Duration::from_millis(at)).unwrap());
        served.heard();
        served.served();
        reading.heard();
        let much_later = start + 10 * GRACE;
        assert!(pending.take(4, much_later).is_none());

        assert_eq!(pending.make_room(much_later), Room::Asked);
        assert!(leaving(&silent) && !leaving(&younger) && !leaving(&reading));
        assert_eq!(pending.make_room(much_later), Room::Asked);
        assert!(leaving(&younger) && !leaving(&reading));
        assert_eq!(pending.make_room(much_later), Room::Asked);
        assert!(leaving(&reading));
        assert_eq!(pending.make_room(much_later), Room::None);
        assert!(served.is_served());

        drop(silent);
        assert!(pending.take(4, much_later).is_some());
    }

    #[test]
    fn who_has_begun_its_request_has_a_moment_to_finish_it() {
        let pending = pending();
        let start = Instant::now();
        let place = pending.take(1, start).unwrap();
        place.heard();
        let half = GRACE / 2;
        assert_eq!(pending.make_room(start + half), Room::In(half));
        assert_eq!(pending.make_room(start + GRACE), Room::Asked);
        assert!(leaving(&place));
    }

    #[tokio::test]
    async fn bytes_that_crossed_the_request_to_leave_win() {
        let pending = pending();
        let place = pending.take(1, Instant::now()).unwrap();
        assert_eq!(pending.make_room(Instant::now()), Room::Asked);
        place.heard();
        // The wake-up that is still stored must not count.
        let asked = timeout(Duration::from_millis(20), place.asked_to_leave()).await;
        assert!(asked.is_err());
        place.served();
        assert_eq!(pending.make_room(Instant::now() + 2 * GRACE), Room::None);
    }

    #[tokio::test]
    async fn a_newcomer_gets_the_place_of_a_silent_one() {
        let pending = pending();
        let silent = pending.enter(1).await;
        let newcomer = async {
            let place = pending.enter(1).await;
            assert_eq!(pending.gauge.get(), 1);
            place
        };
        let leaver = async {
            silent.asked_to_leave().await;
            drop(silent);
        };
        tokio::join!(newcomer, leaver);
        assert_eq!(pending.gauge.get(), 0);
    }
}
