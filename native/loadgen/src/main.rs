//! An edge that generates load, for the benchmarks of `asgi_quicktunnel`.
//!
//! `loadgen edge` takes commands as JSON lines on standard input and answers on standard output;
//! `command.rs` says which. It ends with its standard input.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the fields of a wire format, and figures that are rounded anyway"
)]

mod capnp;
mod command;
mod connector;
mod door;
mod edge;
mod head;
mod latencies;
mod load;
mod output;
mod plain;
mod question;
mod relay;
mod rpc;
mod tunnel;
mod vectors;
mod websocket;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::command::{Command, Event, Outcome, Via};
use crate::door::Door;
use crate::edge::Edge;
use crate::load::Holding;
use crate::output::say;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Serve connectors and generate load as standard input says.
    Edge(EdgeArguments),
    /// Dial an edge and answer with as little work as can be: what limits the generator itself.
    Connector(ConnectorArguments),
    /// Pass UDP datagrams on, late and not all of them.
    Relay(RelayArguments),
}

#[derive(Args)]
struct EdgeArguments {
    /// UDP ports to listen on, each an edge server.
    #[arg(long, default_value_t = 1)]
    ports: usize,
    /// PEM file of the certificate chain for quic.cftunnel.com.
    #[arg(long)]
    certificate: PathBuf,
    /// PEM file of its private key.
    #[arg(long)]
    key: PathBuf,
}

#[derive(Args)]
struct ConnectorArguments {
    /// Address of the edge.
    #[arg(long)]
    edge: SocketAddr,
    /// PEM file of the authority to trust.
    #[arg(long)]
    ca: PathBuf,
}

#[derive(Args)]
struct RelayArguments {
    /// Where datagrams go.
    #[arg(long)]
    to: SocketAddr,
    /// Seconds that each datagram takes, each way.
    #[arg(long)]
    delay: f64,
    /// Share of datagrams that are lost, each way: 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    loss: f64,
    /// Of the dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> Result<()> {
    match Arguments::parse().role {
        // One thread: the connector under test needs the other cores.
        Role::Edge(arguments) => runtime()?.block_on(serve(&arguments)),
        Role::Connector(arguments) => {
            runtime()?.block_on(connector::run(arguments.edge, &arguments.ca))
        }
        Role::Relay(arguments) => relay::run(
            arguments.to,
            Duration::try_from_secs_f64(arguments.delay).context("--delay")?,
            arguments.loss,
            arguments.seed,
        ),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn serve(arguments: &EdgeArguments) -> Result<()> {
    let edge = Edge::default();
    let ports = edge.listen(arguments.ports, &arguments.certificate, &arguments.key)?;
    say(&Event::Listening { ports });
    let mut holding = Holding::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let outcome = match serde_json::from_str(&line) {
            Ok(command) => carry_out(&edge, &mut holding, &command).await,
            Err(error) => Err(error.into()),
        };
        say(&match outcome {
            Ok(result) => Event::Done { result },
            Err(error) => Event::Failed {
                error: format!("{error:#}"),
            },
        });
    }
    Ok(())
}

async fn carry_out(edge: &Edge, holding: &mut Holding, command: &Command) -> Result<Outcome> {
    let door = |via: Via| match via {
        Via::Tunnel(count) => Door::Tunnel(edge.connections(count)),
        Via::Tcp(address) => Door::Tcp(address),
    };
    Ok(match command {
        Command::Requests(command) => {
            Outcome::Rate(load::requests(&door(command.via), command).await?)
        }
        Command::Websockets(command) => {
            Outcome::Rate(load::websockets(&door(command.via), command).await?)
        }
        Command::Bulk(command) => Outcome::Bulk(load::bulk(&door(command.via), command).await?),
        Command::Hold(command) => Outcome::Open {
            open: holding.add(&door(command.via), command).await?,
        },
        Command::Release => {
            holding.release().await;
            Outcome::Open {
                open: holding.open(),
            }
        }
    })
}
