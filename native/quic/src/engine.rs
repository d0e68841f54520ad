//! One connection, either side.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    Connection, ConnectionEvent, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig,
    Event as QuinnEvent, ReadError, Side, StreamEvent, VarInt,
};

use crate::clock::{instant, seconds};
use crate::event::{Closed, Event};
use crate::sending::Backlog;
use crate::settings::{ClientConfig, FIRST_STREAMS, Limits, ServerConfig, SettingsError};
use crate::streams::{Streams, raw, stream_id};

/// A snapshot of one connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistics {
    /// Smoothed round-trip time in seconds, `None` before the handshake is complete.
    pub rtt: Option<f64>,
    /// Bytes that may be in flight.
    pub congestion_window: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// UDP payload bytes out.
    pub bytes_sent: u64,
    /// UDP payload bytes in.
    pub bytes_received: u64,
    /// UDP payload bytes that the path was found to carry in one datagram.
    pub mtu: u16,
}

/// One QUIC connection: datagrams and time in, datagrams and events out.
///
/// What is not read is not credited to the peer. What is written waits here, bounded by stream,
/// until acknowledgements make room in the congestion window.
pub struct Engine {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    limits: Limits,
    streams: Streams,
    backlog: Backlog,
    events: VecDeque<Event>,
    replies: Vec<Vec<u8>>,
    scratch: Vec<u8>,
    granted: u64,
    now: Instant,
    connected: bool,
    closed: bool,
    more_to_send: bool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("connected", &self.connected)
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Begin a connection at `now` seconds; the first `transmit` has the client's Initial.
    ///
    /// # Errors
    /// `server_name` is no name that a certificate can cover.
    pub fn client(
        config: &ClientConfig,
        server_name: &str,
        now: f64,
    ) -> Result<Self, SettingsError> {
        let now = instant(now);
        let mut endpoint = Endpoint::new(Arc::clone(&config.endpoint), None, true, None);
        let connection = endpoint
            .connect(now, config.quinn.clone(), PEER, server_name)
            .map_err(|_| SettingsError::ServerName(server_name.to_owned()))?;
        let mut engine = Self::new(endpoint, Side::Client, config.limits.clone(), now);
        engine.connection = Some(connection);
        Ok(engine)
    }

    /// The server side of a connection whose first datagram is still to be taken in.
    pub(crate) fn server(config: &ServerConfig, endpoint: Arc<EndpointConfig>, now: f64) -> Self {
        let server = Some(Arc::clone(&config.quinn));
        let endpoint = Endpoint::new(endpoint, server, true, None);
        Self::new(endpoint, Side::Server, config.limits.clone(), instant(now))
    }

    fn new(endpoint: Endpoint, side: Side, limits: Limits, now: Instant) -> Self {
        Self {
            endpoint,
            connection: None,
            granted: limits.max_streams.min(FIRST_STREAMS),
            limits,
            streams: Streams::new(side),
            backlog: Backlog::default(),
            events: VecDeque::new(),
            replies: Vec::new(),
            scratch: Vec::new(),
            now,
            connected: false,
            closed: false,
            more_to_send: false,
        }
    }

