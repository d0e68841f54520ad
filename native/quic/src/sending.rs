//! How much of what waits quinn-proto is given.
//!
//! It keeps what it is given until it was acknowledged, and sends streams in turn. So it gets
//! about two congestion windows of bulk data, enough never to run dry; what waits here beyond that
//! is bounded by stream. Short answers may go in over that mark: they don't wait behind a transfer.

use std::collections::VecDeque;

use quinn_proto::{Connection, WriteError};

use crate::streams::{Streams, stream_id};

/// Streams with something to send, in turn.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    turns: VecDeque<u64>,
}

impl Backlog {
    /// Give the stream its turn, if it has anything to send and none yet.
    pub fn add(&mut self, streams: &mut Streams, id: u64) {
        if !streams.is_open(id) {
            return;
        }
        if let Some(stream) = streams.get(id)
            && !stream.in_backlog
            && stream.has_work()
        {
            stream.in_backlog = true;
            self.turns.push_back(id);
        }
    }

    /// Hand over as much as may be in flight soon.
    ///
    /// Args:
    ///     `high_water`: bytes of one stream that may wait here.
    ///     `writable`: is called with each stream whose caller may write again.
    pub fn feed(
        &mut self,
        connection: &mut Connection,
        streams: &mut Streams,
        high_water: usize,
        mut writable: impl FnMut(u64),
    ) {
        if self.turns.is_empty() {
            return;
        }
        let window = connection.congestion_state().window();
        let mark = window.saturating_mul(2).clamp(LOWEST_MARK, HIGHEST_MARK);
        while let Some(id) = self.turns.pop_front() {
            let Some(stream) = streams.get(id) else {
                continue;
            };
            stream.in_backlog = false;
            let is_short = stream.queued <= SHORT_ANSWER;
            connection.set_send_window(if is_short { mark + EXPRESS } else { mark });
            let mut half = connection.send_stream(stream_id(id));
            let mut is_blocked = false;
            if let Some(chunk) = stream.queue.front_mut() {
                match half.write_chunks(std::slice::from_mut(chunk)) {
                    Ok(written) => {
                        stream.queued -= written.bytes;
                        if chunk.is_empty() {
                            stream.queue.pop_front();
                        }
                    }
                    // It says so when there is room.
                    Err(WriteError::Blocked) => is_blocked = true,
                    // The event that tells of it is on its way.
                    Err(WriteError::Stopped(_) | WriteError::ClosedStream) => stream.end_sending(),
                }
            }
            if stream.fin && stream.queue.is_empty() && !stream.send_over {
                let _ = half.finish(); // refused to a stream that was stopped
                stream.send_over = true;
            }
            if stream.writer_waits && stream.queued <= high_water / 4 * 3 {
                stream.writer_waits = false;
                writable(id);
            }
            if !is_blocked && stream.has_work() {
                stream.in_backlog = true;
                self.turns.push_back(id);
            }
            streams.forget_if_over(id);
        }
    }
}

const LOWEST_MARK: u64 = 256 << 10; // bytes in quinn-proto, bulk
const HIGHEST_MARK: u64 = 16 << 20;
const EXPRESS: u64 = 1 << 20; // bytes that short answers may have beyond it
const SHORT_ANSWER: usize = 16 << 10; // bytes waiting on one stream
