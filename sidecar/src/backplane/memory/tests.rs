use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::backplane::BoxFuture;
use crate::config::{Durability, History, WhenAway};
use crate::topic::Pattern;

/// Keeps what it is given; while it is shut nothing is taken.
#[derive(Default)]
struct Keeper {
    shut: AtomicBool,
    opened: Notify,
    taken: Mutex<Vec<(String, Position, Bytes)>>,
}

struct KeeperSink(Arc<Keeper>);

impl Sink for KeeperSink {
    fn deliver(&self, publications: Vec<Publication>) -> BoxFuture<()> {
        let keeper = Arc::clone(&self.0);
        Box::pin(async move {
            while keeper.shut.load(Ordering::SeqCst) {
                keeper.opened.notified().await;
            }
            let mut taken = keeper.taken.lock().unwrap();
            for publication in publications {
                let topic = publication.topic.to_string();
                let position = publication.position.unwrap();
                taken.push((topic, position, publication.payload));
            }
        })
    }

    fn control(&self, request: Bytes) -> BoxFuture<Bytes> {
        Box::pin(async move { request })
    }

    fn state(&self, _: State) {}
}

fn join() -> (Memory, Arc<Keeper>) {
    let keeper = Arc::new(Keeper::default());
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let sink = Arc::new(KeeperSink(Arc::clone(&keeper)));
    (Memory::join(NodeId::new("a"), sink, metrics), keeper)
}

fn publish(topic: &str, payload: impl Into<Bytes>) -> Publish {
    Publish {
        topic: Topic::trusted(topic),
        payload: payload.into(),
        idempotency_key: None,
        history: History {
            size: 3,
            ttl_seconds: 60,
        },
        durability: Durability::Primary,
        when_away: WhenAway::Hold,
    }
}

fn interest(topic: &str) -> Interest {
    Interest::Topic(Topic::trusted(topic))
}

#[tokio::test(start_paused = true)]
async fn a_publication_reaches_those_who_want_it_once() {
    let (memory, keeper) = join();
    let head = memory.subscribe(&[interest("a"), interest("b")]).await[0].unwrap();
    let pattern = Interest::Pattern(Pattern::parse("a*", 9).unwrap());
    assert_eq!(
        memory.subscribe(std::slice::from_ref(&pattern)).await,
        [None]
    );
    for topic in ["a", "ab", "c", "a"] {
        memory.publish(publish(topic, "x")).await.unwrap();
    }
    memory.unsubscribe(&[pattern]);
    memory.publish(publish("ab", "x")).await.unwrap();
    memory.leave().await;

    let taken = keeper.taken.lock().unwrap();
    let topics: Vec<&str> = taken.iter().map(|(topic, ..)| topic.as_str()).collect();
    assert_eq!(topics, ["a", "ab", "a"]);
    let offsets: Vec<u64> = taken.iter().map(|(_, at, _)| at.offset).collect();
    assert_eq!((head.offset, offsets), (0, vec![1, 1, 2]));
    assert_eq!(head.epoch, taken[0].1.epoch);
}

#[tokio::test(start_paused = true)]
async fn a_full_sink_makes_publishers_wait() {
    let (memory, keeper) = join();
    memory.subscribe(&[interest("a")]).await;
    keeper.shut.store(true, Ordering::SeqCst);
    let total = ROOM + 2 * BATCH + 10;
    let publisher = tokio::spawn({
        let memory = memory.clone();
        async move {
            for _ in 0..total {
                memory.publish(publish("a", "x")).await.unwrap();
            }
        }
    });
    tokio::time::sleep(WAIT / 2).await;
    assert!(!publisher.is_finished());
    assert!(memory.0.lock().streams[&Topic::trusted("a")].head().offset <= (ROOM + BATCH) as u64);

    keeper.shut.store(false, Ordering::SeqCst);
    keeper.opened.notify_one();
    publisher.await.unwrap();
    memory.leave().await;
    let taken = keeper.taken.lock().unwrap();
    let offsets = taken.iter().map(|(_, at, _)| at.offset);
    assert!(offsets.eq(1..=total as u64));
}

#[tokio::test(start_paused = true)]
async fn a_pattern_is_answered_behind_what_was_published_before() {
    let (memory, keeper) = join();
    memory.subscribe(&[interest("a")]).await;
    keeper.shut.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        memory.publish(publish("a", "x")).await.unwrap();
    }
    let answered = tokio::spawn({
        let memory = memory.clone();
        async move {
            let pattern = Interest::Pattern(Pattern::parse("*", 9).unwrap());
            memory.subscribe(&[pattern]).await
        }
    });
    tokio::time::sleep(WAIT).await;
    assert!(!answered.is_finished());
    memory.subscribe(&[interest("b")]).await;

    keeper.shut.store(false, Ordering::SeqCst);
    keeper.opened.notify_one();
    assert_eq!(answered.await.unwrap(), [None]);
    assert_eq!(keeper.taken.lock().unwrap().len(), 3);
    memory.leave().await;
    let pattern = Interest::Pattern(Pattern::parse("b*", 9).unwrap());
    assert_eq!(memory.subscribe(&[pattern]).await, [None]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_in_bytes_and_a_publisher_waits_only_for_a_time() {
    let (memory, keeper) = join();
    memory.subscribe(&[interest("a")]).await;
    keeper.shut.store(true, Ordering::SeqCst);
    let large = Bytes::from(vec![b'x'; 1 << 20]);
    let mut taken = 0;
    let refused = loop {
        match memory.publish(publish("a", large.clone())).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken << 20 < ROOM_BYTES);
    };
    assert!(matches!(refused, Error::Away(_)), "{refused:?}");
    assert_eq!(taken, 15);

    keeper.shut.store(false, Ordering::SeqCst);
    keeper.opened.notify_one();
    let huge = Bytes::from(vec![b'x'; 2 * ROOM_BYTES as usize]);
    memory.publish(publish("a", huge)).await.unwrap();
    memory.publish(publish("a", large)).await.unwrap();
    memory.leave().await;
    let taken = keeper.taken.lock().unwrap();
    let offsets = taken.iter().map(|(_, at, _)| at.offset);
    assert!(offsets.eq(1..=17));
}

