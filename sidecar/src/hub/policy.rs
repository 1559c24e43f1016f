//! Settings that reload: limits, and policies by topic, compiled.

use std::time::Duration;

use crate::config::{
    Compression, Config, Durability, History, Limits, SlowConsumer, TopicPolicy, WhenAway,
};
use crate::topic::{Pattern, Topic};

/// What the hub and the protocol read of a configuration. One value is shared by all reactors and
/// replaced whole on a reload.
#[derive(Debug)]
pub struct Settings {
    /// What one client may cost.
    pub limits: Limits,
    /// How messages to clients are compressed.
    pub compression: Compression,
    /// What holds for which topic.
    pub policies: Policies,
    /// How long a call that asks the whole fleet waits for the slowest pod.
    pub fleet_timeout: Duration,
}

impl Settings {
    /// Compiles a configuration's part.
    ///
    /// # Errors
    /// A message for people when a policy's pattern is none.
    pub fn new(config: &Config) -> Result<Self, String> {
        Ok(Self {
            limits: config.limits.clone(),
            compression: config.compression.clone(),
            policies: Policies::new(&config.topics)?,
            fleet_timeout: Duration::from_millis(config.api.fleet_timeout_millis),
        })
    }
}

/// What holds for one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Policy {
    /// What happens to a subscriber whose outbound queue is full.
    pub slow_consumer: SlowConsumer,
    /// What is kept of the topic's past.
    pub history: History,
    /// When a publish counts as done.
    pub durability: Durability,
    /// What a publish does while the backplane is away.
    pub when_away: WhenAway,
}

/// Policies in the order of the configuration: the first match wins.
#[derive(Debug, Default)]
pub struct Policies(Vec<(Pattern, Policy)>);

impl Policies {
    /// Compiles the configuration's list.
    ///
    /// # Errors
    /// A message for people that names the pattern that is none.
    pub fn new(policies: &[TopicPolicy]) -> Result<Self, String> {
        let compile = |policy: &TopicPolicy| {
            let pattern = Pattern::parse(&policy.pattern, usize::MAX)
                .map_err(|error| format!("topics: pattern {:?}: {error}", policy.pattern))?;
            let policy = Policy {
                slow_consumer: policy.slow_consumer,
                history: policy.history,
                durability: policy.durability,
                when_away: policy.when_away,
            };
            Ok((pattern, policy))
        };
        policies
            .iter()
            .map(compile)
            .collect::<Result<_, String>>()
            .map(Self)
    }

    /// The topic's policy; the defaults when none matches. No pattern matches a reserved topic, so
    /// sends to a user and broadcasts have the defaults.
    pub fn of(&self, topic: &Topic) -> Policy {
        self.0
            .iter()
            .find(|(pattern, _)| pattern.matches(topic))
            .map(|(_, policy)| *policy)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pattern: &str, slow_consumer: SlowConsumer) -> TopicPolicy {
        TopicPolicy {
            pattern: pattern.into(),
            slow_consumer,
            history: History::default(),
            durability: Durability::default(),
            when_away: WhenAway::default(),
        }
    }

    #[test]
    fn the_first_match_wins_and_none_means_the_defaults() {
        let policies = Policies::new(&[
            policy("price.eur", SlowConsumer::DropNewest),
            policy("price.*", SlowConsumer::LatestWins),
            policy("*", SlowConsumer::DropNewest),
        ])
        .unwrap();
        for (topic, expected) in [
            (Topic::trusted("price.eur"), SlowConsumer::DropNewest),
            (Topic::trusted("price.usd"), SlowConsumer::LatestWins),
            (Topic::all(), SlowConsumer::Close),
        ] {
            assert_eq!(policies.of(&topic).slow_consumer, expected, "{topic}");
        }
        assert_eq!(
            Policies::default().of(&Topic::trusted("x")),
            Policy::default()
        );
    }

    #[test]
    fn a_pattern_that_is_none_is_named() {
        let error = Policies::new(&[policy("$all", SlowConsumer::Close)]).unwrap_err();
        assert!(error.contains("$all"), "{error}");
    }
}
