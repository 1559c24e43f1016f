//! An independent implementation as the client.

use std::net::TcpStream;

use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use super::server::Server;

fn connect(server: &Server) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(server.address).unwrap();
    client(format!("ws://{}/", server.address), stream)
        .unwrap()
        .0
}

#[test]
fn messages_come_back() {
    let server = Server::start(2);
    let mut socket = connect(&server);
    for n in [0, 1, 125, 126, 65_535, 65_536, 300_000] {
        for message in [
            Message::text("ü".repeat(n / 2)),
            Message::binary(vec![n as u8; n]),
        ] {
            socket.send(message.clone()).unwrap();
            assert_eq!(socket.read().unwrap(), message);
        }
    }
}

#[test]
fn a_burst_comes_back_in_order() {
    let server = Server::start(1);
    let mut socket = connect(&server);
    for i in 0..2_000 {
        socket.write(Message::text(format!("message {i}"))).unwrap();
    }
    socket.flush().unwrap();
    for i in 0..2_000 {
        assert_eq!(
            socket.read().unwrap(),
            Message::text(format!("message {i}"))
        );
    }
}

#[test]
fn fragments_come_back_whole() {
    let server = Server::start(1);
    let mut socket = connect(&server);
    let frames = [
        Frame::message("frag", OpCode::Data(Data::Text), false),
        Frame::message("men", OpCode::Data(Data::Continue), false),
        Frame::message("ted", OpCode::Data(Data::Continue), true),
    ];
    for frame in frames {
        let last = frame.header().is_final;
        socket.send(Message::Frame(frame)).unwrap();
        if !last {
            socket.send(Message::Ping("?".into())).unwrap();
            assert_eq!(socket.read().unwrap(), Message::Pong("?".into()));
        }
    }
    assert_eq!(socket.read().unwrap(), Message::text("fragmented"));
}

#[test]
fn the_close_handshake_is_clean() {
    let server = Server::start(1);
    let mut socket = connect(&server);
    let frame = CloseFrame {
        code: CloseCode::Library(4_001),
        reason: "bye".into(),
    };
    socket.close(Some(frame)).unwrap();
    let Message::Close(Some(answer)) = socket.read().unwrap() else {
        panic!("no Close frame")
    };
    assert_eq!(answer.code, CloseCode::Library(4_001));
    assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
}
