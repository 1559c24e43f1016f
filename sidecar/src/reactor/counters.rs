//! What a reactor counts. The loop counts in plain integers and publishes them once a turn, so that
//! counting costs nothing per message and other threads read without a lock.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Closed;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A reactor's figures at the end of a turn. All but the three gauges at the end only grow.
        #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign for Counters {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }

        /// The figures, as other threads see them. Written by one thread.
        #[derive(Debug, Default)]
        pub(super) struct Published {
            $($name: AtomicU64,)*
        }

        impl Published {
            pub(super) fn store(&self, counters: &Counters) {
                $(self.$name.store(counters.$name, Ordering::Relaxed);)*
            }

            pub(super) fn load(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Sessions begun.
    sessions_opened,
    /// Sessions ended, however.
    sessions_closed,
    /// Whole messages from clients.
    messages_in,
    /// Bytes read from sockets.
    bytes_in,
    /// Messages queued or written for clients.
    messages_out,
    /// Bytes that the kernel took.
    bytes_out,
    /// Writes to sockets: what a turn has for a session goes out in one.
    writes,
    /// Shared frames that were dropped: by an overflow policy, or with a slow session.
    frames_dropped,
    /// Sessions closed with 1002: the client broke the protocol.
    closed_protocol,
    /// Sessions closed with 1007: text that is not UTF-8.
    closed_utf8,
    /// Sessions closed with 1009: a message too big, or too many unfinished ones.
    closed_oversize,
    /// Sessions closed with 4508: the client did not read.
    closed_slow,
    /// Sessions closed by this side with any other code.
    closed_other,
    /// Sessions that the client closed.
    closed_by_client,
    /// Sessions whose connection broke, ended without a Close frame, or was aborted.
    closed_lost,
    /// Sessions that agreed on compression.
    sessions_deflated,
    /// Payload of deflated messages from clients, as it came.
    inflated_bytes,
    /// The same payload, inflated.
    inflated_plain_bytes,
    /// Messages refused because they would have inflated past the limit; their sessions are closed with
    /// 1009.
    inflated_oversize,
    /// Messages that went to clients deflated, with those that were pushed together with them, once for
    /// each receiver.
    deflated_bytes,
    /// The same, as they would have gone.
    deflated_plain_bytes,
    /// Gauge: bytes of earlier messages kept for sessions whose next ones may refer to them.
    history_bytes,
    /// Gauge: bytes held for frames and messages that are not complete.
    partial_bytes,
    /// Gauge: bytes queued for sessions and not yet taken by the kernel.
    queued_bytes,
}

impl Counters {
    pub(super) fn count_closed(&mut self, closed: Closed) {
        self.sessions_closed += 1;
        *match closed {
            Closed::ByClient(_) => &mut self.closed_by_client,
            Closed::ByServer(1002) => &mut self.closed_protocol,
            Closed::ByServer(1007) => &mut self.closed_utf8,
            Closed::ByServer(1009) => &mut self.closed_oversize,
            Closed::ByServer(super::SLOW_CONSUMER) => &mut self.closed_slow,
            Closed::ByServer(_) => &mut self.closed_other,
            Closed::Lost => &mut self.closed_lost,
        } += 1;
    }
}
