//! The ways in which a client can break the protocol.

/// How a client broke the protocol, or asked for more than it may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Violation {
    /// Section 5.5.1.
    #[error("close frame with a body of one byte")]
    CloseBody,
    /// Section 7.4.
    #[error("close code that must not be sent")]
    CloseCode,
    /// Section 5.5.
    #[error("control frame longer than 125 bytes")]
    ControlTooLong,
    /// Section 5.5.
    #[error("control frame in fragments")]
    FragmentedControl,
    /// Section 7.4.1, code 1009: it is small, and what it inflates to is not.
    #[error("message too big when inflated")]
    InflatedTooBig,
    /// RFC 7692 section 7.2.2.
    #[error("payload that cannot be inflated")]
    InvalidDeflate,
    /// Section 8.1.
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    /// Section 5.2: the highest bit of a length is zero.
    #[error("length above 2^63")]
    LengthTooLarge,
    /// Section 5.4.
    #[error("new message inside a fragmented one")]
    MessageInsideMessage,
    /// Section 5.2: no extension has been negotiated that gives them a meaning, or it gives them none there
    /// (RFC 7692 section 6).
    #[error("reserved bits")]
    ReservedBits,
    /// Section 7.4.1, code 1009.
    #[error("message too big")]
    TooBig,
    /// Section 5.4.
    #[error("continuation of no message")]
    UnexpectedContinuation,
    /// Section 5.2.
    #[error("unknown opcode")]
    UnknownOpcode,
    /// Section 5.1.
    #[error("frame without a mask")]
    Unmasked,
}

impl Violation {
    /// The close code that tells the client.
    pub fn code(self) -> u16 {
        match self {
            Self::InvalidDeflate | Self::InvalidUtf8 => 1007,
            Self::InflatedTooBig | Self::TooBig => 1009,
            _ => 1002,
        }
    }
}
