//! A path between a connector and an edge: each datagram takes a while, some are lost.
//!
//! Threads rather than a reactor: a sleeping thread is woken within 0.1 ms, a timer of tokio within
//! 1 ms.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::command::Event;
use crate::edge::bound_socket;
use crate::output::say;

/// Pass datagrams on until the process is ended.
///
/// # Errors
/// A socket fails for good.
pub fn run(to: SocketAddr, delay: Duration, loss: f64, seed: u64) -> Result<()> {
    let front = bound_socket()?;
    say(&Event::Listening {
        ports: vec![front.local_addr()?.port()],
    });
    let mut lines: HashMap<SocketAddr, Line> = HashMap::new();
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let Some((size, from)) = received(front.recv_from(&mut buffer))? else {
            continue;
        };
        if dice.f64() < loss {
            continue;
        }
        let line = match lines.entry(from) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let back = Dice {
                    loss,
                    rng: dice.fork(),
                };
                entry.insert(Line::open(&front, from, to, delay, back)?)
            }
        };
        line.forth.push(&buffer[..size], delay);
    }
}

/// What belongs to one connector's address.
struct Line {
    forth: Queue,
}

impl Line {
    fn open(
        front: &UdpSocket,
        from: SocketAddr,
        to: SocketAddr,
        delay: Duration,
        mut dice: Dice,
    ) -> Result<Self> {
        let behind = bound_socket()?;
        behind.connect(to)?;
        let (receiving, front) = (behind.try_clone()?, front.try_clone()?);
        let back = Queue::new(move |data| front.send_to(data, from));
        thread::spawn(move || {
            let mut buffer = vec![0; MAX_DATAGRAM];
            while let Ok(found) = received(receiving.recv_from(&mut buffer)) {
                match found {
                    Some((size, _)) if !dice.loses() => back.push(&buffer[..size], delay),
                    _ => {}
                }
            }
        });
        Ok(Self {
            forth: Queue::new(move |data| behind.send(data)),
        })
    }
}

struct Dice {
    loss: f64,
    rng: fastrand::Rng,
}

impl Dice {
    fn loses(&mut self) -> bool {
        self.rng.f64() < self.loss
    }
}

/// Datagrams that are on their way, in order.
struct Queue(Sender<(Instant, Vec<u8>)>);

impl Queue {
    fn new(send: impl Fn(&[u8]) -> std::io::Result<usize> + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        thread::spawn(move || deliver(&receiver, send));
        Self(sender)
    }

    fn push(&self, data: &[u8], delay: Duration) {
        let _ = self.0.send((Instant::now() + delay, data.to_vec())); // lost with its line
    }
}

fn deliver(queue: &Receiver<(Instant, Vec<u8>)>, send: impl Fn(&[u8]) -> std::io::Result<usize>) {
    while let Ok((due, data)) = queue.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let _ = send(&data); // what can't be sent is lost, as on any path
    }
}

/// What arrived; `None` for the echo of an earlier datagram that found nobody (ICMP).
fn received<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error.into()),
    }
}

const MAX_DATAGRAM: usize = 64 << 10; // bytes

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_late_and_in_order() {
        let (sender, receiver) = channel();
        let queue = Queue::new(move |data| {
            sender
                .send((Instant::now(), data.to_vec()))
                .map_err(std::io::Error::other)?;
            Ok(data.len())
        });
        let delay = Duration::from_millis(20);
        let began = Instant::now();
        for number in 0..50u8 {
            queue.push(&[number], delay);
        }
        for number in 0..50u8 {
            let (arrived, data) = receiver.recv().unwrap();
            assert_eq!(data, [number]);
            assert!(arrived - began >= delay);
        }
    }

    #[test]
    fn as_many_are_lost_as_was_asked_and_the_same_each_time() {
        let lost = |seed| {
            let mut dice = Dice {
                loss: 0.005,
                rng: fastrand::Rng::with_seed(seed),
            };
            (0..100_000).filter(|_| dice.loses()).collect::<Vec<u32>>()
        };
        assert_eq!(lost(1), lost(1));
        assert!((400..600).contains(&lost(1).len()), "{}", lost(1).len());
    }
}
