//! What is good.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::ValueEnum;
use serde::Serialize;

use super::dimension::Dimension;

/// Of a rate, or of how far one falls.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Good,
    Fair,
    Poor,
}

/// Rates from which on a dimension is good, and fair.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Bounds {
    pub(super) good: f64,
    pub(super) fair: f64,
}

/// A bound that the user has: `DIMENSION=RATE`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    dimension: Dimension,
    rate: f64,
}

/// What holds unless the user says otherwise, for a server with a core to itself and no TLS.
pub(super) fn bounds(dimension: Dimension) -> Bounds {
    let (good, fair) = match dimension {
        // A TCP connection, an HTTP upgrade and a token to check take 100 to 200 us of a core. A fleet whose
        // pod of 10,000 clients is lost has them back in 2 s when good, in 10 s when fair.
        Dimension::Connections => (5_000.0, 1_000.0),
        // What guides ask of servers inside the application's process.
        Dimension::Messages | Dimension::Broadcast => (100_000.0, 50_000.0),
        // Each is a message and its acknowledgement, both ways through the kernel; the loop over topics
        // that guides measure without sockets is the smaller part.
        Dimension::Subscriptions => (50_000.0, 10_000.0),
        // Eight topics a question, two messages of answer: a tenth of the messages above.
        Dimension::Permissions => (100_000.0, 20_000.0),
        // zlib inflates 100 to 300 MB a second: 1 KiB takes about 5 us beside the message itself.
        Dimension::Compression => (50_000.0, 10_000.0),
    };
    Bounds { good, fair }
}

/// The bounds of all dimensions, with those that the user has.
///
/// # Errors
/// When fair is more than good.
pub(super) fn all_bounds(
    good: &[Own],
    fair: &[Own],
) -> Result<BTreeMap<Dimension, Bounds>, String> {
    let own = |list: &[Own], dimension| {
        let last = list.iter().rfind(|it| it.dimension == dimension);
        last.map(|it| it.rate)
    };
    let dimensions = Dimension::value_variants().iter();
    let with_bounds = dimensions.map(|&dimension| {
        let mut bounds = bounds(dimension);
        match (own(good, dimension), own(fair, dimension)) {
            (Some(good), Some(fair)) => (bounds.good, bounds.fair) = (good, fair),
            // One alone moves the other out of its way.
            (Some(good), None) => (bounds.good, bounds.fair) = (good, bounds.fair.min(good)),
            (None, Some(fair)) => (bounds.good, bounds.fair) = (bounds.good.max(fair), fair),
            (None, None) => {}
        }
        if bounds.fair > bounds.good {
            let name = dimension.name();
            return Err(format!("--fair {name} is more than --good {name}"));
        }
        Ok((dimension, bounds))
    });
    with_bounds.collect()
}

impl Bounds {
    pub(super) fn judge(&self, rate: f64) -> Verdict {
        match rate {
            rate if rate >= self.good => Verdict::Good,
            rate if rate >= self.fair => Verdict::Fair,
            _ => Verdict::Poor,
        }
    }
}

impl Verdict {
    /// Of a rate that fell by so many percent: less than 10 is good, more than 30 is poor.
    pub(super) fn of_fall(percent: f64) -> Self {
        match percent {
            percent if percent < 10.0 => Self::Good,
            percent if percent <= 30.0 => Self::Fair,
            _ => Self::Poor,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

impl FromStr for Own {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (dimension, rate) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is no DIMENSION=RATE, such as messages=200000"))?;
        let dimension = Dimension::from_str(dimension.trim(), false)
            .map_err(|_| format!("no dimension is called {dimension:?}"))?;
        let rate: f64 = rate.trim().replace('_', "").parse().unwrap_or(f64::NAN);
        match rate.is_finite() && rate >= 0.0 {
            true => Ok(Self { dimension, rate }),
            false => Err(format!("{text:?} needs a number a second, such as 200000")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_falls_are_judged_at_their_bounds() {
        let bounds = Bounds {
            good: 100.0,
            fair: 50.0,
        };
        for (rate, verdict) in [
            (100.0, Verdict::Good),
            (99.9, Verdict::Fair),
            (50.0, Verdict::Fair),
            (49.9, Verdict::Poor),
        ] {
            assert_eq!(bounds.judge(rate), verdict, "{rate}");
        }
        for (percent, verdict) in [
            (-40.0, Verdict::Good),
            (9.9, Verdict::Good),
            (10.0, Verdict::Fair),
            (30.0, Verdict::Fair),
            (30.1, Verdict::Poor),
        ] {
            assert_eq!(Verdict::of_fall(percent), verdict, "{percent}");
        }
    }

    #[test]
    fn a_user_s_bound_replaces_ours_and_moves_the_other_out_of_its_way() {
        let own = |text: &str| -> Vec<Own> { vec![text.parse().unwrap()] };
        let of = |good: &[Own], fair: &[Own]| {
            all_bounds(good, fair).map(|all| all[&Dimension::Messages])
        };
        let bounds = |good, fair| Ok(Bounds { good, fair });
        assert_eq!(
            of(&own("messages=200_000"), &[]),
            bounds(200_000.0, 50_000.0)
        );
        assert_eq!(of(&own("messages=10"), &[]), bounds(10.0, 10.0));
        assert_eq!(
            of(&[], &own("messages=300000")),
            bounds(300_000.0, 300_000.0)
        );
        assert_eq!(of(&own("broadcast=1"), &[]), bounds(100_000.0, 50_000.0));
        assert!(of(&own("messages=1"), &own("messages=2")).is_err());
        for text in ["messages", "messages=fast", "messages=-1", "pings=3", "=1"] {
            assert!(text.parse::<Own>().is_err(), "{text}");
        }
    }
}
