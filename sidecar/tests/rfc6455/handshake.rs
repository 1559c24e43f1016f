//! Upgrade requests, good and bad.

use super::client::{Client, request};
use super::server::Server;

#[test]
fn refusals_say_what_is_wrong() {
    let server = Server::start(1);
    let table = [
        (
            "Upgrade: websocket\r\n",
            "",
            "426",
            Some("sec-websocket-version: 13\r\n"),
        ),
        (
            "Connection: Upgrade",
            "Connection: close",
            "426",
            Some("upgrade: websocket\r\n"),
        ),
        (
            "Version: 13",
            "Version: 8",
            "426",
            Some("sec-websocket-version: 13\r\n"),
        ),
        ("GET ", "POST ", "405", Some("allow: GET\r\n")),
        ("HTTP/1.1", "HTTP/1.0", "505", None),
        ("Host: localhost\r\n", "", "400", None),
        (
            "Sec-WebSocket-Key: dGhl",
            "Sec-WebSocket-Key: dG",
            "400",
            None,
        ),
        ("Sec-WebSocket-Key", "Other", "400", None),
    ];
    for (from, to, status, header) in table {
        assert!(request().contains(from));
        let mut client = Client::connect(server.address);
        client.send(request().replace(from, to).as_bytes());
        let head = client.head();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{from} -> {to}: {head}"
        );
        assert!(
            header.is_none_or(|header| head.contains(header)),
            "{from} -> {to}: {head}"
        );
        assert_eq!(client.next(), None);
    }
}

#[test]
fn names_and_tokens_have_any_case() {
    let server = Server::start(1);
    let mut client = Client::connect(server.address);
    let request = request()
        .replace("Connection: Upgrade", "connection: keep-alive, uPgRaDe")
        .replace("Upgrade: websocket", "UPGRADE: WebSocket");
    client.send(request.as_bytes());
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // Nothing is negotiated that was not asked for, or that the engine does not have.
    assert!(
        !head.contains("extensions") && !head.contains("protocol:"),
        "{head}"
    );
}
