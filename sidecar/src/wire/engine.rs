//! One connection after the upgrade.

use std::mem;
use std::ops::Range;

use super::deflate::{Agreed, Deflation, Inflater, deflated_bound};
use super::header::{ClientHeader, Header, Opcode, Whole};
use super::mask::unmask;
use super::message::{Assembled, Partial};
use super::{Event, Kind, Step, Violation, close, utf8};

/// The server's side of one connection. It holds bytes only while a frame or a message is split
/// across pieces of input; an idle connection holds none.
///
/// Getters; [`Engine::take_whole`] and [`Engine::handle_input`] take what came from the client;
/// [`Engine::close`] is the one command; [`Engine::poll_transmit`] gives the control frames that must go
/// out.
#[derive(Debug, Default)]
pub struct Engine {
    state: State,
    /// The data frame whose payload is arriving.
    frame: Option<Frame>,
    /// The message whose frames are arriving.
    message: Option<Partial>,
    /// The bytes of a header, or of a whole control frame, that is not complete. At most 131.
    carry: Vec<u8>,
    /// Payload of a ping that has not been answered.
    pong: Option<Vec<u8>>,
    /// Body of the Close frame that has to go out.
    close: Option<Vec<u8>>,
    /// Frames since the last [`Engine::take_overhead_frames`] that completed no message.
    overhead_frames: u32,
    /// Where messages may be deflated. Apart, because most connections have none.
    deflation: Option<Box<Deflation>>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// Nothing more is read: the client's Close frame came, or the client broke the protocol.
    Closed,
    /// Our Close frame came first. Data is passed over until the client's comes.
    CloseSent,
    #[default]
    Open,
}

#[derive(Debug)]
struct Frame {
    fin: bool,
    mask: [u8; 4],
    /// Bytes of payload that have arrived, as far as the mask cares.
    phase: usize,
    remaining: u64,
}

impl Engine {
    /// For a connection whose handshake has agreed on the extension, or not.
    pub fn new(agreed: Option<Agreed>) -> Self {
        Self {
            deflation: agreed.map(|agreed| Box::new(Deflation::new(agreed))),
            ..Self::default()
        }
    }

    /// What deflates messages for this client, if that was agreed on.
    pub fn deflation_mut(&mut self) -> Option<&mut Deflation> {
        self.deflation.as_deref_mut()
    }

    /// Memory held of messages that later ones may refer to, in bytes.
    pub fn history_bytes(&self) -> usize {
        self.deflation
            .as_ref()
            .map_or(0, |deflation| deflation.history_bytes())
    }

