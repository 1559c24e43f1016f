//! What a client offers and what it is answered (RFC 7692 sections 5 and 7.1).

use super::MAX_WINDOW_BITS;
use crate::wire::extensions::Offer;

const NAME: &str = "permessage-deflate";

/// Window of messages that refer to earlier ones, as far as it is ours to choose: what is remembered of a
/// client each way is no more than this, 8 KiB, which is dozens of the usual messages.
const TAKEOVER_WINDOW_BITS: u8 = 13;

/// Smallest window that zlib can deflate with. Section 7.1.2.1 lets a client ask for 8 bits, but zlib
/// refuses to write a raw stream with them (`deflateInit2` in its manual). Writing with 9 would break
/// the promise to a client that has 256 bytes, so the offer is declined; its next one may do. Inflating
/// needs no such care, so that the client's own window may have 8 bits.
const MIN_DEFLATE_BITS: u8 = 9;

/// What this server is ready to agree on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Whether messages may refer to earlier ones: they get smaller, cannot be shared by receivers, and
    /// up to 40 KiB are kept for each client.
    pub context_takeover: bool,
}

/// What client and server have agreed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Agreed {
    client_no_context_takeover: bool,
    /// Answered only to a client that says it can.
    client_max_window_bits: Option<u8>,
    server_no_context_takeover: bool,
    /// Asked for by the client.
    server_max_window_bits: Option<u8>,
}

impl Agreed {
    /// The first of the offers that can be accepted, if any.
    pub(in crate::wire) fn first(offers: &[Offer<'_>], terms: Terms) -> Option<Self> {
        offers.iter().find_map(|offer| Self::accept(offer, terms))
    }

    /// None for another extension, and for an offer with a parameter that is unknown, has an invalid value
    /// or comes twice (section 7.1), or that asks for what zlib does not do.
    fn accept(offer: &Offer<'_>, terms: Terms) -> Option<Self> {
        if !offer.name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut asked = [None; 4];
        for (name, value) in &offer.params {
            let value = value.as_deref();
            let (place, wanted) = match *name {
                "client_max_window_bits" => (0, value.map_or(Some(MAX_WINDOW_BITS), bits)?),
                "client_no_context_takeover" => (1, value.is_none().then_some(0)?),
                "server_max_window_bits" => (2, bits(value?)?),
                "server_no_context_takeover" => (3, value.is_none().then_some(0)?),
                _ => return None,
            };
            if asked[place].replace(wanted).is_some() {
                return None;
            }
        }
        let [
            client_bits,
            client_alone,
            server_max_window_bits,
            server_alone,
        ] = asked;
        if server_max_window_bits.is_some_and(|bits| bits < MIN_DEFLATE_BITS) {
            return None;
        }
        let client_no_context_takeover = !terms.context_takeover || client_alone.is_some();
        Some(Self {
            client_no_context_takeover,
            // Only where a window is remembered does its size matter here.
            client_max_window_bits: client_bits
                .filter(|_| !client_no_context_takeover)
                .map(|bits| bits.min(TAKEOVER_WINDOW_BITS)),
            server_no_context_takeover: !terms.context_takeover || server_alone.is_some(),
            server_max_window_bits,
        })
    }

    /// What is agreed on with a client that makes this one offer.
    #[cfg(test)]
    pub(crate) fn for_tests(offer: &'static str, context_takeover: bool) -> Self {
        use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};

        let offer = HeaderValue::from_static(offer);
        let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_EXTENSIONS, offer)]);
        let offers = crate::wire::extensions::offers(&headers).unwrap();
        Self::first(&offers, Terms { context_takeover }).unwrap()
    }

    /// The value of Sec-WebSocket-Extensions in the answer. The server may ask for no context takeover
    /// although the client did not offer it (sections 7.1.1.1 and 7.1.1.2).
    pub fn answer(&self) -> String {
        let mut answer = NAME.to_owned();
        if self.server_no_context_takeover {
            answer += "; server_no_context_takeover";
        }
        if self.client_no_context_takeover {
            answer += "; client_no_context_takeover";
        }
        if let Some(bits) = self.server_max_window_bits {
            answer += &format!("; server_max_window_bits={bits}");
        }
        if let Some(bits) = self.client_max_window_bits {
            answer += &format!("; client_max_window_bits={bits}");
        }
        answer
    }

    /// Bits of the window that a message to the client is deflated with.
    pub(super) fn server_window_bits(&self) -> u8 {
        self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS)
    }

    /// Bits of what is remembered of the messages to the client. None when none refers to another.
    pub(super) fn sent_bits(&self) -> Option<u8> {
        (!self.server_no_context_takeover)
            .then(|| self.server_window_bits().min(TAKEOVER_WINDOW_BITS))
    }

    /// The same of the messages from the client.
    pub(super) fn received_bits(&self) -> Option<u8> {
        (!self.client_no_context_takeover)
            .then(|| self.client_max_window_bits.unwrap_or(MAX_WINDOW_BITS))
    }

    /// Whether what is deflated with the largest window and without a history can be inflated.
    pub(super) fn shares(&self) -> bool {
        self.server_no_context_takeover && self.server_window_bits() == MAX_WINDOW_BITS
    }
}

