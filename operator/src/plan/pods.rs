//! What a pod's state means to the rules.

use super::{Load, Pod, PodState};

/// More open files than any kernel allows a process by default (`fs.nr_open`, 2^20), by far.
const MOST_SESSIONS: u32 = 16_000_000;
/// More processors than any machine has.
const MOST_MILLICORES: u64 = 16_000_000;

impl Load {
    /// Whether the pod has no session, and takes none. One that still accepts is not emptied, whatever
    /// its count.
    pub fn is_emptied(&self) -> bool {
        self.refuses && self.sessions == 0
    }
}

impl Load {
    /// Whether a process can carry so much. One that says otherwise is wrong about itself, and what it
    /// says counts as nothing.
    fn is_plausible(&self) -> bool {
        self.sessions <= MOST_SESSIONS && self.cpu_millicores <= MOST_MILLICORES
    }
}

impl Pod {
    /// What it says of itself, if that can be.
    pub(super) fn known(&self) -> Option<&Load> {
        let counts = self.state != PodState::Leave && self.state != PodState::Down;
        self.load
            .as_ref()
            .filter(|load| counts && load.is_plausible())
    }

    /// Whether it takes clients and may go on doing so.
    pub(super) fn serves(&self) -> bool {
        self.state == PodState::Ready && !self.asked_to_drain
    }

    /// Whether its going costs nobody anything.
    pub(super) fn is_empty(&self) -> bool {
        self.state == PodState::Down
            || (self.asked_to_drain && self.load.is_some_and(|load| load.is_emptied()))
    }

    /// Whether it serves nobody, and nobody would have to move if it went.
    pub(super) fn is_idle(&self) -> bool {
        !self.serves() && self.sessions() == Some(0)
    }

    /// Sessions in it, if that is known.
    pub(super) fn sessions(&self) -> Option<u32> {
        match self.state {
            PodState::Down => Some(0),
            _ => self.load.map(|load| load.sessions),
        }
    }
}
