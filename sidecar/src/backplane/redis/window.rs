//! The publishes of this process that Redis has in hand. Each holds a place in its partition's
//! window; the script writes the publish's position there. After a lost connection the place says
//! whether the script had run, without a record for every publish: a place is used again only once
//! its publish has ended, and a use that is older than the recorded one is refused.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Places in a window: publishes of one partition that may be in hand at once.
const PLACES: u16 = 1024;

/// The places of one partition.
pub(super) struct Window {
    /// Place and its next use. The last freed is used first, so that few are in use.
    free: Mutex<Vec<(u16, u64)>>,
    room: Semaphore,
}

/// One publish's place, until it is dropped.
pub(super) struct Place<'a> {
    window: &'a Window,
    pub(super) index: u16,
    pub(super) using: u64,
    _room: SemaphorePermit<'a>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            free: Mutex::new((0..PLACES).rev().map(|index| (index, 1)).collect()),
            room: Semaphore::new(usize::from(PLACES)),
        }
    }

    /// Waits for a free place.
    pub(super) async fn place(&self) -> Place<'_> {
        let room = self.room.acquire().await;
        let room = room.expect("the semaphore is never closed");
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let (index, using) = free.expect("there are as many permits as places");
        Place {
            window: self,
            index,
            using,
            _room: room,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let free = self.window.free.lock();
        let mut free = free.unwrap_or_else(PoisonError::into_inner);
        free.push((self.index, self.using + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_never_used_twice_the_same_way() {
        let window = Window::new();
        let mut used = std::collections::HashSet::new();
        for _ in 0..3 {
            let mut places = Vec::new();
            for _ in 0..PLACES {
                let place = window.place().await;
                assert!(used.insert((place.index, place.using)));
                places.push(place);
            }
            assert_eq!(window.room.available_permits(), 0);
        }
        assert_eq!(window.room.available_permits(), usize::from(PLACES));
    }
}
