//! The gateways of pods, each at an address of its own. What they are told is written down among the
//! calls to the API server.

use std::io::ErrorKind;
use std::net::Ipv4Addr;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::server::{Call, Server};

/// At so many addresses one can be, from the first on.
pub(super) const ADDRESSES: u8 = 12;

/// A gateway that keeps account of what it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Gateway {
    pub(super) sessions: u32,
    pub(super) drains: bool,
}

/// Address number 1 and so on.
pub(super) fn address(number: u8) -> String {
    Ipv4Addr::new(127, 0, 0, number).to_string()
}

/// Answers at every address, and says at which port. Where no gateway was put there is one without
/// clients that forgets at once that it was asked to drain, and cannot take it back.
pub(super) async fn listen(server: &Server) -> u16 {
    let listeners = bind().await;
    let port = listeners[0].local_addr().unwrap().port();
    for (number, listener) in (1..).zip(listeners) {
        let gateway = gateway(server.clone(), address(number));
        tokio::spawn(async move { axum::serve(listener, gateway).await });
    }
    port
}

/// One port at every address. Where one is free, another test may have it elsewhere.
async fn bind() -> Vec<TcpListener> {
    'port: loop {
        let mut listeners = Vec::new();
        let mut port = 0;
        for number in 1..=ADDRESSES {
            let place = (Ipv4Addr::new(127, 0, 0, number), port);
            let listener = match TcpListener::bind(place).await {
                Err(error) if error.kind() == ErrorKind::AddrInUse => continue 'port,
                listener => listener.unwrap(),
            };
            port = listener.local_addr().unwrap().port();
            listeners.push(listener);
        }
        return listeners;
    }
}

fn gateway(server: Server, address: String) -> Router {
    let told = |method: Method| {
        let (server, address) = (server.clone(), address.clone());
        move || async move {
            let (path, query, body) = ("drain".into(), address, Value::Null);
            let (code, _) = server.take(Call {
                method,
                path,
                query,
                body,
            });
            StatusCode::from_u16(code).unwrap()
        }
    };
    let drain = axum::routing::post(told(Method::POST)).delete(told(Method::DELETE));
    let load = move || async move {
        let gateway = server.with(|state| state.gateways.get(&address).copied());
        Json(load(gateway.unwrap_or_default()))
    };
    Router::new()
        .route("/load", get(load))
        .route("/drain", drain)
}

fn load(gateway: Gateway) -> Value {
    let total = json!({"total": 0, "perSecond": 0.0});
    let drain = match (gateway.drains, gateway.sessions) {
        (false, _) => "serving",
        (true, 0) => "empty",
        (true, _) => "leaving",
    };
    json!({
        "connections": gateway.sessions,
        "capacity": {"connections": 1_000},
        "messagesIn": total,
        "messagesOut": total,
        "bytesIn": total,
        "bytesOut": total,
        "cpuCores": 0.0,
        "memory": {"residentBytes": null, "limitBytes": null},
        "outboundQueuedBytes": 0,
        "largestTopic": 0,
        "drain": drain,
        "degraded": false,
        "sysctls": {"net.ipv4.tcp_rmem": "4096 1 2"},
    })
}
