//! What one gateway is loaded with to find out what its engine costs: one thread, no runtime, so that the
//! client's own share is small and known. `e2e/figures/engine.sh` starts the gateway and says what it
//! took.
//!
//! - `beside`: pings, and questions to the admin port, on a schedule;
//! - `flood`: messages as fast as the gateway takes them;
//! - `fan`: publications by the backends' API, counted where they are delivered;
//! - `pass`: publications on a schedule through one gateway, and how late their deliveries by another come;
//! - `redis`: the same schedule through Redis alone;
//! - `storm`: clients connect, many at once, subscribe, and stay until standard input ends.

mod beside;
mod fan;
mod flood;
mod pass;
mod storm;

use std::error::Error;
use std::net::SocketAddr;
use std::{env, process};

use wse_e2e::raw::{self, Api, Door};
use wse_e2e::token::Claims;

type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "arguments:
  beside ADDRESS SECRET SECONDS ADMIN-ADDRESS
  flood ADDRESS SECRET CONNECTIONS BYTES SECONDS
  fan ADDRESS SECRET CONNECTIONS BYTES SECONDS API-ADDRESS API-KEY
  pass ADDRESS SECRET SUBSCRIBERS TOPICS PER-SECOND SECONDS API-ADDRESS API-KEY
  redis ADDRESS TOPICS PER-SECOND SECONDS
  storm ADDRESS SECRET CONNECTIONS TOPICS AT-ONCE [CERTIFICATE]";

/// A gateway, and what it checks tokens with.
struct Gateway {
    door: Door,
    secret: Vec<u8>,
}

impl Gateway {
    /// The request of a client whose user has this number.
    fn request(&self, number: usize) -> Vec<u8> {
        let claims = Claims::new(&format!("user-{number}"), "engine-load", "engine-load");
        let token = claims.sign(&self.secret);
        let who = format!("Authorization: Bearer {token}");
        raw::request(&self.door.address.to_string(), "/wse", &who)
    }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let gateway = |address: &str, secret: &str| -> Outcome<Gateway> {
        Ok(Gateway {
            door: Door {
                address: address.parse::<SocketAddr>()?,
                source: None,
                tls: None,
            },
            secret: secret.as_bytes().to_vec(),
        })
    };
    match *arguments {
        ["beside", address, secret, seconds, admin] => {
            beside::run(&gateway(address, secret)?, seconds.parse()?, admin.parse()?)
        }
        ["flood", address, secret, connections, bytes, seconds] => flood::run(
            &gateway(address, secret)?,
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
            &gateway(address, secret)?,
            connections.parse()?,
            bytes.parse()?,
            seconds.parse()?,
            &Api {
                address: api.parse()?,
                key,
            },
        ),
        [
            "pass",
            address,
            secret,
            subscribers,
            topics,
            rate,
            seconds,
            api,
            key,
        ] => pass::run(
            &gateway(address, secret)?,
            subscribers.parse()?,
            &pass::Schedule::new(topics.parse()?, rate.parse()?, seconds.parse()?),
            &Api {
                address: api.parse()?,
                key,
            },
        ),
        ["redis", address, topics, rate, seconds] => pass::redis(
            address.parse()?,
            &pass::Schedule::new(topics.parse()?, rate.parse()?, seconds.parse()?),
        ),
        [
            "storm",
            address,
            secret,
            connections,
            topics,
            at_once,
            ref certificate @ ..,
        ] => {
            let mut gateway = gateway(address, secret)?;
            gateway.door.tls = certificate
                .first()
                .map(|it| raw::Tls::local(it))
                .transpose()?;
            storm::run(
                &gateway,
                connections.parse()?,
                topics.parse()?,
                at_once.parse()?,
            )
        }
        _ => {
            eprintln!("{USAGE}");
            process::exit(2);
        }
    }
}
