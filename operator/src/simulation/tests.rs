//! What holds of every day.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use super::*;

const THOUSAND: Fleet = Fleet::ALL[0];
const HUNDRED_THOUSAND: Fleet = Fleet::ALL[1];
const MILLION: Fleet = Fleet::ALL[2];

type Days = Mutex<HashMap<(&'static str, u32, u64), Arc<OnceLock<Arc<Day>>>>>;

/// A day, simulated once for all tests.
fn day(scenario: Scenario, fleet: Fleet, seed: u64) -> Arc<Day> {
    static DAYS: OnceLock<Days> = OnceLock::new();
    let key = (scenario.name(), fleet.connections, seed);
    let mut days = DAYS.get_or_init(Days::default).lock().unwrap();
    let day = Arc::clone(days.entry(key).or_default());
    drop(days);
    Arc::clone(day.get_or_init(|| Arc::new(simulate(scenario, fleet, seed))))
}

fn holds(scenario: Scenario) {
    for (fleet, seed) in [(THOUSAND, 1), (HUNDRED_THOUSAND, 1), (HUNDRED_THOUSAND, 2)] {
        holds_of(&day(scenario, fleet, seed));
    }
}

fn holds_of(day: &Day) {
    let Day {
        scenario,
        fleet,
        seed,
        figures,
        breaches,
        ..
    } = day;
    let what = format!(
        "{} of {}, seed {seed}: {figures:?}",
        scenario.name(),
        fleet.connections
    );
    let none: [String; 0] = [];
    assert_eq!(breaches[..], none, "{what}");
    assert!(figures.is_settled, "{what}");

    assert!(figures.turns <= scenario.turns(), "oscillates: {what}");
    let window = crate::api::ScaleDown::default().stabilization_window_seconds;
    let shortest = figures.shortest_turn_seconds.unwrap_or(u64::MAX);
    assert!(shortest >= window.into(), "turns within the window: {what}");

    let asked = figures.asked_per_second;
    assert!(
        asked <= fleet.reconnects_per_second().into(),
        "storm: {what}"
    );

    // Nobody is asked to move while a pod is silent.
    let silent = match scenario {
        Scenario::MetricsMissing => 1_800,
        _ => 0,
    };
    let spread = figures.spread_seconds + 120 + silent;
    assert!(figures.uneven_seconds <= spread, "uneven: {what}");
    assert!(
        figures.longest_over_seconds <= overload(*scenario, spread),
        "overload: {what}"
    );
}

/// How long a pod may have more than it can carry, where clients need `spread` seconds to spread.
fn overload(scenario: Scenario, spread: u64) -> u64 {
    // A pass sees it, a pod starts, and once in a while fails at first.
    let start = 10 + 40 + 30;
    match scenario {
        // Pods double every 15 s.
        Scenario::FlashCrowd => 60 + 3 * 15 + start + spread,
        Scenario::Spike => 120 + 2 * 15 + start + spread,
        // Kubernetes takes 340 s to give up a node.
        Scenario::ZoneLoss => 340 + start + spread,
        _ => 0,
    }
}

#[test]
fn a_daily_curve_is_followed() {
    holds(Scenario::Daily);
    holds_of(&day(Scenario::Daily, MILLION, 3));
    let day = day(Scenario::Daily, MILLION, 3);
    let fixed = f64::from(day.figures.peak_pods) * 24.0;
    assert!(day.figures.pod_hours < 0.6 * fixed, "{:?}", day.figures);
}

#[test]
fn a_flash_crowd_is_carried_as_soon_as_pods_can_start() {
    holds(Scenario::FlashCrowd);
    holds_of(&day(Scenario::FlashCrowd, MILLION, 3));
}

#[test]
fn a_lost_zone_is_carried_by_the_others() {
    holds(Scenario::ZoneLoss);
    holds_of(&day(Scenario::ZoneLoss, MILLION, 3));
}

#[test]
fn a_rollout_at_the_peak_moves_each_client_once() {
    holds(Scenario::Rollout);
    let (with, without) = (
        day(Scenario::Rollout, HUNDRED_THOUSAND, 1),
        day(Scenario::Daily, HUNDRED_THOUSAND, 1),
    );
    let moves = with.figures.moves.saturating_sub(without.figures.moves);
    assert!((98_000..110_000).contains(&moves), "{moves}");
}

#[test]
fn a_slow_leak_is_grown_for() {
    holds(Scenario::SlowLeak);
}

#[test]
fn clients_that_reconnect_at_once_change_no_pods() {
    holds(Scenario::ReconnectStorm);
    holds_of(&day(Scenario::ReconnectStorm, MILLION, 3));
    assert_eq!(
        day(Scenario::ReconnectStorm, MILLION, 3).figures.scale_ins,
        0
    );
}

#[test]
fn missing_metrics_are_held() {
    holds(Scenario::MetricsMissing);
}

#[test]
fn operators_that_know_nothing_go_on() {
    holds(Scenario::OperatorRestart);
}

#[test]
fn spikes_are_followed_without_flapping() {
    holds(Scenario::Spike);
    holds_of(&day(Scenario::Spike, MILLION, 3));
}

#[test]
fn the_same_seed_gives_the_same_day() {
    let fleet = Fleet {
        connections: 20_000,
    };
    let [one, same, other] = [1, 1, 2].map(|seed| simulate(Scenario::FlashCrowd, fleet, seed));
    assert_eq!(one.figures, same.figures);
    assert_ne!(one.figures, other.figures);
}

#[test]
fn the_page_says_what_the_simulator_gives() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulation/README.md");
    let page = std::fs::read_to_string(path).unwrap();
    let again = |what: &str| panic!("not in docs/simulation: {what}Run `{COMMAND}`.");
    for scenario in Scenario::ALL {
        for fleet in [THOUSAND, HUNDRED_THOUSAND] {
            let row = row(&day(scenario, fleet, 1));
            if !page.contains(&row) {
                again(&row);
            }
        }
    }
    for fleet in priced()
        .into_iter()
        .filter(|fleet| fleet.connections < 100_000)
    {
        let cost = cost(&day(Scenario::Daily, fleet, 1));
        if !page.contains(&cost) {
            again(&cost);
        }
    }
}