/// Section 7.1.2: a decimal number from 8 to 15 without leading zeroes.
fn bits(value: &str) -> Option<u8> {
    let bits = value.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    value.starts_with(|c| c != '0' && c != '+').then_some(bits)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{HeaderMap, SEC_WEBSOCKET_EXTENSIONS};

    use super::*;
    use crate::wire::extensions;

    fn answer(offers: &str, context_takeover: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            SEC_WEBSOCKET_EXTENSIONS,
            HeaderValue::from_str(offers).unwrap(),
        );
        let offers = extensions::offers(&headers).unwrap();
        Agreed::first(&offers, Terms { context_takeover }).map(|agreed| agreed.answer())
    }

    #[test]
    fn answers_without_context_takeover() {
        const ALONE: &str = "; server_no_context_takeover; client_no_context_takeover";
        let table = [
            ("permessage-deflate", ""),
            ("PerMessage-Deflate", ""),
            ("permessage-deflate; client_max_window_bits", ""),
            ("permessage-deflate; client_max_window_bits=8", ""),
            ("permessage-deflate; server_no_context_takeover", ""),
            ("permessage-deflate; client_no_context_takeover", ""),
            (
                "permessage-deflate; server_max_window_bits=\"10\"",
                "; server_max_window_bits=10",
            ),
            (
                "permessage-deflate; server_max_window_bits=15",
                "; server_max_window_bits=15",
            ),
            ("x-webkit-deflate-frame, permessage-deflate", ""),
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate",
                "",
            ),
            (
                "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=9",
                "; server_max_window_bits=9",
            ),
        ];
        for (offers, more) in table {
            let expected = format!("permessage-deflate{ALONE}{more}");
            assert_eq!(answer(offers, false), Some(expected), "{offers}");
        }
    }

    #[test]
    fn answers_with_context_takeover() {
        let table = [
            ("", ""),
            ("; client_max_window_bits", "; client_max_window_bits=13"),
            ("; client_max_window_bits=15", "; client_max_window_bits=13"),
            ("; client_max_window_bits=8", "; client_max_window_bits=8"),
            ("; server_max_window_bits=9", "; server_max_window_bits=9"),
            (
                "; server_no_context_takeover",
                "; server_no_context_takeover",
            ),
            (
                "; client_no_context_takeover; client_max_window_bits",
                "; client_no_context_takeover",
            ),
        ];
        for (offer, expected) in table {
            assert_eq!(
                answer(&format!("permessage-deflate{offer}"), true),
                Some(format!("permessage-deflate{expected}")),
                "{offer}"
            );
        }
    }

    #[test]
    fn declines_what_is_invalid() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; unknown",
            "permessage-deflate; Server_No_Context_Takeover",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; server_max_window_bits=x",
            "permessage-deflate; client_max_window_bits=0",
            "permessage-deflate; client_max_window_bits=265",
            "permessage-deflate; client_max_window_bits=\"016\"",
        ] {
            for context_takeover in [false, true] {
                assert_eq!(answer(offer, context_takeover), None, "{offer}");
            }
        }
    }
}
