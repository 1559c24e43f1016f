//! How many connections there should be, and when: stages, as k6 has them, each of which goes from the
//! number before it in a straight line to its own.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Stages, one after the other, from no connection on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Ramp(Vec<Stage>);

/// Within so long to so many: `60s:2000`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Stage {
    time: Duration,
    connections: u32,
}

/// When one connection is to be there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stay {
    pub(crate) from: Instant,
    /// None: to the end.
    pub(crate) until: Option<Instant>,
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("{text:?} is no TIME:CONNECTIONS, such as 60s:2000: {why}");
        let (time, connections) = text.split_once(':').ok_or_else(|| bad("it has no colon"))?;
        let time = humantime::parse_duration(time).map_err(|error| bad(&error.to_string()))?;
        let connections = connections.parse();
        Ok(Self {
            time,
            connections: connections.map_err(|error| bad(&format!("{error}")))?,
        })
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = humantime::format_duration(self.time).to_string();
        write!(f, "{}:{}", time.replace(' ', ""), self.connections)
    }
}

impl fmt::Display for Ramp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<String> = self.0.iter().map(Stage::to_string).collect();
        f.write_str(&stages.join(","))
    }
}

impl Ramp {
    /// # Errors
    /// When it takes no time, or has no connection.
    pub(crate) fn new(stages: Vec<Stage>) -> Result<Self, String> {
        let ramp = Self(stages);
        if ramp.time() < Duration::from_secs(1) {
            return Err("all stages together take less than a second".into());
        }
        if ramp.most() == 0 {
            return Err("no stage has a connection".into());
        }
        Ok(ramp)
    }

    /// How long it takes.
    pub(crate) fn time(&self) -> Duration {
        self.0.iter().map(|stage| stage.time).sum()
    }

    /// The most connections at once.
    pub(crate) fn most(&self) -> usize {
        let most = self.0.iter().map(|stage| stage.connections).max();
        most.unwrap_or(0) as usize
    }

    /// How many there should be so long after the start.
    pub(crate) fn wanted(&self, after: Duration) -> u64 {
        let mut begin = Duration::ZERO;
        let mut before = 0_u32;
        for stage in &self.0 {
            if after < begin + stage.time {
                let part = (after - begin).div_duration_f64(stage.time);
                let (from, to) = (f64::from(before), f64::from(stage.connections));
                return (from + (to - from) * part).ceil() as u64;
            }
            (begin, before) = (begin + stage.time, stage.connections);
        }
        before.into()
    }

    /// When the connection with a number, from 0 on, is there: whoever came last leaves first.
    pub(crate) fn stays(&self, number: usize, start: Instant) -> Vec<Stay> {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let mut stays: Vec<Stay> = Vec::new();
        let (mut begin, mut before) = (start, 0_u32);
        for stage in &self.0 {
            let (from, to) = (before, stage.connections);
            let after = |connections: u32| {
                let part = f64::from(connections) / f64::from(from.abs_diff(to));
                begin + stage.time.mul_f64(part)
            };
            if (from..to).contains(&number) {
                stays.push(Stay {
                    from: after(number - from),
                    until: None,
                });
            } else if (to..from).contains(&number)
                && let Some(stay) = stays.last_mut()
            {
                stay.until = Some(after(from - number));
            }
            (begin, before) = (begin + stage.time, to);
        }
        stays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(stages: &str) -> Ramp {
        Ramp::new(stages.split(',').map(|it| it.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn what_is_wanted_goes_in_straight_lines() {
        let ramp = ramp("10s:100,1m:100,0s:200,10s:50");
        let wanted =
            [0, 1, 5, 10, 69, 70, 75, 80, 99].map(|it| ramp.wanted(Duration::from_secs(it)));
        assert_eq!(wanted, [0, 10, 50, 100, 100, 200, 125, 50, 50]);
        assert_eq!((ramp.time().as_secs(), ramp.most()), (80, 200));
        assert_eq!(ramp.to_string(), "10s:100,1m:100,0s:200,10s:50");
    }

    #[test]
    fn those_that_stay_are_as_many_as_are_wanted() {
        let ramp = ramp("4s:8,2s:8,3s:2,0s:5,3s:0,2s:4,1s:3");
        let start = Instant::now();
        let stays: Vec<Vec<Stay>> = (0..9).map(|it| ramp.stays(it, start)).collect();
        // Between the moments at which somebody comes or leaves.
        for millis in (130..16_000).step_by(250) {
            let now = start + Duration::from_millis(millis);
            let is_there = |stay: &&Stay| stay.from <= now && stay.until.is_none_or(|it| now < it);
            let there = stays.iter().flatten().filter(is_there).count() as u64;
            let wanted = ramp.wanted(Duration::from_millis(millis));
            assert_eq!(there, wanted, "after {millis} ms");
        }
        assert_eq!(stays[8], []);
        assert_eq!(stays[0].len(), 2);
    }

    #[test]
    fn a_stage_that_cannot_be_is_an_error_in_words() {
        for text in ["", "60s", "60:100", "60s:-1", "60s:many", "s:10"] {
            let error = text.parse::<Stage>().unwrap_err();
            assert!(error.contains("60s:2000"), "{error}");
        }
        let of = |text: &str| Ramp::new(vec![text.parse().unwrap()]);
        assert!(of("999ms:5").is_err() && of("60s:0").is_err());
    }
}
