//! The loads themselves: closed loops, bulk transfers, streams held open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use tokio::task::{JoinHandle, JoinSet};

use crate::command::{Bulk, BulkOutcome, Direction, Held, Hold, Requests, Websockets};
use crate::door::{Door, Visitor};
use crate::latencies::{Latencies, Rate};
use crate::question::{Body, Question};
use crate::websocket::{BINARY, Socket, frame};

/// Requests in a closed loop.
pub async fn requests(door: &Door, command: &Requests) -> Result<Rate> {
    let body = match command.body {
        0 => Body::Empty,
        size => Body::Whole(Bytes::from(vec![b'b'; size])),
    };
    let method = if command.body == 0 { "GET" } else { "POST" };
    let question = Arc::new(Question::http(method, &command.path, command.headers, body));
    let actors = (0..command.concurrency)
        .map(|number| {
            let question = question.clone();
            Ok(Actor::Visitor {
                visitor: door.visitor(number)?,
                question,
                expect: command.expect,
            })
        })
        .collect::<Result<_>>()?;
    Ok(closed_loop(actors, Window::new(command.warmup, command.seconds)).await)
}

/// Messages on web sockets in a closed loop.
pub async fn websockets(door: &Door, command: &Websockets) -> Result<Rate> {
    let question = Question::websocket("/echo", 20);
    let encoded = Bytes::from(frame(BINARY, &vec![b'w'; command.size]));
    let mut actors = Vec::new();
    for number in 0..command.sockets {
        let socket = door.visitor(number)?.upgrade(&question).await?;
        let (encoded, size) = (encoded.clone(), command.size);
        actors.push(Actor::Socket {
            socket,
            encoded,
            size,
        });
    }
    Ok(closed_loop(actors, Window::new(command.warmup, command.seconds)).await)
}

/// Bulk transfers, and small requests beside them.
pub async fn bulk(door: &Door, command: &Bulk) -> Result<BulkOutcome> {
    let meter = Meter::new(door, command.direction);
    let before = meter.read().await?;
    let mut transfers = start_transfers(door, command, &meter)?;
    let window = Window::new(command.warmup, command.seconds);
    let small = (command.small > 0).then(|| {
        let (door, requests) = (door.clone(), small_requests(command));
        tokio::spawn(async move { self::requests(&door, &requests).await })
    });
    tokio::time::sleep_until(window.begin.into()).await;
    let (first, began) = (meter.read().await?, Instant::now());
    tokio::time::sleep_until(window.end.into()).await;
    let (last, ended) = (meter.read().await?, Instant::now());
    let small = match small {
        Some(task) => Some(task.await??),
        None => None,
    };
    let (mut errors, mut first_error) = (0, None);
    while let Some(ended) = transfers.try_join_next() {
        errors += 1;
        first_error.get_or_insert(match ended? {
            Ok(length) => format!("a transfer without end ended after {length} bytes"),
            Err(error) => format!("{error:#}"),
        });
    }
    transfers.shutdown().await; // the visitors go away
    let total = meter.read().await? - before;
    let seconds = (ended - began).as_secs_f64();
    let bytes = last - first;
    let per_second = bytes as f64 / seconds;
    Ok(BulkOutcome {
        bytes,
        total,
        seconds,
        per_second,
        errors,
        first_error,
        small,
    })
}

/// Streams on which nothing happens.
#[derive(Default)]
pub struct Holding(Vec<JoinHandle<()>>);

impl Holding {
    /// Open more; how many are open.
    ///
    /// # Errors
    /// One of them could not be opened.
    pub async fn add(&mut self, door: &Door, command: &Hold) -> Result<usize> {
        for number in 0..command.count {
            let visitor = door.visitor(number)?;
            self.0.push(match command.kind {
                Held::Websocket => hold_websocket(visitor).await?,
                Held::Answer => hold_answer(visitor).await?,
            });
        }
        Ok(self.open())
    }

    /// Streams that are still open.
    pub fn open(&self) -> usize {
        self.0.iter().filter(|task| !task.is_finished()).count()
    }

    /// Let all go.
    pub async fn release(&mut self) {
        for task in self.0.drain(..) {
            task.abort();
            let _ = task.await; // cancelled, as was asked
        }
    }
}

/// Who does one thing after the other.
enum Actor {
    Visitor {
        visitor: Visitor,
        question: Arc<Question>,
        expect: Option<u64>,
    },
    Socket {
        socket: Socket,
        encoded: Bytes,
        size: usize,
    },
}

