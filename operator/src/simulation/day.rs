//! A day from midnight to midnight, in steps of a second while something is under way and of ten
//! while nothing is.

use super::chance::Chance;
use super::cluster::Cluster;
use super::figures::{Figures, Record, Sample};
use super::fleet::Fleet;
use super::operator::Operator;
use super::scenario::{DAY, Event, Scenario};

/// Before midnight the fleet comes to the size that it has then.
const BEFORE: u64 = 7_200;
/// A step at rest.
const REST_SECONDS: u64 = 10;
/// How long the average connection lasts: two hours.
const CONNECTION_SECONDS: f64 = 7_200.0;
/// Until another operator has the Lease.
const AWAY_SECONDS: u64 = 15;
/// More than this share of the most clients coming or going in a step at rest asks for shorter steps.
const CALM: f64 = 0.002;

/// A simulated day.
#[derive(Clone, Debug)]
pub struct Day {
    /// What happened.
    pub scenario: Scenario,
    /// To which fleet.
    pub fleet: Fleet,
    /// By which chance.
    pub seed: u64,
    /// The day in moments,
    pub samples: Vec<Sample>,
    /// and in figures.
    pub figures: Figures,
    /// What must never happen, and did.
    pub breaches: Vec<String>,
}

/// Lets a day pass. The same seed gives the same day.
pub fn simulate(scenario: Scenario, fleet: Fleet, seed: u64) -> Day {
    let mut operator = Operator::new(fleet);
    let mut cluster = Cluster::new(fleet.tier().figures().resources(), seed);
    let mut record = Record::new();
    let mut crowd = Crowd::new(scenario, fleet, seed);
    let mut events = scenario.events().iter().peekable();
    let mut restarts = restarts(scenario, seed);
    let mut news = true;
    let mut now = 0;
    while now < BEFORE + DAY {
        let second = now.checked_sub(BEFORE);
        while let Some((_, event)) = events.next_if(|(at, _)| Some(*at) <= second) {
            if *event == Event::Image {
                operator.spec.image = Some("gateway:2".into());
            }
            cluster.happen(now, *event);
            news = true;
        }
        while restarts.pop_if(|at| Some(*at) <= second).is_some() {
            operator.restart(now, AWAY_SECONDS);
        }
        if operator.is_due(now, news) {
            operator.pass(now, &mut cluster);
        }
        let calm = operator.is_settled && cluster.rests(now) && crowd.is_calm(now);
        let seconds = if calm {
            REST_SECONDS - now % REST_SECONDS
        } else {
            1
        };
        now += seconds;
        let (clients, churn) = crowd.at(now, seconds);
        let (moved, changed) = cluster.pass_time(now, seconds, clients, churn);
        news = changed;
        record.note(now.checked_sub(BEFORE), seconds, moved, &cluster, &operator);
    }
    Day {
        scenario,
        fleet,
        seed,
        samples: record.samples,
        figures: record.figures,
        breaches: cluster.breaches,
    }
}

/// How many clients there are.
struct Crowd {
    scenario: Scenario,
    most: f64,
    /// The share of them by which the curve is missed, which wanders.
    miss: f64,
    chance: Chance,
}

impl Crowd {
    fn new(scenario: Scenario, fleet: Fleet, seed: u64) -> Self {
        Self {
            scenario,
            most: fleet.connections.into(),
            miss: 0.0,
            chance: Chance::seeded(seed ^ 0xc0ffee),
        }
    }

    /// The share of the most clients by the curve. Before midnight they come evenly.
    fn share(&self, now: u64) -> f64 {
        let come = (now as f64 * 2.0 / BEFORE as f64).min(1.0);
        come * self.scenario.share(now.saturating_sub(BEFORE))
    }

    fn is_calm(&self, now: u64) -> bool {
        (self.share(now + REST_SECONDS) - self.share(now)).abs() < CALM
    }

    /// How many there are, and which share of connections ended by themselves in the last `seconds`.
    fn at(&mut self, now: u64, seconds: u64) -> (u32, f64) {
        if !self.scenario.has_churn() {
            return ((self.share(now) * self.most) as u32, 0.0);
        }
        if now / 60 != (now - seconds) / 60 {
            self.miss = (self.miss + 0.002 * self.chance.swing()).clamp(-0.02, 0.02);
        }
        let share = self.share(now) * (1.0 + self.miss);
        ((share * self.most) as u32, 1.0 / CONNECTION_SECONDS)
    }
}

/// When the operator ends; the last first.
fn restarts(scenario: Scenario, seed: u64) -> Vec<u64> {
    let mut chance = Chance::seeded(seed ^ 0xdead);
    let mut moments: Vec<u64> = (0..scenario.restarts())
        .map(|_| chance.seconds(0..=20 * 3_600))
        .collect();
    moments.sort_unstable_by(|one, other| other.cmp(one));
    moments
}