    /// Whether no Close frame has been sent or received.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Memory held for a message that is not complete, in bytes. A split header or control frame is not
    /// counted: it is at most 131 bytes, and closing would not free it.
    pub fn partial_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, Partial::held_bytes)
    }

    /// Takes a message that came in one frame and is all there, if that is what comes next and nothing is
    /// wrong with it: unmasked where it lies, at this range of the input, with whose end it is done. The short
    /// way, for most input; [`Engine::handle_input`] takes such a message too, and copies it.
    #[inline(always)]
    pub fn take_whole(
        &mut self,
        input: &mut [u8],
        message_bytes: usize,
    ) -> Option<(Kind, Range<usize>)> {
        let is_between = self.state == State::Open
            && self.frame.is_none()
            && self.message.is_none()
            && self.carry.is_empty();
        if !is_between {
            return None;
        }
        let Whole {
            kind,
            mask,
            payload,
        } = Whole::parse(input).filter(|whole| whole.payload.len() <= message_bytes)?;
        let bytes = &mut input[payload.clone()];
        let is_ascii = unmask(bytes, mask, 0);
        if kind == Kind::Text && !is_ascii && !utf8::is_valid(bytes) {
            // It is left as it came, to be refused on the long way.
            unmask(bytes, mask, 0);
            return None;
        }
        Some((kind, payload))
    }

    /// Takes bytes from the client, up to the next event. To be called with the rest until all is
    /// consumed. A message above `message_bytes`, deflated or not, is a violation.
    pub fn handle_input(
        &mut self,
        input: &mut [u8],
        message_bytes: usize,
        inflater: &mut Inflater,
    ) -> Step {
        let mut consumed = 0;
        while consumed < input.len() {
            if self.state == State::Closed {
                return Step {
                    consumed: input.len(),
                    event: None,
                };
            }
            let rest = &mut input[consumed..];
            let taken = if self.frame.is_some() {
                self.take_payload(rest)
            } else if self.carry.is_empty() {
                self.take_frame(rest, message_bytes)
            } else {
                self.take_carry(rest, message_bytes)
            };
            match taken {
                Ok((bytes, None)) => consumed += bytes,
                Ok((bytes, Some(mut event))) => {
                    if let Event::Assembled(message) = &mut event
                        && message.is_deflated()
                    {
                        match self.inflate(message, message_bytes, inflater) {
                            Ok(inflated) => *message = inflated,
                            Err(violation) => return self.fail(violation, input.len()),
                        }
                    }
                    return Step {
                        consumed: consumed + bytes,
                        event: Some(event),
                    };
                }
                Err(violation) => return self.fail(violation, input.len()),
            }
        }
        Step {
            consumed,
            event: None,
        }
    }

    /// Begins the close handshake. Messages that still come are passed over. False when it has begun
    /// already. A reason longer than [`super::MAX_REASON_BYTES`] is cut at a character.
    pub fn close(&mut self, code: u16, reason: &str) -> bool {
        if self.state != State::Open {
            return false;
        }
        self.state = State::CloseSent;
        self.close = Some(close::body(code, reason));
        self.message = None;
        true
    }

    /// Pings, pongs and fragments but the last that came since this was asked: what costs work and is no
    /// message.
    pub fn take_overhead_frames(&mut self) -> u32 {
        mem::take(&mut self.overhead_frames)
    }

    /// Drops a message that will never be complete, because nothing is read any more.
    pub fn discard_partial(&mut self) {
        self.message = None;
    }

    /// Appends the control frames that have to go out, if any: to be called after each ping and at the
    /// end. Nothing may be sent after a Close frame.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let pong = self.pong.take().map(|payload| (Opcode::Pong, payload));
        let close = self.close.take().map(|body| (Opcode::Close, body));
        let mut some = false;
        for (opcode, payload) in pong.into_iter().chain(close) {
            out.extend_from_slice(Header::new(opcode, payload.len()).as_bytes());
            out.extend_from_slice(&payload);
            some = true;
        }
        some
    }

    /// Whether [`Engine::poll_transmit`] has something.
    pub fn wants_transmit(&self) -> bool {
        self.pong.is_some() || self.close.is_some()
    }

    /// At a frame's first byte.
    fn take_frame(&mut self, input: &mut [u8], message_bytes: usize) -> Taken {
        let Some(header) = ClientHeader::parse(input, self.deflation.is_some())? else {
            self.carry.extend_from_slice(input);
            return Ok((input.len(), None));
        };
        let arrived = (input.len() - header.header_bytes) as u64;
        if header.opcode.is_control() {
            if arrived < header.payload_bytes {
                self.carry.extend_from_slice(input);
                return Ok((input.len(), None));
            }
            let end = header.header_bytes + header.payload_bytes as usize;
            let payload = &mut input[header.header_bytes..end];
            unmask(payload, header.mask, 0);
            return Ok((end, self.control(header.opcode, payload)?));
        }
        self.admit(&header, message_bytes)?;
        Ok((header.header_bytes, self.begin(&header)?))
    }

    /// Inside a header, or inside a control frame.
    fn take_carry(&mut self, input: &[u8], message_bytes: usize) -> Taken {
        let may_deflate = self.deflation.is_some();
        let mut used = 0;
        let header = loop {
            if let Some(header) = ClientHeader::parse(&self.carry, may_deflate)? {
                break header;
            }
            used += self.fill_carry(ClientHeader::needed_bytes(&self.carry), &input[used..]);
            if used == input.len() && self.carry.len() < ClientHeader::needed_bytes(&self.carry) {
                // The last byte may be the one that a refusal needs.
                ClientHeader::parse(&self.carry, may_deflate)?;
                return Ok((used, None));
            }
        };
        if !header.opcode.is_control() {
            self.carry = Vec::new();
            self.admit(&header, message_bytes)?;
            return Ok((used, self.begin(&header)?));
        }
        let whole = header.header_bytes + header.payload_bytes as usize;
        used += self.fill_carry(whole, &input[used..]);
        if self.carry.len() < whole {
            return Ok((used, None));
        }
        let mut frame = mem::take(&mut self.carry);
        let payload = &mut frame[header.header_bytes..];
        unmask(payload, header.mask, 0);
        Ok((used, self.control(header.opcode, payload)?))
    }

    /// Fills the carry up to this length; gives how many bytes it took.
    fn fill_carry(&mut self, length: usize, input: &[u8]) -> usize {
        let taken = length.saturating_sub(self.carry.len()).min(input.len());
        self.carry.extend_from_slice(&input[..taken]);
        taken
    }

    /// Inside a data frame's payload.
    fn take_payload(&mut self, input: &mut [u8]) -> Taken {
        let Some(frame) = &mut self.frame else {
            return Ok((0, None));
        };
        let taken = usize::try_from(frame.remaining).map_or(input.len(), |n| n.min(input.len()));
        frame.remaining -= taken as u64;
        if let Some(message) = &mut self.message {
            let piece = &mut input[..taken];
            unmask(piece, frame.mask, frame.phase);
            message.append(piece, frame.remaining)?;
        }
        frame.phase = (frame.phase + taken) & 3;
        Ok((taken, self.end_frame()?))
    }

    /// Whether a data frame may come now, and is not too big.
    fn admit(&self, header: &ClientHeader, message_bytes: usize) -> Result<(), Violation> {
        if self.state != State::Open {
            return Ok(());
        }
        match (&self.message, header.opcode) {
            (None, Opcode::Continuation) => return Err(Violation::UnexpectedContinuation),
            (Some(_), Opcode::Binary | Opcode::Text) => {
                return Err(Violation::MessageInsideMessage);
            }
            _ => {}
        }
        let before = self.message.as_ref().map_or(0, Partial::payload_bytes);
        let size = (before as u64).saturating_add(header.payload_bytes);
        if size > message_bytes as u64 {
            let message = self.message.as_ref();
            let is_deflated = message.map_or_else(|| header.is_deflated(), Partial::is_deflated);
            if !is_deflated || size > deflated_bound(message_bytes) as u64 {
                return Err(Violation::TooBig);
            }
        }
        Ok(())
    }

    /// A data frame begins whose payload will be gathered, or passed over when closing.
    fn begin(&mut self, header: &ClientHeader) -> Result<Option<Event>, Violation> {
        if self.state == State::Open && self.message.is_none() {
            let kind = if header.opcode == Opcode::Text {
                Kind::Text
            } else {
                Kind::Binary
            };
            self.message = Some(Partial::new(kind, header.is_deflated()));
        }
        self.frame = Some(Frame {
            fin: header.is_final(),
            mask: header.mask,
            phase: 0,
            remaining: header.payload_bytes,
        });
        self.end_frame()
    }

    /// Ends the data frame if all of it has arrived, and the message if that was its last.
    fn end_frame(&mut self) -> Result<Option<Event>, Violation> {
        let Some(frame) = self.frame.take_if(|frame| frame.remaining == 0) else {
            return Ok(None);
        };
        if !frame.fin {
            self.overhead_frames += 1;
            return Ok(None);
        }
        let message = self.message.take().map(Partial::finish).transpose()?;
        Ok(message.map(Event::Assembled))
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) -> Result<Option<Event>, Violation> {
        match opcode {
            Opcode::Close => {
                let code = close::parse(payload)?;
                if self.state == State::Open {
                    self.close = Some(payload[..payload.len().min(2)].to_vec());
                }
                self.shut();
                Ok(Some(Event::Closed(code)))
            }
            Opcode::Ping if self.state == State::Open => {
                self.pong = Some(payload.to_vec());
                self.overhead_frames += 1;
                Ok(Some(Event::Ping))
            }
            _ => {
                self.overhead_frames += 1;
                Ok(None)
            }
        }
    }

    /// Inflates a message whose frames have all come.
    #[cold]
    fn inflate(
        &mut self,
        message: &Assembled,
        message_bytes: usize,
        inflater: &mut Inflater,
    ) -> Result<Assembled, Violation> {
        match &mut self.deflation {
            Some(deflation) => deflation.inflate(message, message_bytes, inflater),
            // Its header was refused.
            None => Err(Violation::ReservedBits),
        }
    }

    /// Ends with what the client did; the input is done with.
    #[cold]
    fn fail(&mut self, violation: Violation, input_bytes: usize) -> Step {
        self.close(violation.code(), &violation.to_string());
        self.shut();
        Step {
            consumed: input_bytes,
            event: Some(Event::Failed(violation)),
        }
    }

    fn shut(&mut self) {
        self.state = State::Closed;
        self.frame = None;
        self.message = None;
        self.carry = Vec::new();
    }
}

/// Bytes taken, and what they completed.
type Taken = Result<(usize, Option<Event>), Violation>;

#[cfg(test)]
mod tests;
