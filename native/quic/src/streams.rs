//! What is kept of each stream beside quinn-proto's own state.

use std::collections::VecDeque;

use bytes::Bytes;
use quinn_proto::{Side, StreamId};
use rustc_hash::{FxHashMap, FxHashSet};

/// One bidirectional stream.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // each half has its own, and they change on their own
pub(crate) struct Stream {
    /// Accepted from the caller, not yet taken by quinn-proto.
    pub queue: VecDeque<Bytes>,
    /// Bytes in `queue`.
    pub queued: usize,
    /// The end follows what is queued.
    pub fin: bool,
    /// A write was cut short; the caller waits for `Writable`.
    pub writer_waits: bool,
    /// It stands in the backlog.
    pub in_backlog: bool,
    /// The caller's `Readable` is out: no other until it has read to the end of what is there.
    pub announced: bool,
    /// The end was found when the stream was opened; it is still to be read.
    pub end_seen: bool,
    /// The caller gets nothing more.
    pub receive_over: bool,
    /// Nothing more is sent.
    pub send_over: bool,
}

impl Stream {
    /// Whether the caller has said all that it will.
    pub fn write_ended(&self) -> bool {
        self.fin || self.send_over
    }

    /// Whether there is anything for quinn-proto to take.
    pub fn has_work(&self) -> bool {
        !self.send_over && (!self.queue.is_empty() || self.fin)
    }

    /// Forget what was not sent, and send no more.
    pub fn end_sending(&mut self) {
        self.queue = VecDeque::new();
        self.queued = 0;
        self.writer_waits = false;
        self.send_over = true;
    }
}

/// The streams of one connection.
#[derive(Debug)]
pub(crate) struct Streams {
    side: Side,
    by_id: FxHashMap<u64, Stream>,
    /// Opened by a higher number, and not heard of since (RFC 9000 §2.1).
    silent: FxHashSet<u64>,
    /// Streams of ours that the caller has, and those that quinn-proto has: the peer's limit may
    /// stand between them.
    wanted: u64,
    opened: u64,
}

impl Streams {
    pub fn new(side: Side) -> Self {
        Self {
            side,
            by_id: FxHashMap::default(),
            silent: FxHashSet::default(),
            wanted: 0,
            opened: 0,
        }
    }

    pub fn get(&mut self, id: u64) -> Option<&mut Stream> {
        self.by_id.get_mut(&id)
    }

    /// A new stream of ours; quinn-proto opens it when the peer's limit allows.
    pub fn open(&mut self) -> u64 {
        let id = raw(StreamId::new(self.side, quinn_proto::Dir::Bi, self.wanted));
        self.wanted += 1;
        self.by_id.insert(id, Stream::default());
        id
    }

    /// Whether streams of ours wait for the peer's limit.
    pub fn are_waiting(&self) -> bool {
        self.opened < self.wanted
    }

    /// quinn-proto has opened the next of ours.
    pub fn on_opened(&mut self) {
        self.opened += 1;
    }

    /// Whether quinn-proto knows of it: all but those of ours that wait.
    pub fn is_open(&self, id: u64) -> bool {
        let id = stream_id(id);
        id.initiator() != self.side || id.index() < self.opened
    }

    /// A stream of the peer's that something was heard on.
    pub fn insert(&mut self, id: u64) -> &mut Stream {
        self.by_id.entry(id).or_default()
    }

    pub fn hold_back(&mut self, id: u64) {
        self.silent.insert(id);
    }

    /// Whether it was held back; it is not any longer.
    pub fn speaks_up(&mut self, id: u64) -> bool {
        !self.silent.is_empty() && self.silent.remove(&id)
    }

    /// Drop the stream once nothing more can happen on it.
    pub fn forget_if_over(&mut self, id: u64) {
        if let Some(stream) = self.by_id.get(&id)
            && stream.receive_over
            && stream.send_over
        {
            self.by_id.remove(&id);
        }
    }
}

/// The caller's number of a stream (RFC 9000 §2.1).
pub(crate) fn raw(id: StreamId) -> u64 {
    quinn_proto::VarInt::from(id).into_inner()
}

/// The bidirectional stream with this number.
pub(crate) fn stream_id(id: u64) -> StreamId {
    let initiator = if id & 1 == 0 {
        Side::Client
    } else {
        Side::Server
    };
    StreamId::new(initiator, quinn_proto::Dir::Bi, id >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_rfc() {
        for id in [0, 1, 4, 5, 4001] {
            assert_eq!(raw(stream_id(id)), id);
        }
        let mut streams = Streams::new(Side::Server);
        assert_eq!([streams.open(), streams.open()], [1, 5]);
    }

    #[test]
    fn a_stream_is_forgotten_when_both_halves_are_over() {
        let mut streams = Streams::new(Side::Client);
        let id = streams.open();
        streams.get(id).unwrap().end_sending();
        streams.forget_if_over(id);
        assert!(streams.get(id).is_some());
        streams.get(id).unwrap().receive_over = true;
        streams.forget_if_over(id);
        assert!(streams.get(id).is_none());
    }
}
