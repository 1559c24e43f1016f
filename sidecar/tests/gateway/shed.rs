//! Some leave, and nobody else notices.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use wse_sidecar::config::Config;

use crate::client::Client;
use crate::pod::Pod;

const HOUR: Duration = Duration::from_secs(3_600);

/// The note after which a client stops listening.
const LAST: u64 = 1 << 40;

/// What a client saw: its notes, and how it was closed if it was.
struct Seen {
    notes: Vec<u64>,
    closed: Option<(u16, String)>,
}

/// Listens until the last note or the Close frame, which it answers.
async fn listen(mut client: Client, left: mpsc::UnboundedSender<()>) -> Seen {
    let mut notes = Vec::new();
    loop {
        match client.next().await {
            Message::Text(text) => {
                let message: serde_json::Value = serde_json::from_str(&text).unwrap();
                if message["t"] != "note" {
                    continue;
                }
                let note = message["p"].as_u64().unwrap();
                if note == LAST {
                    let closed = None;
                    return Seen { notes, closed };
                }
                notes.push(note);
            }
            Message::Close(frame) => {
                let frame = frame.expect("a Close frame with a code");
                let closed = Some((frame.code.into(), frame.reason.to_string()));
                client.gone().await;
                left.send(()).unwrap();
                return Seen { notes, closed };
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_of_two_hundred_leave_and_the_others_miss_nothing() {
    let pod = Pod::start(&Config::default()).await;
    let (left, mut leaving) = mpsc::unbounded_channel();
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = Client::ready(&pod, "").await;
        assert_eq!(client.subscribe(&["chat.1"]).await["success"], true);
        clients.push(tokio::spawn(listen(client, left.clone())));
    }
    drop(left);
    assert_eq!(pod.fleet.shed(40, Duration::from_secs(1)).await, 40);

    let mut published = 0;
    let mut gone = 0;
    while gone < 40 {
        published += 1;
        pod.publish("chat.1", published).await;
        let soon = tokio::time::timeout(Duration::from_millis(10), leaving.recv());
        if let Ok(left) = soon.await {
            left.expect("some stay");
            gone += 1;
        }
    }
    // A client that comes now is not asked to leave, and gets what the others get.
    let mut late = Client::ready(&pod, "").await;
    late.subscribe(&["chat.1"]).await;
    pod.publish("chat.1", LAST).await;
    assert_eq!(late.note().await, LAST);

    let mut stayed = 0;
    for client in clients {
        let seen = client.await.unwrap();
        // In order and without a hole, whoever it was; to the end for those that stayed.
        let without_hole: Vec<_> = (1..).take(seen.notes.len()).collect();
        assert_eq!(seen.notes, without_hole);
        match seen.closed {
            Some(closed) => assert_eq!(closed, (4300, "rebalancing".into())),
            None => {
                assert_eq!(seen.notes.len() as u64, published);
                stayed += 1;
            }
        }
    }
    assert_eq!(stayed, 160);
    assert_eq!(pod.counter("wse_shed_sessions_total", ""), 40.0);
    assert_eq!(pod.counter("wse_sessions_closed_total", "4300"), 40.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_reactors_give_their_part() {
    let pod = Pod::start(&Config::default()).await;
    for _ in 0..40 {
        let mut client = Client::ready(&pod, "").await;
        // Who reads answers the Close frame.
        tokio::spawn(async move { client.gone().await });
    }
    assert_eq!(pod.fleet.shed(10, Duration::ZERO).await, 10);
    let shares = async {
        loop {
            let sessions: Vec<_> = pod
                .gateway
                .reactors()
                .iter()
                .map(|r| r.sessions())
                .collect();
            if sessions == [15, 15] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), shares).await;
    in_time.expect("the sessions are still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_chosen_twice_and_newcomers_only_by_a_later_shed() {
    let pod = Pod::start(&Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::ready(&pod, "").await);
    }
    assert_eq!(pod.fleet.shed(15, HOUR).await, 15);
    assert_eq!(pod.fleet.shed(15, HOUR).await, 5);
    assert_eq!(pod.fleet.shed(1, HOUR).await, 0);
    let mut late = Client::ready(&pod, "").await;
    late.nothing_came().await;
    assert_eq!(pod.fleet.shed(9, Duration::ZERO).await, 1);
    assert_eq!(late.closed().await, (4300, "rebalancing".into()));

    // Their hour has not come, but a drain's has.
    pod.fleet.leave(Duration::ZERO, HOUR);
    for client in &mut clients {
        assert_eq!(client.closed().await, (4300, "draining".into()));
    }
    assert_eq!(pod.fleet.shed(1, HOUR).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shed_that_is_called_off_leaves_everybody_here() {
    let pod = Pod::start(&Config::default()).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::ready(&pod, "").await);
    }
    assert_eq!(pod.fleet.shed(5, HOUR).await, 5);
    pod.fleet.stay();
    // They can be chosen again, so they were not leaving any more.
    assert_eq!(pod.fleet.shed(5, Duration::ZERO).await, 5);
    for client in &mut clients {
        assert_eq!(client.closed().await, (4300, "rebalancing".into()));
    }
}
