//! Who receives one topic. Most topics of a fleet are the users' own and have one subscriber: that one
//! takes no table.

use hashbrown::HashMap;

use super::entry::Subscriber;
use super::outbox::SessionKey;

/// Subscribers by session, in no order.
#[derive(Debug, Default)]
pub(super) enum Subscribers {
    #[default]
    None,
    One(SessionKey, Subscriber),
    Many(HashMap<SessionKey, Subscriber>),
}

impl Subscribers {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Many(all) => all.len(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn contains(&self, session: SessionKey) -> bool {
        match self {
            Self::None => false,
            Self::One(one, _) => *one == session,
            Self::Many(all) => all.contains_key(&session),
        }
    }

    /// In the place of the session's subscriber before, if it had one.
    pub(super) fn insert(&mut self, session: SessionKey, subscriber: Subscriber) {
        match self {
            Self::Many(all) => {
                all.insert(session, subscriber);
            }
            Self::One(one, _) if *one != session => {
                let mut all = HashMap::from_iter([(session, subscriber)]);
                if let Self::One(one, before) = std::mem::take(self) {
                    all.insert(one, before);
                }
                *self = Self::Many(all);
            }
            Self::None | Self::One(..) => *self = Self::One(session, subscriber),
        }
    }

    /// Harmless when it has none.
    pub(super) fn remove(&mut self, session: SessionKey) {
        match self {
            Self::Many(all) => {
                all.remove(&session);
                if all.is_empty() {
                    *self = Self::None;
                }
            }
            Self::One(one, _) if *one == session => *self = Self::None,
            Self::None | Self::One(..) => {}
        }
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionKey> {
        self.iter().map(|(session, _)| session)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionKey, &Subscriber)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(session, subscriber) => (Some((*session, subscriber)), None),
            Self::Many(all) => (None, Some(all)),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(session, subscriber)| (*session, subscriber)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (SessionKey, &mut Subscriber)> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(session, subscriber) => (Some((*session, subscriber)), None),
            Self::Many(all) => (None, Some(all)),
        };
        let many = many.into_iter().flatten();
        one.into_iter()
            .chain(many.map(|(session, subscriber)| (*session, subscriber)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::hub::outbox::Encoding;

    proptest! {
        #[test]
        fn agrees_with_a_set(steps in prop::collection::vec((any::<bool>(), 0..4_u64, any::<u32>()), 0..40)) {
            let mut subscribers = Subscribers::default();
            let mut model = BTreeMap::new();
            for (add, session, skip) in steps {
                let key = SessionKey(session);
                if add {
                    let subscriber = Subscriber { encoding: Encoding(0), skip, after: None, grants: None };
                    subscribers.insert(key, subscriber);
                    model.insert(session, skip);
                } else {
                    subscribers.remove(key);
                    model.remove(&session);
                }
                prop_assert_eq!(subscribers.len(), model.len());
                prop_assert_eq!(subscribers.is_empty(), model.is_empty());
                prop_assert_eq!(subscribers.contains(key), model.contains_key(&session));
                let expected: BTreeSet<_> = model.iter().map(|(session, skip)| (*session, *skip)).collect();
                let found = subscribers.iter().map(|(key, subscriber)| (key.0, subscriber.skip));
                prop_assert_eq!(found.collect::<BTreeSet<_>>(), expected.clone());
                let found = subscribers.iter_mut().map(|(key, subscriber)| (key.0, subscriber.skip));
                prop_assert_eq!(found.collect::<BTreeSet<_>>(), expected);
            }
        }
    }
}
