//! Silent clients, slow ones, and many at once.

use std::fs::File;
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

#[tokio::test]
async fn on_a_shared_socket_draining_leaves_clients_to_the_siblings() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sibling = socket.try_clone().unwrap();
    let limits = Limits::default();
    let mut one = House::with(limits.clone(), &anybody(), || 0, Some(socket)).await;
    one.upgrade("").await;
    one.control.refuse(true);
    let mut waiting = one.connect().await;
    waiting
        .write_all(format!("{HEAD}\r\n").as_bytes())
        .await
        .unwrap();
    let nothing = timeout(Duration::from_millis(50), waiting.read(&mut [0])).await;
    assert!(nothing.is_err());

    let mut other = House::with(limits, &anybody(), || 0, Some(sibling)).await;
    assert!(other.arrivals.recv().await.is_some());
    other.control.refuse(true);
    one.control.refuse(false);
    one.upgrade("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_connections_keep_nobody_out() {
    let limits = Limits {
        pending_handshakes: 64,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(house.connect().await);
    }
    let (_client, arrival) = house.upgrade("").await;
    assert!(arrival.identity.is_ok());
    house.counted("evicted", 1_000 + 1 - 64).await;
    assert!(house.metric("wse_pending_handshakes", None) <= 64.0);
    assert_eq!(house.metric("wse_handshakes_total", Some("timeout")), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_keep_nobody_out() {
    let limits = Limits {
        pending_handshakes: 16,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut stream = house.connect().await;
        stream.write_all(b"GET / HT").await.unwrap();
        slow.push(stream);
    }
    let (_client, arrival) = house.upgrade("").await;
    assert!(arrival.identity.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_real_clients_loses_none() {
    let limits = Limits {
        pending_handshakes: 8,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    let mut clients = Vec::new();
    // All are connected, with their requests sent, before the edge has a chance to look at one.
    for _ in 0..200 {
        let client = std::net::TcpStream::connect(house.address).unwrap();
        std::io::Write::write_all(&mut &client, format!("{HEAD}\r\n").as_bytes()).unwrap();
        clients.push(client);
    }
    for _ in 0..200 {
        assert!(house.arrivals.recv().await.is_some());
    }
    assert_eq!(house.metric("wse_handshakes_total", Some("evicted")), 0.0);
}

#[tokio::test]
async fn a_slow_handshake_is_dropped() {
    let limits = Limits {
        handshake_timeout_millis: 50,
        ..Limits::default()
    };
    let house = House::open(limits).await;
    for begun in ["", "GET / HTTP/1.1\r\nHost: a\r\n"] {
        assert_eq!(house.ask(begun).await.head, "", "{begun}");
    }
    house.counted("timeout", 2).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_counted() {
    let house = House::open(Limits::default()).await;
    drop(house.connect().await);
    let mut half = house.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    drop(half);
    house.counted("io", 2).await;
}

#[tokio::test]
async fn the_backlog_is_the_one_asked_for() {
    let listen = Listen {
        backlog: 1_000,
        ..listen()
    };
    let listener = Listener::open(&listen, None).unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody accepts: what connects waits in the queue, and past its end no connection is made. The
    // queue that the library asks for by default holds 128.
    let mut waiting = Vec::new();
    for _ in 0..500 {
        let client = TcpStream::connect(("127.0.0.1", port));
        let connected = timeout(Duration::from_secs(10), client).await;
        waiting.push(connected.expect("there is room in the queue").unwrap());
    }
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let first = Listener::open(&listen(), None).unwrap();
    let taken = Listen {
        public: first.local_addr().unwrap(),
        ..listen()
    };
    let message = Listener::open(&taken, None).unwrap_err().to_string();
    assert!(message.contains(&taken.public.to_string()), "{message}");
}

/// Says that a test runs in a process of its own.
const ALONE: &str = "WSE_TEST_ALONE";

/// The limit of open files is the process's: the test runs once more, in a process of its own.
#[test]
fn running_out_of_files_passes() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        return runtime.block_on(run_out_of_files());
    }
    let alone = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "edge::tests::crowds::running_out_of_files_passes",
        ])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&alone.stdout);
    assert!(
        alone.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

async fn run_out_of_files() {
    let mut house = House::open(Limits::default()).await;
    house.upgrade("").await;
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(128),
        ..limit
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let mut hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // Room for the client's end, and none for the edge's.
    hoard.pop();
    let mut client = house.connect().await;
    client
        .write_all(format!("{HEAD}\r\n").as_bytes())
        .await
        .unwrap();
    while house.metric("wse_accept_errors_total", None) < 2.0 {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(house.arrivals.try_recv().is_err());
    drop(hoard);
    assert!(house.arrivals.recv().await.is_some());
}