    /// Take UDP payloads from the peer.
    pub fn receive<'a>(&mut self, datagrams: impl IntoIterator<Item = &'a [u8]>, now: f64) {
        let now = instant(now);
        self.now = now;
        for datagram in datagrams {
            let data = BytesMut::from(datagram);
            match self
                .endpoint
                .handle(now, PEER, None, None, data, &mut self.scratch)
            {
                Some(DatagramEvent::ConnectionEvent(_, event)) => self.handle(event),
                Some(DatagramEvent::NewConnection(incoming)) => self.accept(incoming, now),
                Some(DatagramEvent::Response(_)) | None => {}
            }
            self.scratch.clear();
        }
        self.process();
    }

    /// Hand each UDP payload that is to go now to `send`.
    pub fn transmit(&mut self, now: f64, mut send: impl FnMut(&[u8])) {
        let now = instant(now);
        self.now = now;
        for reply in self.replies.drain(..) {
            send(&reply);
        }
        let Some((_, connection)) = &mut self.connection else {
            return;
        };
        let events = &mut self.events;
        self.backlog.feed(
            connection,
            &mut self.streams,
            self.limits.send_high_water,
            |id| events.push_back(Event::Writable(id)),
        );
        let mut burst = 0;
        while burst < LARGEST_BURST {
            self.scratch.clear();
            let Some(transmit) = connection.poll_transmit(now, SEGMENTS, &mut self.scratch) else {
                break;
            };
            burst += transmit.size;
            let segment = transmit.segment_size.unwrap_or(transmit.size).max(1);
            self.scratch[..transmit.size]
                .chunks(segment)
                .for_each(&mut send);
        }
        self.more_to_send = burst >= LARGEST_BURST;
        self.scratch.clear();
        self.process();
    }

    /// When `handle_timeout` is due, in seconds on the caller's clock; `None` for never.
    pub fn next_timeout(&mut self) -> Option<f64> {
        if self.more_to_send {
            return Some(seconds(self.now));
        }
        let (_, connection) = self.connection.as_mut()?;
        connection.poll_timeout().map(seconds)
    }

    /// Do what is due at `now` seconds.
    pub fn handle_timeout(&mut self, now: f64) {
        self.now = instant(now);
        self.more_to_send = false;
        if let Some((_, connection)) = &mut self.connection {
            connection.handle_timeout(self.now);
            self.process();
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Open a bidirectional stream; over the peer's limit its data waits.
    pub fn open_stream(&mut self) -> u64 {
        let id = self.streams.open();
        self.open_waiting();
        id
    }

    /// Take data of a stream, which grants the peer that much credit.
    ///
    /// Appends at most `max_bytes` to `chunks` and says whether that was the end. Less than
    /// `max_bytes` means that nothing more is there now.
    pub fn read(&mut self, id: u64, max_bytes: usize, chunks: &mut Vec<Bytes>) -> bool {
        let Some((_, connection)) = &mut self.connection else {
            return self.streams.get(id).is_none();
        };
        let Some(stream) = self.streams.get(id) else {
            return true;
        };
        if stream.receive_over {
            return true;
        }
        if stream.end_seen {
            stream.receive_over = true;
            self.streams.forget_if_over(id);
            return true;
        }
        if !self.streams.is_open(id) {
            return false;
        }
        let mut room = max_bytes;
        let mut ended = false;
        let mut reset = None;
        let mut half = connection.recv_stream(stream_id(id));
        if let Ok(mut source) = half.read(true) {
            while room > 0 {
                match source.next(room) {
                    Ok(Some(chunk)) => {
                        room -= chunk.bytes.len();
                        chunks.push(chunk.bytes);
                    }
                    Ok(None) => {
                        ended = true;
                        break;
                    }
                    Err(ReadError::Blocked) => break,
                    Err(ReadError::Reset(code)) => {
                        reset = Some(code.into_inner());
                        break;
                    }
                }
            }
            let _ = source.finalize(); // what is to be sent goes with the next transmit
        } else {
            ended = true;
        }
        let stream = self.streams.insert(id);
        stream.announced = room == 0;
        stream.receive_over = ended || reset.is_some();
        if let Some(code) = reset {
            self.events.push_back(Event::StreamReset {
                stream_id: id,
                code,
            });
        }
        if ended || reset.is_some() {
            self.streams.forget_if_over(id);
        }
        ended
    }

    /// Bytes accepted. Fewer than given: the end was not taken either; `Writable` tells when.
    pub fn write(&mut self, id: u64, data: &[u8], end: bool) -> usize {
        let high_water = self.limits.send_high_water;
        let Some(stream) = self.streams.get(id) else {
            return data.len(); // nobody reads it any more
        };
        if stream.write_ended() {
            return data.len();
        }
        let accepted = data.len().min(high_water.saturating_sub(stream.queued));
        if accepted > 0 {
            stream
                .queue
                .push_back(Bytes::copy_from_slice(&data[..accepted]));
            stream.queued += accepted;
        }
        if accepted < data.len() {
            stream.writer_waits = true;
        } else if end {
            stream.fin = true;
        }
        self.backlog.add(&mut self.streams, id);
        accepted
    }

    /// Send `RESET_STREAM`.
    pub fn reset(&mut self, id: u64, code: u64) {
        let is_open = self.streams.is_open(id);
        if let Some(stream) = self.streams.get(id)
            && let Some((_, connection)) = &mut self.connection
        {
            stream.end_sending();
            if is_open {
                let _ = connection.send_stream(stream_id(id)).reset(varint(code));
            }
            self.streams.forget_if_over(id);
        }
    }

    /// Send `STOP_SENDING` and drop what arrives; no effect once the peer's end was read.
    pub fn stop(&mut self, id: u64, code: u64) {
        let is_open = self.streams.is_open(id);
        if let Some(stream) = self.streams.get(id)
            && let Some((_, connection)) = &mut self.connection
            && !stream.receive_over
        {
            stream.receive_over = true;
            if is_open {
                let _ = connection.recv_stream(stream_id(id)).stop(varint(code));
            }
            self.streams.forget_if_over(id);
        }
    }

    /// Send a PING.
    pub fn ping(&mut self) {
        if let Some((_, connection)) = &mut self.connection {
            connection.ping();
        }
    }

    /// Close with an application code; the next `transmit` tells the peer.
    pub fn close(&mut self, code: u64, reason: &[u8]) {
        if let Some((_, connection)) = &mut self.connection {
            connection.close(self.now, varint(code), Bytes::copy_from_slice(reason));
            self.process();
        }
        self.finish(Closed::here(code, reason));
    }

    /// A snapshot.
    pub fn statistics(&self) -> Statistics {
        let stats = self
            .connection
            .as_ref()
            .map(|(_, connection)| connection.stats());
        let stats = stats.unwrap_or_default();
        Statistics {
            rtt: self.connected.then_some(stats.path.rtt.as_secs_f64()),
            congestion_window: stats.path.cwnd,
            packets_lost: stats.path.lost_packets,
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            mtu: stats.path.current_mtu,
        }
    }

    fn accept(&mut self, incoming: quinn_proto::Incoming, now: Instant) {
        if self.connection.is_some() {
            self.endpoint.ignore(incoming);
            return;
        }
        let mut buffer = Vec::new();
        match self.endpoint.accept(incoming, now, &mut buffer, None) {
            Ok(connection) => self.connection = Some(connection),
            Err(error) => {
                if let Some(response) = error.response {
                    buffer.truncate(response.size);
                    self.replies.push(buffer);
                }
                self.finish(Closed::from(error.cause));
            }
        }
    }

    fn handle(&mut self, event: ConnectionEvent) {
        if let Some((_, connection)) = &mut self.connection {
            connection.handle_event(event);
        }
    }

    /// Pass on what the connection has to say, to its endpoint and to the caller.
    fn process(&mut self) {
        while let Some((handle, connection)) = &mut self.connection {
            if let Some(event) = connection.poll_endpoint_events() {
                if let Some(answer) = self.endpoint.handle_event(*handle, event) {
                    connection.handle_event(answer);
                }
            } else if let Some(event) = connection.poll() {
                self.translate(event);
            } else {
                break;
            }
        }
        self.open_waiting();
    }

    fn translate(&mut self, event: QuinnEvent) {
        match event {
            QuinnEvent::Connected => {
                self.connected = true;
                self.events.push_back(Event::Connected);
            }
            QuinnEvent::ConnectionLost { reason } => self.finish(Closed::from(reason)),
            QuinnEvent::Stream(StreamEvent::Opened { dir: Dir::Bi }) => self.on_opened(),
            QuinnEvent::Stream(StreamEvent::Readable { id }) => self.on_readable(raw(id)),
            QuinnEvent::Stream(StreamEvent::Writable { id }) => {
                self.backlog.add(&mut self.streams, raw(id));
            }
            QuinnEvent::Stream(StreamEvent::Stopped { id, error_code }) => {
                self.on_stopped(raw(id), error_code);
            }
            QuinnEvent::DatagramReceived => self.drop_datagrams(),
            QuinnEvent::HandshakeDataReady
            | QuinnEvent::DatagramsUnblocked
            | QuinnEvent::Stream(_) => {}
        }
    }

    /// The peer opened streams; those that a higher number has opened stay unannounced.
    fn on_opened(&mut self) {
        while let Some((_, connection)) = &mut self.connection {
            let Some(id) = connection.streams().accept(Dir::Bi) else {
                break;
            };
            let mut half = connection.recv_stream(id);
            let id = raw(id);
            let Ok(mut source) = half.read(true) else {
                continue;
            };
            let found = source.next(0);
            let _ = source.finalize();
            match found {
                Ok(data) => {
                    let stream = self.announce(id);
                    stream.announced = true;
                    stream.end_seen = data.is_none();
                }
                Err(ReadError::Blocked) => self.streams.hold_back(id),
                Err(ReadError::Reset(code)) => {
                    self.announce(id).receive_over = true;
                    let code = code.into_inner();
                    self.events.push_back(Event::StreamReset {
                        stream_id: id,
                        code,
                    });
                }
            }
        }
        self.grant_streams();
    }

    fn on_readable(&mut self, id: u64) {
        let opened = self.streams.speaks_up(id);
        if opened {
            self.announce(id);
        }
        let Some((_, connection)) = &mut self.connection else {
            return;
        };
        let Some(stream) = self.streams.get(id) else {
            return;
        };
        if stream.receive_over {
            return;
        }
        if let Ok(Some(code)) = connection.recv_stream(stream_id(id)).received_reset() {
            stream.receive_over = true;
            let code = code.into_inner();
            self.events.push_back(Event::StreamReset {
                stream_id: id,
                code,
            });
            self.streams.forget_if_over(id);
        } else if !stream.announced {
            stream.announced = true;
            if !opened {
                self.events.push_back(Event::Readable(id));
            }
        }
    }

    fn on_stopped(&mut self, id: u64, code: VarInt) {
        if self.streams.speaks_up(id) {
            self.announce(id);
        }
        if let Some((_, connection)) = &mut self.connection {
            let _ = connection.send_stream(stream_id(id)).reset(code); // RFC 9000 §3.5
        }
        if let Some(stream) = self.streams.get(id) {
            stream.end_sending();
            let code = code.into_inner();
            self.events.push_back(Event::StreamStopped {
                stream_id: id,
                code,
            });
            self.streams.forget_if_over(id);
        }
    }

    fn announce(&mut self, id: u64) -> &mut crate::streams::Stream {
        self.events.push_back(Event::StreamOpened(id));
        self.streams.insert(id)
    }

    /// Let the peer open more streams when it has come near what it may.
    fn grant_streams(&mut self) {
        if let Some((_, connection)) = &mut self.connection
            && self.granted < self.limits.max_streams
            && connection.streams().remote_open_streams(Dir::Bi) > self.granted / 2
        {
            self.granted = (self.granted * 2).min(self.limits.max_streams);
            connection.set_max_concurrent_streams(Dir::Bi, varint(self.granted));
        }
    }

    fn open_waiting(&mut self) {
        while let Some((_, connection)) = &mut self.connection
            && self.streams.are_waiting()
            && let Some(id) = connection.streams().open(Dir::Bi)
        {
            self.streams.on_opened();
            let id = raw(id);
            // The caller may have given it up, or a half of it, while it waited.
            let (sends, receives) = match self.streams.get(id) {
                Some(stream) => (!stream.send_over, !stream.receive_over),
                None => (false, false),
            };
            if !sends {
                let _ = connection.send_stream(stream_id(id)).reset(varint(0));
            }
            if !receives {
                let _ = connection.recv_stream(stream_id(id)).stop(varint(0));
            }
            self.backlog.add(&mut self.streams, id);
        }
    }

    /// RFC 9221 datagrams are accepted and dropped (protocol.md §7.3).
    fn drop_datagrams(&mut self) {
        if let Some((_, connection)) = &mut self.connection {
            while connection.datagrams().recv().is_some() {}
        }
    }

    fn finish(&mut self, closed: Closed) {
        if !self.closed {
            self.closed = true;
            self.events.push_back(Event::Closed(closed));
        }
    }
}

fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

/// quinn-proto wants an address; whose a datagram is was decided before it comes here.
const PEER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));
const SEGMENTS: usize = 32; // datagrams that one call of quinn-proto may build
const LARGEST_BURST: usize = 512 << 10; // bytes; more at once would hold up the event loop
