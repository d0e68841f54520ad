//! Two engines and a link with delay and seeded loss, in memory.

use std::collections::{BTreeMap, HashSet, VecDeque};

use quicktunnel_quic::{
    Acceptor, Arrival, ClientConfig, Closed, Engine, Event, Limits, ServerConfig, SettingsError,
};

const ALPN: &[u8] = b"argotunnel";
const NAME: &str = "quic.cftunnel.com";
const DELAY: f64 = 0.01; // s

fn limits() -> Limits {
    Limits {
        idle_timeout: 5.0,
        stream_window: 1 << 20,
        connection_window: 16 << 20,
        max_streams: 1 << 20,
        send_high_water: 256 << 10,
    }
}

/// One side, and what it said.
struct Side {
    engine: Engine,
    events: Vec<Event>,
    received: BTreeMap<u64, Vec<u8>>,
    ended: HashSet<u64>,
}

impl Side {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            events: Vec::new(),
            received: BTreeMap::new(),
            ended: HashSet::new(),
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            if let Event::StreamOpened(id) | Event::Readable(id) = event {
                self.read(id);
            }
            self.events.push(event);
        }
    }

    fn read(&mut self, id: u64) {
        let mut chunks = Vec::new();
        if self.engine.read(id, usize::MAX, &mut chunks) {
            self.ended.insert(id);
        }
        let received = self.received.entry(id).or_default();
        for chunk in &chunks {
            received.extend_from_slice(chunk);
        }
    }

    fn closed(&self) -> Option<&Closed> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(closed) => Some(closed),
            _ => None,
        })
    }
}

/// Client, server, and what is on its way between them.
struct Pair {
    client: Side,
    server: Option<Side>,
    acceptor: Acceptor,
    wire: VecDeque<(f64, bool, Vec<u8>)>,
    now: f64,
    loss_in_1000: u64,
    random: u64,
}

