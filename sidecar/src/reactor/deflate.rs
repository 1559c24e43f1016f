//! Messages to clients that inflate them. What many of them receive is deflated once; a client whose
//! messages refer to earlier ones has its own.

use std::rc::Rc;

use slab::Slab;

use super::block::{Block, BlockBuilder};
use super::connection::Connection;
use super::{Context, Kind, Overflow, SessionId, Span};
use crate::wire::Header;
use crate::wire::deflate::{Deflater, Deflation, Inflated};

/// How messages are deflated for the clients that agreed to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Compression {
    /// zlib's level, 1 (fast) to 9 (small).
    pub level: u8,
    /// Shorter messages go as they are, in bytes.
    pub min_bytes: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            level: 3,
            min_bytes: 512,
        }
    }
}

impl Span {
    /// The same frames, deflated for all who can share that. It is done once for a block.
    fn deflated(&self, deflater: &mut Deflater, min_bytes: usize) -> Self {
        let block = self.block.deflated.get_or_init(|| {
            let whole = Self::whole(Rc::clone(&self.block));
            deflated(&whole, None, deflater, min_bytes)
        });
        match block {
            Some(block) => Self {
                block: Rc::clone(block),
                ..*self
            },
            None => self.clone(),
        }
    }

    /// The same frames, deflated for one client.
    fn deflated_for(
        &self,
        deflation: &mut Deflation,
        deflater: &mut Deflater,
        min_bytes: usize,
    ) -> Self {
        deflated(self, Some(deflation), deflater, min_bytes)
            .map_or_else(|| self.clone(), Self::whole)
    }
}

/// A block of a span's frames, each deflated if that makes it smaller. None when it does so with none.
fn deflated(
    span: &Span,
    mut deflation: Option<&mut Deflation>,
    deflater: &mut Deflater,
    min_bytes: usize,
) -> Option<Rc<Block>> {
    let mut builder = BlockBuilder::default();
    let mut some = false;
    for (kind, payload) in span.messages() {
        let smaller = match &mut deflation {
            _ if payload.len() < min_bytes => None,
            Some(deflation) => deflation.deflate(payload, deflater),
            None => deflater.deflate(payload),
        };
        some |= smaller.is_some();
        match smaller {
            Some(smaller) => builder.push_deflated(kind, smaller),
            None => builder.push(kind, payload),
        }
    }
    some.then(|| builder.finish())
}

impl Context {
    /// A message as a deflated frame for a session, if that makes it smaller. It has to be sent then.
    pub(super) fn deflated_frame(
        &mut self,
        id: SessionId,
        kind: Kind,
        payload: &[u8],
    ) -> Option<Vec<u8>> {
        if payload.len() < self.options.compression.min_bytes {
            return None;
        }
        let deflation = deflation_of(&mut self.connections, id)?;
        let deflated = deflation.deflate(payload, &mut self.deflater)?;
        let header = Header::deflated(kind, deflated.len());
        let frame = [header.as_bytes(), deflated].concat();
        self.counters.deflated_plain_bytes += payload.len() as u64;
        self.counters.deflated_bytes += deflated.len() as u64;
        self.count_history(id);
        Some(frame)
    }

    /// A span in the form in which it is pushed to a session that inflates.
    pub(super) fn deflated_span(&mut self, id: SessionId, span: &Span, overflow: Overflow) -> Span {
        let min_bytes = self.options.compression.min_bytes;
        let Some(deflation) = deflation_of(&mut self.connections, id) else {
            return span.clone();
        };
        if deflation.shares() {
            return span.deflated(&mut self.deflater, min_bytes);
        }
        // What later messages refer to must reach the client. So it goes plain where others may take its place
        // in the queue, or where it does not fit.
        if deflation.refers_back()
            && (matches!(overflow, Overflow::LatestWins { .. })
                || !self.make_room(id, span.as_bytes().len()))
        {
            return span.clone();
        }
        let Some(deflation) = deflation_of(&mut self.connections, id) else {
            return span.clone();
        };
        let span = span.deflated_for(deflation, &mut self.deflater, min_bytes);
        self.count_history(id);
        span
    }

    /// A span was queued for a session that inflates.
    pub(super) fn count_deflated(&mut self, plain: &Span, deflated: &Span) {
        if !Rc::ptr_eq(&plain.block, &deflated.block) {
            self.counters.deflated_plain_bytes += plain.as_bytes().len() as u64;
            self.counters.deflated_bytes += deflated.as_bytes().len() as u64;
        }
    }

    /// Takes over what the inflater has done so far.
    pub(super) fn count_inflated(&mut self, done: Inflated) {
        self.counters.inflated_bytes = done.deflated_bytes;
        self.counters.inflated_plain_bytes = done.plain_bytes;
        self.counters.inflated_oversize = done.bombs;
    }

    /// Brings the gauge of what sessions remember up to date with one connection.
    pub(super) fn count_history(&mut self, id: SessionId) {
        if let Some(deflation) = deflation_of(&mut self.connections, id) {
            let growth = deflation.take_growth();
            self.counters.history_bytes += growth as u64;
        }
    }
}

fn deflation_of(connections: &mut Slab<Connection>, id: SessionId) -> Option<&mut Deflation> {
    connections
        .get_mut(id.index as usize)
        .filter(|connection| connection.id == id)
        .and_then(|connection| connection.engine.deflation_mut())
}
