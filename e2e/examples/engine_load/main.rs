//! What one gateway is loaded with to find out what its engine costs: one thread, no runtime, so that the
//! client's own share is small and known. `e2e/figures/engine.sh` starts the gateway and says what it
//! took.
//!
//! - `beside`: pings, and questions to the admin port, on a schedule;
//! - `flood`: messages as fast as the gateway takes them;
//! - `fan`: publications by the backends' API, counted where they are delivered;
//! - `storm`: clients connect, many at once, subscribe, and stay until standard input ends.

mod beside;
mod client;
mod fan;
mod flood;
mod storm;

use std::error::Error;
use std::net::SocketAddr;
use std::{env, process};

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "arguments:
  beside ADDRESS SECRET SECONDS ADMIN-ADDRESS
  flood ADDRESS SECRET CONNECTIONS BYTES SECONDS
  fan ADDRESS SECRET CONNECTIONS BYTES SECONDS API-ADDRESS API-KEY
  storm ADDRESS SECRET CONNECTIONS TOPICS AT-ONCE";

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let door = |address: &str, secret: &str| -> Outcome<client::Door> {
        Ok(client::Door {
            address: address.parse::<SocketAddr>()?,
            secret: secret.as_bytes().to_vec(),
        })
    };
    match *arguments {
        ["beside", address, secret, seconds, admin] => {
            beside::run(&door(address, secret)?, seconds.parse()?, admin.parse()?)
        }
        ["flood", address, secret, connections, bytes, seconds] => flood::run(
            &door(address, secret)?,
            connections.parse()?,
            bytes.parse()?,
            seconds.parse()?,
        ),
        [
            "fan",
            address,
            secret,
            connections,
            bytes,
            seconds,
            api,
            key,
        ] => fan::run(
            &door(address, secret)?,
            connections.parse()?,
            bytes.parse()?,
            seconds.parse()?,
            &fan::Api {
                address: api.parse()?,
                key,
            },
        ),
        ["storm", address, secret, connections, topics, at_once] => storm::run(
            &door(address, secret)?,
            connections.parse()?,
            topics.parse()?,
            at_once.parse()?,
        ),
        _ => {
            eprintln!("{USAGE}");
            process::exit(2);
        }
    }
}
