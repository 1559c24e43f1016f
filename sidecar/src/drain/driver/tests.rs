//! The driver over a house that sessions leave.

use std::sync::Mutex;

use super::*;

/// Sessions leave one by one, each 10 s after the other.
#[derive(Clone, Default)]
struct House(Arc<Mutex<Rooms>>);

#[derive(Default)]
struct Rooms {
    sessions: usize,
    leaving_since: Option<Instant>,
    stuck: bool,
    log: Vec<(u64, String)>,
    start: Option<Instant>,
}

impl House {
    fn new(sessions: usize) -> Self {
        let house = Self::default();
        {
            let mut rooms = house.0.lock().unwrap();
            rooms.sessions = sessions;
            rooms.start = Some(Instant::now());
        }
        house
    }

    fn note(&self, what: String) {
        let mut rooms = self.0.lock().unwrap();
        let at = rooms.start.unwrap().elapsed().as_secs();
        rooms.log.push((at, what));
    }

    fn log(&self) -> Vec<(u64, String)> {
        self.0.lock().unwrap().log.clone()
    }
}

impl Doors for House {
    fn refuse(&self, on: bool) {
        self.note(format!("refuse {on}"));
    }

    fn leave(&self, window: Duration, deadline: Duration) {
        self.0.lock().unwrap().leaving_since = Some(Instant::now());
        self.note(format!("leave {} {}", window.as_secs(), deadline.as_secs()));
    }

    async fn shed(&self, sessions: usize, window: Duration) -> usize {
        self.note(format!("shed {sessions} {}", window.as_secs()));
        if self.0.lock().unwrap().stuck {
            std::future::pending::<()>().await;
        }
        sessions.min(self.sessions())
    }

    fn stay(&self) {
        self.note("stay".into());
    }

    fn sessions(&self) -> usize {
        let rooms = self.0.lock().unwrap();
        let gone = rooms
            .leaving_since
            .map_or(0, |since| since.elapsed().as_secs() / 10);
        rooms
            .sessions
            .saturating_sub(usize::try_from(gone).unwrap())
    }
}

fn driver(house: &House) -> (Driver<House>, Controls, Metrics) {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let schedule = Schedule::from(&crate::config::Drain::default());
    let (driver, controls) = Driver::new(house.clone(), schedule, metrics.clone());
    (driver, controls, metrics)
}

fn logged(entries: &[(u64, &str)]) -> Vec<(u64, String)> {
    entries
        .iter()
        .map(|(at, what)| (*at, (*what).into()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn empties_and_stays_until_it_is_taken_back() {
    let house = House::new(3);
    let (driver, controls, metrics) = driver(&house);
    let running = tokio::spawn(driver.run());
    assert_eq!(controls.begin().await, Phase::Announced);
    assert_eq!(metrics.draining.get(), 1);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(controls.begin().await, Phase::Leaving);
    assert_eq!(metrics.sessions_left.get(), 2);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(controls.phase(), Phase::Empty);
    assert!(!running.is_finished());
    assert_eq!(controls.cancel().await, Ok(Phase::Serving));
    assert_eq!(metrics.draining.get(), 0);
    let expected = [
        (7, "refuse true"),
        (7, "leave 30 60"),
        (120, "stay"),
        (120, "refuse false"),
    ];
    assert_eq!(house.log(), logged(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_in_exit_when_the_last_has_left() {
    let house = House::new(3);
    let (driver, controls, _) = driver(&house);
    let begun = Instant::now();
    let running = tokio::spawn(driver.run());
    controls.exit().await;
    running.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 7 + 30);
    assert_eq!(controls.phase(), Phase::Empty);
    assert_eq!(controls.cancel().await, Err(Exiting));
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_in_exit_at_the_deadline() {
    let house = House::new(100);
    let (driver, controls, _) = driver(&house);
    let begun = Instant::now();
    let running = tokio::spawn(driver.run());
    controls.exit().await;
    running.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 7 + 60 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_shed_leaves_the_pod_serving_and_a_drain_takes_it_over() {
    let house = House::new(30);
    let (driver, controls, metrics) = driver(&house);
    tokio::spawn(driver.run());
    let window = Duration::from_secs(60);
    assert_eq!(controls.shed(20, window).await, Ok(20));
    assert_eq!(controls.shed(99, window).await, Ok(30));
    assert_eq!(controls.phase(), Phase::Serving);
    assert_eq!(metrics.draining.get(), 0);
    controls.begin().await;
    for _ in ["announced", "leaving"] {
        assert_eq!(controls.shed(1, window).await, Err(NotShed::Draining));
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    controls.cancel().await.unwrap();
    assert_eq!(controls.shed(1, window).await, Ok(1));
    let expected = [
        (0, "shed 20 60"),
        (0, "shed 99 60"),
        (0, "stay"),
        (7, "refuse true"),
        (7, "leave 30 60"),
        (16, "stay"),
        (16, "refuse false"),
        (16, "shed 1 60"),
    ];
    assert_eq!(house.log(), logged(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_shed_that_cannot_choose_does_not_hold_a_drain_up() {
    let house = House::new(3);
    house.0.lock().unwrap().stuck = true;
    let (driver, controls, _) = driver(&house);
    let running = tokio::spawn(driver.run());
    let shed = controls.shed(1, Duration::ZERO);
    let (shed, ()) = tokio::join!(shed, controls.exit());
    assert_eq!(shed, Err(NotShed::Busy));
    running.await.unwrap();
    assert_eq!(
        controls.shed(1, Duration::ZERO).await,
        Err(NotShed::Draining)
    );
}

#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_next_drain_only() {
    let house = House::new(1);
    let (driver, controls, _) = driver(&house);
    tokio::spawn(driver.run());
    controls.begin().await;
    let config = crate::config::Drain {
        wait_seconds: 1,
        ..Default::default()
    };
    controls.reschedule(Schedule::from(&config));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(controls.phase(), Phase::Announced);
    controls.cancel().await.unwrap();
    controls.begin().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(controls.phase(), Phase::Leaving);
}