#[tokio::test(start_paused = true)]
async fn topics_that_were_only_subscribed_to_leave_nothing_behind() {
    let (memory, keeper) = join();
    for number in 0..100 {
        let name = format!("t{number}");
        memory.subscribe(&[interest(&name)]).await;
        memory.unsubscribe(&[interest(&name)]);
    }
    assert!(memory.0.lock().streams.is_empty());

    let topic = Topic::trusted("a");
    let head = memory.subscribe(&[interest("a")]).await[0].unwrap();
    assert_eq!(memory.read(&topic, Some(head), 9).head, head);
    memory.unsubscribe(&[interest("a")]);
    assert!(memory.read(&topic, Some(head), 9).complete);
    memory.publish(publish("a", "x")).await.unwrap();
    let past = memory.read(&topic, Some(head), 9);
    assert_eq!((past.complete, past.publications.len()), (true, 1));
    assert_eq!(past.head, Position { offset: 1, ..head });

    // A topic that was forgotten begins in another epoch.
    tokio::time::sleep(Duration::from_secs(3700)).await;
    let next = memory.subscribe(&[interest("a")]).await[0].unwrap();
    assert_eq!((next.offset, next.epoch != head.epoch), (0, true));
    memory.publish(publish("a", "y")).await.unwrap();
    memory.leave().await;
    let taken = keeper.taken.lock().unwrap();
    assert_eq!(taken[0].1, Position { offset: 1, ..next });
}

#[tokio::test(start_paused = true)]
async fn the_past_is_bounded_by_number_and_time() {
    let (memory, _) = join();
    let topic = Topic::trusted("a");
    for _ in 0..5 {
        memory.publish(publish("a", "x")).await.unwrap();
    }
    let head = memory.read(&topic, None, 0).head;
    let at = |offset| Some(Position { offset, ..head });
    for (since, limit, complete, offsets) in [
        (at(5), 9, true, vec![]),
        (at(4), 9, true, vec![5]),
        (at(2), 9, true, vec![3, 4, 5]),
        (at(2), 2, true, vec![3, 4]),
        (at(1), 9, false, vec![3, 4, 5]),
        (None, 9, false, vec![3, 4, 5]),
        (at(6), 9, false, vec![]),
        (
            Some(Position {
                epoch: !head.epoch,
                offset: 4,
            }),
            9,
            false,
            vec![3, 4, 5],
        ),
    ] {
        let past = memory.read(&topic, since, limit);
        assert_eq!(past.complete, complete, "{since:?}");
        let read: Vec<u64> = past
            .publications
            .iter()
            .map(|publication| publication.position.unwrap().offset)
            .collect();
        assert_eq!(read, offsets, "{since:?}");
    }

    tokio::time::sleep(Duration::from_secs(61)).await;
    let past = memory.read(&topic, at(4), 9);
    assert_eq!((past.head, past.complete), (head, false));
    assert!(memory.read(&topic, at(5), 9).complete);
    tokio::time::sleep(Duration::from_secs(3700)).await;
    assert_eq!(memory.read(&topic, None, 9).head, Position::default());
}

#[tokio::test(start_paused = true)]
async fn a_key_publishes_once_within_the_history_s_time() {
    let (memory, keeper) = join();
    memory.subscribe(&[interest("a")]).await;
    let keyed = || Publish {
        idempotency_key: Some("k".to_owned()),
        ..publish("a", "x")
    };
    let first = memory.publish(keyed()).await.unwrap();
    memory.publish(publish("a", "y")).await.unwrap();
    assert_eq!(memory.publish(keyed()).await.unwrap(), first);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(memory.publish(keyed()).await.unwrap().unwrap().offset, 3);
    memory.leave().await;
    assert_eq!(keeper.taken.lock().unwrap().len(), 3);
    assert!(matches!(
        memory.publish(publish("a", "x")).await,
        Err(Error::Away(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn control_reaches_this_pod_alone() {
    let (memory, _) = join();
    let ask = |to| {
        let memory = memory.clone();
        async move {
            memory
                .control(&to, "x".into(), Duration::from_secs(1))
                .await
        }
    };
    for to in [To::All, To::Node(NodeId::new("a"))] {
        let replies = ask(to).await;
        assert_eq!(replies.answered, [(NodeId::new("a"), Bytes::from("x"))]);
        assert!(replies.missing.is_empty());
    }
    let replies = ask(To::Node(NodeId::new("b"))).await;
    assert!(replies.answered.is_empty() && replies.missing.is_empty());
    assert_eq!(memory.nodes()[0].id, NodeId::new("a"));
}
