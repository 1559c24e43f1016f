//! Ports for the servers that a test starts.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The kernel gives outgoing connections ports from 32,768 on (`ip_local_port_range`); a server's
/// port is taken from below, so that none of a test's thousands of clients can sit on it.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

static NEXT: AtomicU16 = AtomicU16::new(u16::MAX);

/// A port of 127.0.0.1 that nobody listens on, never given twice by this process until all were.
///
/// # Panics
/// When every port is taken.
pub fn free() -> u16 {
    let start = fastrand::u16(..COUNT);
    // Only the first caller's start counts; an error says that another was first.
    let _ = NEXT.compare_exchange(u16::MAX, start, Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..COUNT {
        let turn = NEXT
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| {
                Some((next + 1) % COUNT)
            })
            .expect("the closure always gives a value");
        let port = FIRST + turn % COUNT;
        if is_free(port) {
            return port;
        }
    }
    panic!(
        "no port of 127.0.0.1 between {FIRST} and {} is free",
        FIRST + COUNT
    );
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
