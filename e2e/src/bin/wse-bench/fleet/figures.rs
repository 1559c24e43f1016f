//! What came of it, as programs read it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::events::{Event, events};
use super::series::{Gap, Row, gaps, series, tiers};
use super::watch::Look;
use crate::latency::{Latency, Summary};
use crate::moves::Moves;
use crate::processor::Share;
use crate::ramp::Ramp;
use crate::report::{self, Sent};

/// Fields may be added to it, none is changed.
pub(super) const SCHEMA: &str = "wse-fleet/1";

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    pub(super) version: &'static str,
    /// As the user named it, and where connections went.
    pub(super) fleet: String,
    pub(super) server: String,
    /// Of this machine.
    pub(super) cores: usize,
    pub(super) interrupted: bool,
    pub(super) stages: String,
    pub(super) connections: Connections,
    /// Pods that were ready. None: it was never seen.
    pub(super) ready: Option<Ready>,
    /// The tiers, and from which second on.
    pub(super) tiers: Vec<(u64, String)>,
    pub(super) moves: Option<Moved>,
    /// None: nothing was published.
    pub(super) published: Option<Published>,
    pub(super) delivered: Option<Delivered>,
    pub(super) series: Vec<Row>,
    pub(super) events: Vec<Event>,
    pub(super) gaps: Vec<Gap>,
    /// What each worker took of a processor.
    pub(super) generator: Vec<Share>,
}

#[derive(Debug, Serialize)]
pub(super) struct Connections {
    /// The most that were wanted at once, and that were open.
    pub(super) wanted: u64,
    pub(super) peak: u64,
    /// At the end.
    pub(super) held: u64,
    /// Times that one came for the first time, or after it had left as it was meant to.
    pub(super) opened: u64,
    /// Times that one left as it was meant to; of these, while it had lost its connection and was not
    /// back yet.
    pub(super) left: u64,
    pub(super) left_away: u64,
    /// Why connections were not opened or ended early, and how many.
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) handshake: Option<Summary>,
    pub(super) ping: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(super) struct Ready {
    pub(super) start: u32,
    pub(super) peak: u32,
    pub(super) end: u32,
}

/// What connections went through.
#[derive(Debug, Serialize)]
pub(super) struct Moved {
    /// Connections by how often they were asked to move and came back.
    pub(super) connections: BTreeMap<u32, u64>,
    /// How connections were closed, by code.
    pub(super) closes: BTreeMap<u16, u64>,
    /// Connections that came back, after whatever end.
    pub(super) reconnects: u64,
    /// Attempts to connect that came to nothing.
    pub(super) failed_attempts: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Published {
    pub(super) accepted: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) call: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(super) struct Delivered {
    pub(super) messages: u64,
    /// Numbered messages that a connection did not receive, although it did receive some before and after.
    pub(super) missing: u64,
    /// Of those, the ones between two that it received without moving.
    pub(super) lost: u64,
    /// Those that a connection received again.
    pub(super) repeated: u64,
    pub(super) latency: Option<Summary>,
}

/// What a run is of.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub(super) fleet: String,
    pub(super) server: String,
    pub(super) cores: usize,
    pub(super) interrupted: bool,
    pub(super) ramp: &'a Ramp,
}

impl Report {
    pub(super) fn new(
        about: About<'_>,
        report: report::Report,
        sent: Option<Sent>,
        looks: &[Look],
    ) -> Self {
        let mut seen = report.seen;
        let moves = seen.moves.take();
        let is_limited = seen.processors.iter().any(|share| share.is_full());
        let unless_limited = |latency: &Latency| latency.summary().filter(|_| !is_limited);
        let series = series(about.ramp, moves.as_ref(), looks);
        let summary = moves.as_ref().map(Moves::summary);
        let delivered = summary
            .as_ref()
            .filter(|_| seen.delivered > 0 || sent.is_some());
        Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            fleet: about.fleet,
            server: about.server,
            cores: about.cores,
            interrupted: about.interrupted,
            stages: about.ramp.to_string(),
            connections: Connections {
                wanted: series.iter().map(|row| row.wanted).max().unwrap_or(0),
                peak: series.iter().map(|row| row.open).max().unwrap_or(0),
                held: seen.held,
                opened: seen.opened,
                left: seen.left,
                left_away: seen.left_away,
                failures: seen.failures,
                handshake: unless_limited(&seen.handshake),
                ping: unless_limited(&seen.ping),
            },
            ready: Ready::of(&series),
            tiers: tiers(looks),
            delivered: delivered.map(|summary| Delivered {
                messages: seen.delivered,
                missing: summary.missing,
                lost: summary.lost,
                repeated: summary.repeated,
                latency: unless_limited(&seen.delivery),
            }),
            moves: moves.as_ref().map(Moved::new),
            published: sent.map(|sent| Published {
                accepted: sent.accepted,
                failures: sent.failures,
                call: sent.call.summary(),
            }),
            series,
            events: events(looks),
            gaps: gaps(looks),
            generator: seen.processors,
        }
    }
}

