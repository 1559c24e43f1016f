//! What the admin port asks of the gateway.

/// The gateway's own account of itself. Called often: reads counters, never waits.
pub trait Vitals: Send + Sync + 'static {
    /// This pod's name in its fleet.
    fn node(&self) -> &str;

    /// How many reactors it has.
    fn reactors(&self) -> usize;

    /// Whether the public port takes connections. False until everything before it is up.
    fn listening(&self) -> bool;

    /// Whether clients' tokens can be verified: false while the only key set could not be fetched yet.
    fn has_keys(&self) -> bool;

    /// Whether the backplane is away.
    fn degraded(&self) -> bool;

    /// Sessions in this pod.
    fn sessions(&self) -> usize;

    /// Subscribers, in this pod, of the topic that has most of them.
    fn largest_topic(&self) -> usize;

    /// Bytes queued for clients and not yet taken by the kernel.
    fn outbound_queued_bytes(&self) -> u64;

    /// Sessions that fit here.
    fn capacity(&self) -> usize;

    /// `limits.connections` in force; 0: none.
    fn connection_limit(&self) -> u32;

    /// Totals since the start.
    fn traffic(&self) -> Traffic;
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Upgrades done.
    pub handshakes: u64,
    /// Messages from clients.
    pub messages_in: u64,
    /// Messages to clients.
    pub messages_out: u64,
    /// Bytes read from clients' sockets.
    pub bytes_in: u64,
    /// Bytes written to clients' sockets.
    pub bytes_out: u64,
}
