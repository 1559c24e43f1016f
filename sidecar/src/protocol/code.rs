//! Close codes that this side sends (DESIGN 3.6). Never 1000, 1001 or 1008: the published clients
//! do not come back after those (wse-protocol 1.11).

/// Drain or shed: come back now.
pub const GO_AWAY: u16 = 4300;
/// Bad or expired token: both published clients give up.
pub const UNAUTHENTICATED: u16 = 4401;
/// Nothing was received for too long.
pub const IDLE: u16 = 4408;
/// Far more was sent than is allowed, for a long time.
pub const RATE_LIMITED: u16 = 4429;
/// The client does not read what it is sent.
pub const SLOW: u16 = 4508;

/// A close code as a metric's label: the codes of the table by themselves, others by their kind.
pub(super) fn label(code: u16) -> &'static str {
    match code {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1003 => "1003",
        1005 => "1005",
        1007 => "1007",
        1009 => "1009",
        GO_AWAY => "4300",
        UNAUTHENTICATED => "4401",
        4403 => "4403",
        IDLE => "4408",
        RATE_LIMITED => "4429",
        SLOW => "4508",
        4000..=4999 => "4xxx",
        _ => "other",
    }
}
