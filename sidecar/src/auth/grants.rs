//! What an identity may subscribe to.

use serde::Deserialize;
use serde_json::Value;

use crate::topic::{Pattern, Topic, TopicError};

/// Topic patterns that are allowed and denied; a deny wins, also at delivery.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
}

impl Grants {
    /// Grants what `allow` matches and `deny` does not.
    pub fn new(allow: Vec<Pattern>, deny: Vec<Pattern>) -> Self {
        Self { allow, deny }
    }

    /// Whether the topic may be subscribed to and delivered.
    pub fn permits(&self, topic: &Topic) -> bool {
        self.allow.iter().any(|allowed| allowed.matches(topic)) && !self.denies(topic)
    }

    /// Whether the pattern may be subscribed to: it must lie inside one allowed pattern and not wholly
    /// inside a denied one. What it matches is still checked at delivery.
    pub fn permits_pattern(&self, pattern: &Pattern) -> bool {
        self.allow.iter().any(|allowed| allowed.covers(pattern))
            && !self.deny.iter().any(|denied| denied.covers(pattern))
    }

    /// Whether a deny pattern matches the topic.
    pub fn denies(&self, topic: &Topic) -> bool {
        self.deny.iter().any(|denied| denied.matches(topic))
    }

    /// Whether nothing is denied, so that delivery needs no check.
    pub fn denies_nothing(&self) -> bool {
        self.deny.is_empty()
    }

    /// Reads a `wse_topics` claim: `{"allow": [patterns], "deny": [patterns]}`, where `deny` may be
    /// left out. None when it is anything else: a misspelt `deny` must not become a grant.
    pub(super) fn from_claim(claim: &Value) -> Option<Self> {
        let claim = Claim::deserialize(claim).ok()?;
        Some(Self {
            allow: patterns(&claim.allow).ok()?,
            deny: patterns(&claim.deny).ok()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
}

/// A pattern longer than the topic limit matches nothing, so length is no reason to refuse one: a
/// token's own bound is enough.
fn patterns(texts: &[String]) -> Result<Vec<Pattern>, TopicError> {
    texts
        .iter()
        .map(|text| Pattern::parse(text, usize::MAX))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::parse(name, 255).unwrap()
    }

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text, 255).unwrap()
    }

    #[test]
    fn a_malformed_claim_is_told_from_a_narrow_one() {
        for (claim, well_formed) in [
            (json!({"allow": [], "deny": []}), true),
            (json!({"allow": ["chat.*"]}), true),
            (json!({}), false),
            (json!({"deny": ["chat.*"]}), false),
            (json!({"allow": ["chat.*"], "dney": ["chat.secret"]}), false),
            (json!({"allow": "chat.*"}), false),
            (json!({"allow": ["chat.*", 7]}), false),
            (json!({"allow": null}), false),
            (json!({"allow": ["chat.*"], "deny": null}), false),
            (json!({"allow": ["chat.*"], "deny": "chat.secret"}), false),
            (json!({"allow": [""]}), false),
            (json!({"allow": ["a\nb"]}), false),
            (json!({"allow": ["$user:*"]}), false),
            (json!({"allow": ["*"], "deny": [""]}), false),
            (json!(["chat.*"]), false),
            (json!("chat.*"), false),
            (json!(true), false),
            (json!(null), false),
        ] {
            assert_eq!(Grants::from_claim(&claim).is_some(), well_formed, "{claim}");
        }
    }

    #[test]
    fn an_empty_allow_grants_nothing() {
        let grants = Grants::from_claim(&json!({"allow": [], "deny": []})).unwrap();
        assert!(!grants.permits(&topic("chat.a")));
        assert!(!grants.permits_pattern(&pattern("*")));
        assert!(!grants.permits_pattern(&pattern("chat.a")));
    }

    #[test]
    fn a_deny_wins_over_an_allow() {
        let grants =
            Grants::from_claim(&json!({"allow": ["chat.*"], "deny": ["chat.secret*"]})).unwrap();
        assert!(grants.permits(&topic("chat.a")));
        assert!(!grants.permits(&topic("chat.secret")));
        assert!(!grants.permits(&topic("news.a")));
        // Subscribing to what holds a denied topic is fine, because delivery checks again.
        assert!(grants.permits_pattern(&pattern("chat.*")));
        assert!(!grants.permits_pattern(&pattern("chat.secret.*")));
        assert!(!grants.permits_pattern(&pattern("*")));
        assert!(!grants.denies_nothing());
    }

    proptest! {
        #[test]
        fn nothing_denied_is_permitted(allow in "[ab*?]{1,4}", deny in "[ab*?]{1,4}", name in "[ab]{1,6}") {
            let grants = Grants::new(vec![pattern(&allow)], vec![pattern(&deny)]);
            prop_assert!(!(grants.denies(&topic(&name)) && grants.permits(&topic(&name))));
        }

        #[test]
        fn a_permitted_pattern_delivers_only_what_is_allowed(allow in "[ab*?]{1,4}", asked in "[ab*?]{1,4}", name in "[ab]{1,6}") {
            let grants = Grants::new(vec![pattern(&allow)], Vec::new());
            if grants.permits_pattern(&pattern(&asked)) && pattern(&asked).matches(&topic(&name)) {
                prop_assert!(grants.permits(&topic(&name)));
            }
        }
    }
}