impl Actor {
    async fn act(&mut self) -> Result<()> {
        match self {
            Self::Visitor {
                visitor,
                question,
                expect,
            } => {
                let length = visitor.ask(question, &mut |_| {}).await?;
                if let Some(expect) = *expect {
                    ensure!(
                        length == expect,
                        "an answer of {length} bytes, not {expect}"
                    );
                }
                Ok(())
            }
            Self::Socket {
                socket,
                encoded,
                size,
            } => socket.echo(encoded, *size).await,
        }
    }
}

/// The time that is measured.
#[derive(Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
}

impl Window {
    fn new(warmup: f64, seconds: f64) -> Self {
        let begin = Instant::now() + Duration::from_secs_f64(warmup);
        Self {
            begin,
            end: begin + Duration::from_secs_f64(seconds),
        }
    }
}

async fn closed_loop(actors: Vec<Actor>, window: Window) -> Rate {
    let mut running: JoinSet<Latencies> = actors
        .into_iter()
        .map(|actor| act_until_end(actor, window))
        .collect();
    let mut all = Latencies::default();
    while let Some(finished) = running.join_next().await {
        match finished {
            Ok(latencies) => all.merge(latencies),
            Err(error) => all.fail(&error.into()),
        }
    }
    all.rate(window.end - window.begin)
}

async fn act_until_end(mut actor: Actor, window: Window) -> Latencies {
    let mut latencies = Latencies::default();
    let mut now = Instant::now();
    while now < window.end {
        let began = now;
        let outcome = actor.act().await;
        now = Instant::now();
        latencies.total += 1;
        match outcome {
            Ok(()) if window.begin <= now && now <= window.end => {
                latencies.measured.push(now - began);
            }
            Ok(()) => {}
            Err(error) => {
                latencies.fail(&error);
                break; // the result is void; a loop of failures would only cost time
            }
        }
    }
    latencies
}

/// Counts the bytes of bulk transfers: those that arrive here, or those that the app says arrived.
struct Meter {
    door: Door,
    direction: Direction,
    received: Arc<AtomicU64>,
    question: Question,
}

impl Meter {
    fn new(door: &Door, direction: Direction) -> Self {
        Self {
            door: door.clone(),
            direction,
            received: Arc::default(),
            question: Question::http("GET", "/received", 20, Body::Empty),
        }
    }

    async fn read(&self) -> Result<u64> {
        if self.direction == Direction::Down {
            return Ok(self.received.load(Ordering::Relaxed));
        }
        let mut text = Vec::new();
        let mut keep = |data: &[u8]| text.extend_from_slice(data);
        self.door.visitor(0)?.ask(&self.question, &mut keep).await?;
        Ok(std::str::from_utf8(&text)?.parse()?)
    }
}

fn start_transfers(door: &Door, command: &Bulk, meter: &Meter) -> Result<JoinSet<Result<u64>>> {
    let question = Arc::new(match command.direction {
        Direction::Down => Question::http("GET", "/endless", 20, Body::Empty),
        Direction::Up => Question::http("POST", "/sink", 20, Body::Endless),
    });
    let mut transfers = JoinSet::new();
    for number in 0..command.streams {
        let (question, received) = (question.clone(), meter.received.clone());
        let mut visitor = door.visitor(number)?;
        transfers.spawn(async move { visitor.ask(&question, &mut counter(received)).await });
    }
    Ok(transfers)
}

fn counter(received: Arc<AtomicU64>) -> impl FnMut(&[u8]) + Send {
    move |data| {
        received.fetch_add(data.len() as u64, Ordering::Relaxed);
    }
}

fn small_requests(command: &Bulk) -> Requests {
    Requests {
        via: command.via,
        path: "/small".into(),
        body: 0,
        expect: Some(100),
        headers: 20,
        concurrency: command.small,
        warmup: command.warmup,
        seconds: command.seconds,
    }
}

async fn hold_websocket(visitor: Visitor) -> Result<JoinHandle<()>> {
    let mut socket = visitor.upgrade(&Question::websocket("/echo", 20)).await?;
    Ok(tokio::spawn(async move {
        while socket.next_message().await.is_ok() {}
    }))
}

/// An answer whose first byte came.
async fn hold_answer(mut visitor: Visitor) -> Result<JoinHandle<()>> {
    let received = Arc::new(AtomicU64::new(0));
    let counted = received.clone();
    let task = tokio::spawn(async move {
        let question = Question::http("GET", "/idle", 20, Body::Empty);
        let _ = visitor.ask(&question, &mut counter(counted)).await; // ends when it is released
    });
    while received.load(Ordering::Relaxed) == 0 {
        ensure!(!task.is_finished(), "an answer without end ended");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(task)
}