impl Moved {
    fn new(moves: &Moves) -> Self {
        let (summary, total) = (moves.summary(), moves.total());
        Self {
            connections: summary.connections.clone(),
            closes: summary.closes.clone(),
            reconnects: total.returned,
            failed_attempts: total.failed_attempts,
        }
    }
}

impl Ready {
    fn of(series: &[Row]) -> Option<Self> {
        let ready = series
            .iter()
            .filter_map(|row| Some(row.fleet.as_ref()?.ready));
        let ready: Vec<u32> = ready.collect();
        Some(Self {
            start: *ready.first()?,
            peak: *ready.iter().max()?,
            end: *ready.last()?,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::source::{Pod, Seen, State};
    use super::*;
    use crate::moves::Track;
    use crate::report::Seen as Work;

    fn look(second: u64, tier: &str, pods: &[(&str, State, Result<u64, &str>)]) -> Look {
        let pods = pods.iter().map(|(name, state, sessions)| Pod {
            name: (*name).into(),
            state: *state,
            sessions: sessions.map_err(|why| Some(why.into())),
        });
        let seen = Seen {
            tier: Some(tier.into()),
            desired: Some(2),
            pods: pods.collect(),
        };
        Look {
            second,
            seen: Ok(seen),
        }
    }

    /// Ten come in three seconds. In the fourth one is asked to move, and is back in the fifth; pod b
    /// then does not say what it has.
    pub(in crate::fleet) fn report() -> Report {
        use State::{Draining, Ready};
        let ramp = vec!["3s:10".parse().unwrap(), "3s:10".parse().unwrap()];
        let ramp = Ramp::new(ramp).unwrap();
        let mut moves = Moves::default();
        for second in [0, 1, 2] {
            moves.moment(second * 1_000_000 + 5).came = [3, 4, 3][second as usize];
        }
        moves.close(4300, 3_950_000);
        moves.moment(3_950_000).went = 1;
        let back = moves.moment(4_050_000);
        (back.came, back.returned, back.delivered) = (1, 1, 20);
        let mut track = Track::default();
        track.moves = 1;
        track.goes_to(Some("b".into()));
        moves.add(&track);
        let looks = [
            look(0, "Minimal", &[("a", Ready, Ok(0))]),
            look(2, "Minimal", &[("a", Ready, Ok(7)), ("b", Ready, Ok(0))]),
            Look {
                second: 3,
                seen: Err("too <busy>".into()),
            },
            look(4, "Light", &[("a", Draining, Ok(9)), ("b", Ready, Ok(0))]),
            look(5, "Light", &[("b", Ready, Err("no answer"))]),
        ];
        let seen = Work {
            opened: 10,
            held: 10,
            delivered: 20,
            moves: Some(moves),
            ..Work::default()
        };
        let report = report::Report {
            connections: 10,
            open_seconds: 0.0,
            seconds: 6.0,
            seen,
            published: None,
        };
        let about = About {
            fleet: "WseCluster a/<chat>".into(),
            server: "127.0.0.1:1".into(),
            cores: 2,
            interrupted: true,
            ramp: &ramp,
        };
        Report::new(about, report, None, &looks)
    }

    #[test]
    fn a_second_has_what_happened_in_it_and_what_was_seen_at_its_end() {
        let report = report();
        let of = |of: fn(&Row) -> u64| report.series.iter().map(of).collect::<Vec<_>>();
        assert_eq!(of(|row| row.wanted), [0, 4, 7, 10, 10, 10]);
        assert_eq!(of(|row| row.open), [0, 3, 7, 10, 9, 10]);
        assert_eq!(of(|row| row.asked), [0, 0, 0, 0, 1, 0]);
        assert_eq!(of(|row| row.reconnects), [0, 0, 0, 0, 0, 1]);
        let seen = report.series.iter().map(|row| row.fleet.is_some());
        assert!(seen.eq([true, false, true, false, true, true]));
        assert_eq!(report.tiers, [(0, "Minimal".into()), (4, "Light".into())]);
        let json = serde_json::to_value(&report).unwrap();
        assert!(json["series"][3].get("pods").is_none());
        assert_eq!(
            json["series"][5]["pods"]["b"]["sessions"],
            serde_json::Value::Null
        );
        let gaps = [(None, "too <busy>"), (Some("b"), "no answer")].map(|(pod, why)| Gap {
            pod: pod.map(str::to_owned),
            looks: 1,
            why: why.into(),
        });
        assert_eq!(report.gaps, gaps);
    }
}
