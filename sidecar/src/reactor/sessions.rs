//! The handler's state of the sessions, beside the connections but apart from them, so that a handler
//! can hold a session and the [`super::Context`] at once.

use super::SessionId;

/// The handler's state of every session of this reactor.
#[derive(Debug)]
pub struct Sessions<S> {
    slots: Vec<Option<Slot<S>>>,
    live: usize,
}

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    /// A Close frame has been queued or received.
    closing: bool,
    state: S,
}

impl<S> Default for Sessions<S> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            live: 0,
        }
    }
}

impl<S> Sessions<S> {
    /// One session's state. None when it is over, or closing: what the running callback has closed
    /// counts from the next callback on.
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut S> {
        self.slot(id)
            .filter(|slot| !slot.closing)
            .map(|slot| &mut slot.state)
    }

    /// All of them, but those that are closing.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (SessionId, &mut S)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(index, slot)| {
                let slot = slot.as_mut().filter(|slot| !slot.closing)?;
                let id = SessionId {
                    index: index as u32,
                    generation: slot.generation,
                };
                Some((id, &mut slot.state))
            })
    }

    /// How many there are, without those that are closing.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn insert(&mut self, id: SessionId, state: S) {
        let index = id.index as usize;
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.slots[index] = Some(Slot {
            generation: id.generation,
            closing: false,
            state,
        });
        self.live += 1;
    }

    /// False when it was closing already, or is over.
    pub(super) fn set_closing(&mut self, id: SessionId) -> bool {
        let Some(slot) = self.slot(id).filter(|slot| !slot.closing) else {
            return false;
        };
        slot.closing = true;
        self.live -= 1;
        true
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<S> {
        self.set_closing(id);
        self.slot(id)?;
        self.slots[id.index as usize].take().map(|slot| slot.state)
    }

    fn slot(&mut self, id: SessionId) -> Option<&mut Slot<S>> {
        let slot = self.slots.get_mut(id.index as usize)?.as_mut()?;
        (slot.generation == id.generation).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_sessions_are_out_of_sight() {
        let id = |index, generation| SessionId { index, generation };
        let mut sessions = Sessions::default();
        sessions.insert(id(0, 1), 'a');
        sessions.insert(id(2, 2), 'b');
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions.get_mut(id(2, 1)), None);
        assert!(sessions.set_closing(id(0, 1)));
        assert!(!sessions.set_closing(id(0, 1)));
        assert_eq!(sessions.get_mut(id(0, 1)), None);
        assert_eq!(sessions.len(), 1);
        assert_eq!(
            sessions.iter_mut().map(|(id, _)| id).collect::<Vec<_>>(),
            [id(2, 2)]
        );
        assert_eq!(sessions.remove(id(0, 1)), Some('a'));
        assert_eq!(sessions.remove(id(0, 1)), None);
        sessions.insert(id(0, 3), 'c');
        assert_eq!(sessions.remove(id(0, 1)), None);
        assert_eq!(sessions.len(), 2);
    }
}
