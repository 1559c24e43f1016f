//! What the tests and `wse-bench` use to look at a fleet from the outside: a WebSocket client that
//! shares no code with the gateway, thousands of raw ones in a thread, a small HTTP client for the backends' API and the admin port,
//! tokens, and processes (gateways and a Redis) that end with the value that holds them. Of the
//! gateway's own crate it knows the configuration file, which it writes as the operator does.

pub mod api;
pub mod client;
pub mod fleet;
mod http;
pub mod metrics;
pub mod ports;
pub mod process;
pub mod raw;
pub mod redis;
pub mod tls;
pub mod token;

/// Why something did not work, in words for the person who runs a test or a benchmark.
#[derive(thiserror::Error)]
pub enum Error {
    /// A request was answered, with a status that says no.
    #[error("{method} {url} answered {status}: {body}")]
    Answered {
        /// The request's method.
        method: String,
        /// The request's URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
        /// The answer's body.
        body: String,
    },
    /// The server sent a Close frame.
    #[error("the server closed with {code} {reason:?}")]
    Closed {
        /// The close code; 1005 when the frame had none.
        code: u16,
        /// The close reason.
        reason: String,
    },
    /// The connection broke without a Close frame.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The server sent what the protocol does not have here.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// The upgrade happened and was taken back: an error message, then a Close frame.
    #[error("the server refused the client: {code} ({message}), then closed with {close}")]
    Refused {
        /// The error message's code, such as `AUTH_FAILED`.
        code: String,
        /// The error message's text.
        message: String,
        /// The close code that followed.
        close: u16,
    },
    /// A process could not be started or did not do its part.
    #[error("{0}")]
    Process(String),
    /// It took too long.
    #[error("gave up waiting for {0}")]
    Timeout(String),
    /// The server cannot be reached.
    #[error("cannot connect to {address}: {error}")]
    Unreachable {
        /// Where the server should be.
        address: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The server answered the upgrade with something other than 101.
    #[error("the server refused the upgrade with HTTP {status}")]
    Upgrade {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u64>,
    },
}

/// In words as well: a test that ends with an error shows this.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}