impl Pair {
    fn new(loss_in_1000: u64, limits: &Limits) -> Self {
        let issued = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
        let (chain, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        let trusted = ClientConfig::new(chain.as_bytes(), ALPN, limits.clone()).unwrap();
        let server = ServerConfig::new(chain.as_bytes(), key.as_bytes(), ALPN, limits.clone());
        Self {
            client: Side::new(Engine::client(&trusted, NAME, 1000.0).unwrap()),
            server: None,
            acceptor: Acceptor::new(server.unwrap()),
            wire: VecDeque::new(),
            now: 1000.0,
            loss_in_1000,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// A pair that has the handshake behind it.
    fn connected(loss_in_1000: u64, limits: &Limits) -> Self {
        let mut pair = Self::new(loss_in_1000, limits);
        let is_connected = |side: &Side| side.events.contains(&Event::Connected);
        assert!(pair.run(60.0, |pair| is_connected(&pair.client)
            && pair.server.as_ref().is_some_and(is_connected)));
        pair
    }

    fn server(&mut self) -> &mut Side {
        self.server.as_mut().expect("the client has said something")
    }

    /// Let time pass until `done`; says whether it came about within `seconds`.
    fn run(&mut self, seconds: f64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = self.now + seconds;
        loop {
            self.send();
            if done(self) {
                return true;
            }
            self.send();
            let due = [
                self.client.engine.next_timeout(),
                self.server
                    .as_mut()
                    .and_then(|side| side.engine.next_timeout()),
                self.wire.front().map(|entry| entry.0),
            ];
            let Some(next) = due.into_iter().flatten().min_by(f64::total_cmp) else {
                return false;
            };
            if next > deadline {
                return false;
            }
            self.now = next.max(self.now);
            self.deliver();
            let now = self.now;
            let server = self.server.as_mut();
            for side in [&mut self.client].into_iter().chain(server) {
                if side.engine.next_timeout().is_some_and(|due| due <= now) {
                    side.engine.handle_timeout(now);
                }
                side.poll();
            }
        }
    }

    fn send(&mut self) {
        let mut sent = Vec::new();
        self.client
            .engine
            .transmit(self.now, |data| sent.push((true, data.to_vec())));
        self.client.poll();
        if let Some(side) = &mut self.server {
            side.engine
                .transmit(self.now, |data| sent.push((false, data.to_vec())));
            side.poll();
        }
        for (to_server, data) in sent {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            if self.random % 1000 >= self.loss_in_1000 {
                self.wire.push_back((self.now + DELAY, to_server, data));
            }
        }
    }

    fn deliver(&mut self) {
        while self.wire.front().is_some_and(|entry| entry.0 <= self.now) {
            let (_, to_server, data) = self.wire.pop_front().unwrap();
            if !to_server {
                self.client.engine.receive([data.as_slice()], self.now);
                continue;
            }
            match self.acceptor.accept(&data, self.now) {
                Arrival::New(_, engine) => self.server = Some(Side::new(*engine)),
                Arrival::Known(_) => {}
                Arrival::Reply(_) | Arrival::Unknown => continue,
            }
            let now = self.now;
            self.server().engine.receive([data.as_slice()], now);
        }
    }
}

#[test]
fn every_stream_completes_at_ten_percent_loss() {
    const STREAMS: usize = 1500;
    let mut pair = Pair::connected(100, &limits());
    let mut asked = 0;
    let mut answered = HashSet::new();
    let done = pair.run(600.0, |pair| {
        for id in pair.client.ended.difference(&answered.clone()) {
            answered.insert(*id);
            assert_eq!(pair.client.engine.write(*id, &[7; 200], false), 200);
            assert_eq!(pair.client.engine.write(*id, b"", true), 0);
        }
        let server = pair.server();
        while asked < STREAMS && asked - server.ended.len() < 16 {
            let id = server.engine.open_stream();
            assert_eq!(server.engine.write(id, b"question", true), 8);
            asked += 1;
        }
        server.ended.len() == STREAMS
    });
    assert!(done, "{} of {STREAMS} completed", pair.server().ended.len());
    assert!(
        pair.server()
            .received
            .values()
            .all(|answer| answer == &[7; 200])
    );
}

#[test]
fn what_waits_is_bounded_by_stream_and_writable_says_when_to_go_on() {
    let mut pair = Pair::connected(
        0,
        &Limits {
            send_high_water: 50_000,
            ..limits()
        },
    );
    let id = pair.client.engine.open_stream();
    assert_eq!(pair.client.engine.write(id, &vec![1; 80_000], true), 50_000);
    assert_eq!(pair.client.engine.write(id, &vec![1; 30_000], true), 0);
    assert!(pair.run(5.0, |pair| {
        pair.client.events.contains(&Event::Writable(id))
    }));
    assert_eq!(pair.client.engine.write(id, &vec![1; 30_000], true), 30_000);
    assert!(pair.run(5.0, |pair| pair.server().ended.contains(&id)));
    assert_eq!(pair.server().received[&id].len(), 80_000);
}

#[test]
fn a_close_tells_the_peer_why() {
    let mut pair = Pair::connected(0, &limits());
    pair.client.engine.close(0, b"done");
    assert!(pair.run(5.0, |pair| pair.server().closed().is_some()));
    let expected = Closed {
        code: Some(0),
        reason: "done".to_owned(),
        by_peer: true,
        idle: false,
    };
    assert_eq!(pair.server().closed(), Some(&expected));
    assert!(!pair.client.closed().unwrap().by_peer);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let mut pair = Pair::new(0, &limits());
    let other = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let config = ClientConfig::new(other.cert.pem().as_bytes(), ALPN, limits()).unwrap();
    pair.client = Side::new(Engine::client(&config, NAME, pair.now).unwrap());
    assert!(pair.run(10.0, |pair| pair.client.closed().is_some()));
    let code = pair.client.closed().unwrap().code.unwrap();
    assert!((0x100..0x200).contains(&code), "{code:#x}"); // a TLS alert, RFC 9001 §4.8
}

#[test]
fn settings_that_can_not_be_used_say_which() {
    let unusable = |result: Result<ClientConfig, SettingsError>| result.unwrap_err().to_string();
    let issued = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let pem = issued.cert.pem();
    assert!(unusable(ClientConfig::new(b"", ALPN, limits())).contains("trust roots"));
    for (changed, name) in [
        (
            Limits {
                idle_timeout: f64::NAN,
                ..limits()
            },
            "idle_timeout",
        ),
        (
            Limits {
                stream_window: u64::MAX,
                ..limits()
            },
            "stream_window",
        ),
        (
            Limits {
                connection_window: u64::MAX,
                ..limits()
            },
            "connection_window",
        ),
    ] {
        assert!(unusable(ClientConfig::new(pem.as_bytes(), ALPN, changed)).contains(name));
    }
    assert!(ServerConfig::new(pem.as_bytes(), b"no key", ALPN, limits()).is_err());
}
