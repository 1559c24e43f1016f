//! What a drain moves in this gateway.

use std::time::Duration;

use crate::drain;
use crate::edge::EdgeControl;
use crate::hub::Fleet;

pub(super) struct Doors {
    pub(super) edge: EdgeControl,
    pub(super) fleet: Fleet,
}

impl drain::Doors for Doors {
    fn refuse(&self, on: bool) {
        self.edge.refuse(on);
    }

    fn leave(&self, window: Duration, deadline: Duration) {
        self.fleet.leave(window, deadline);
    }

    async fn shed(&self, sessions: usize, window: Duration) -> usize {
        self.fleet.shed(sessions, window).await
    }

    fn stay(&self) {
        self.fleet.stay();
    }

    fn sessions(&self) -> usize {
        self.fleet.sessions()
    }
}
