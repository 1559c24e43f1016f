//! One pass each, while pods of several revisions are there.

use super::*;

use PodState::{Down, Leave, Ready, Unready};
use Serves::{All, Revision as Only};

/// What goes in and what comes out. `w` is the wanted revision.
struct Case {
    what: &'static str,
    /// Wanted pods, and how many more may exist.
    size: (u32, u32),
    selected: Option<Serves>,
    pods: Vec<Pod>,
    /// The wanted revision's count, then the others' by name.
    counts: &'static [u32],
    actions: Vec<Action>,
    serves: Serves,
}

fn only(revision: &str) -> Serves {
    Only(revision.into())
}

fn ready(name: &str, revision: &str, sessions: u32) -> Pod {
    pod(name, revision, Ready, Some(sessions))
}

fn starting(name: &str, revision: &str) -> Pod {
    pod(name, revision, Unready, None)
}

fn down(name: &str, revision: &str) -> Pod {
    pod(name, revision, Down, None)
}

fn with_room() -> Vec<Case> {
    vec![
        Case {
            what: "with room a whole second fleet starts, and the Service stays",
            size: (2, 2),
            selected: Some(only("a")),
            pods: vec![ready("a1", "a", 4), ready("a2", "a", 4)],
            counts: &[2, 2],
            actions: vec![],
            serves: only("a"),
        },
        Case {
            what: "nobody leaves while a new pod is missing",
            size: (2, 2),
            selected: Some(only("a")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 4),
                ready("w1", "w", 0),
                starting("w2", "w"),
            ],
            counts: &[2, 2],
            actions: vec![],
            serves: only("a"),
        },
        Case {
            what: "the Service turns before anybody leaves",
            size: (2, 2),
            selected: Some(only("a")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 4),
                ready("w1", "w", 0),
                ready("w2", "w", 0),
            ],
            counts: &[2, 2],
            actions: vec![],
            serves: only("w"),
        },
        Case {
            what: "once it is seen to have turned, all old ones drain",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 2),
                ready("w1", "w", 0),
                ready("w2", "w", 0),
            ],
            counts: &[2, 2],
            actions: vec![drain("a1"), drain("a2")],
            serves: only("w"),
        },
        Case {
            what: "one that does not say what it carries waits until others have left",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                ready("a1", "a", 4),
                pod("a2", "a", Ready, None),
                ready("w1", "w", 0),
                ready("w2", "w", 0),
            ],
            counts: &[2, 2],
            actions: vec![drain("a1")],
            serves: only("w"),
        },
        // 30 s of 1,000 clients each.
        Case {
            what: "no more clients leave at once than may reconnect",
            size: (4, 4),
            selected: Some(only("w")),
            pods: vec![
                ready("a1", "a", 14_000),
                ready("a2", "a", 14_000),
                ready("a3", "a", 14_000),
                ready("a4", "a", 0),
                ready("w1", "w", 0),
                ready("w2", "w", 0),
                ready("w3", "w", 0),
                ready("w4", "w", 0),
            ],
            counts: &[4, 4],
            actions: vec![drain("a1"), drain("a2"), drain("a4")],
            serves: only("w"),
        },
        Case {
            what: "others follow when the first have left",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                drained("a1", "a", 1),
                ready("a2", "a", 2),
                ready("w1", "w", 0),
                ready("w2", "w", 0),
            ],
            counts: &[2, 2],
            actions: vec![],
            serves: only("w"),
        },
        Case {
            what: "a new pod that fails after that keeps an old one, and the Service",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 5),
                ready("w1", "w", 0),
                down("w2", "w"),
            ],
            counts: &[2, 2],
            actions: vec![drain("a1")],
            serves: only("w"),
        },
        Case {
            what: "a new pod that goes down later brings the fullest old one back",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                drained("a1", "a", 4),
                drained("a2", "a", 5),
                ready("w1", "w", 3),
                down("w2", "w"),
            ],
            counts: &[2, 2],
            actions: vec![undrain("a2")],
            serves: only("w"),
        },
        Case {
            what: "and is served as before, if none of the new ones is left",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                drained("a1", "a", 4),
                drained("a2", "a", 0),
                down("w1", "w"),
                down("w2", "w"),
            ],
            counts: &[2, 2],
            actions: vec![undrain("a1")],
            serves: All,
        },
        Case {
            what: "a new pod that misses a probe brings nobody back",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                drained("a1", "a", 4),
                drained("a2", "a", 5),
                ready("w1", "w", 3),
                pod("w2", "w", Unready, Some(3)),
            ],
            counts: &[2, 2],
            actions: vec![],
            serves: only("w"),
        },
        Case {
            what: "old ones stay until the last that drains is empty",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                drained("a1", "a", 0),
                drained("a2", "a", 3),
                ready("w1", "w", 0),
                ready("w2", "w", 0),
            ],
            counts: &[2, 2],
            actions: vec![],
            serves: only("w"),
        },
        Case {
            what: "and then go together, with one that is down",
            size: (1, 1),
            selected: Some(only("w")),
            pods: vec![drained("a1", "a", 0), down("a2", "a"), ready("w1", "w", 0)],
            counts: &[1, 0],
            actions: vec![],
            serves: only("w"),
        },
        Case {
            what: "a pod of a fleet that nobody selects is not told apart",
            size: (1, 1),
            selected: None,
            pods: vec![ready("a1", "a", 4), starting("w1", "w")],
            counts: &[1, 1],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "an old fleet that is too large for a second one first drains to size",
            size: (2, 2),
            selected: Some(only("a")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 3),
                ready("a3", "a", 2),
                ready("a4", "a", 1),
            ],
            counts: &[0, 4],
            actions: vec![drain("a4"), drain("a3")],
            serves: only("a"),
        },
        Case {
            what: "a rollout that replaces another waits for what still drains",
            size: (2, 2),
            selected: Some(only("b")),
            pods: vec![
                drained("a1", "a", 3),
                drained("a2", "a", 0),
                ready("b1", "b", 2),
                ready("b2", "b", 2),
            ],
            counts: &[0, 2, 2],
            actions: vec![],
            serves: only("b"),
        },
        Case {
            what: "the unused half of a rollout that was replaced makes room",
            size: (2, 2),
            selected: Some(only("a")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 4),
                ready("b1", "b", 0),
                ready("b2", "b", 0),
            ],
            counts: &[0, 2, 2],
            actions: vec![drain("b1"), drain("b2")],
            serves: only("a"),
        },
        Case {
            what: "and so does one that never started",
            size: (2, 2),
            selected: Some(only("a")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 4),
                down("b1", "b"),
                pod("b2", "b", Unready, Some(0)),
            ],
            counts: &[0, 2, 2],
            actions: vec![drain("b2")],
            serves: only("a"),
        },
        Case {
            what: "a way back undrains, and empties what was new",
            size: (2, 2),
            selected: Some(only("b")),
            pods: vec![
                drained("w1", "w", 3),
                drained("w2", "w", 4),
                ready("b1", "b", 2),
                ready("b2", "b", 2),
            ],
            counts: &[2, 2],
            actions: vec![undrain("w2"), undrain("w1")],
            serves: only("b"),
        },
        Case {
            what: "a way back before the Service turned moves nobody",
            size: (2, 2),
            selected: Some(only("w")),
            pods: vec![
                ready("w1", "w", 3),
                ready("w2", "w", 4),
                starting("b1", "b"),
                down("b2", "b"),
            ],
            counts: &[2, 2],
            actions: vec![drain("b1")],
            serves: only("w"),
        },
    ]
}

fn in_steps() -> Vec<Case> {
    vec![
        Case {
            what: "without much room one new pod starts, and all are served",
            size: (3, 1),
            selected: Some(only("a")),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 2),
                ready("a3", "a", 3),
            ],
            counts: &[1, 3],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "when it is ready, the old one with the fewest clients leaves",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 2),
                ready("a3", "a", 3),
                ready("w1", "w", 0),
            ],
            counts: &[1, 3],
            actions: vec![drain("a2")],
            serves: All,
        },
        Case {
            what: "what drains still takes its place",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                drained("a2", "a", 1),
                ready("a3", "a", 3),
                ready("w1", "w", 0),
            ],
            counts: &[1, 3],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "an emptied pod goes, since nobody else of its revision is not ready",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                drained("a2", "a", 0),
                ready("a3", "a", 3),
                ready("w1", "w", 0),
            ],
            counts: &[1, 2],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "but not while another one has clients and is not ready",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                pod("a1", "a", Unready, Some(4)),
                drained("a2", "a", 0),
                ready("a3", "a", 3),
                ready("w1", "w", 0),
            ],
            counts: &[1, 3],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "a pod that was told to end takes no place",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                pod("a2", "a", Leave, Some(1)),
                ready("a3", "a", 3),
                ready("w1", "w", 0),
            ],
            counts: &[2, 2],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "the last old one leaves when all new ones are ready",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                ready("w1", "w", 1),
                ready("w2", "w", 1),
                ready("w3", "w", 1),
            ],
            counts: &[3, 1],
            actions: vec![drain("a1")],
            serves: only("w"),
        },
        Case {
            what: "new pods that do not start cost nobody anything",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 2),
                ready("a3", "a", 3),
                down("w1", "w"),
            ],
            counts: &[1, 3],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "nor does an old pod that is down meanwhile: it may come back",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 2),
                down("a3", "a"),
                down("w1", "w"),
            ],
            counts: &[1, 3],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "an old pod that is broken gives way before one that is well",
            size: (3, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 2),
                pod("a3", "a", Unready, Some(9)),
                ready("w1", "w", 0),
            ],
            counts: &[1, 3],
            actions: vec![drain("a3")],
            serves: All,
        },
        Case {
            what: "a fleet that is broken as a whole can be mended by a rollout",
            size: (2, 1),
            selected: Some(All),
            pods: vec![
                pod("a1", "a", Unready, Some(4)),
                pod("a2", "a", Unready, None),
                ready("w1", "w", 0),
            ],
            counts: &[1, 2],
            actions: vec![drain("a1")],
            serves: All,
        },
        Case {
            what: "the new pod of a rollout that was replaced makes room if it never started",
            size: (2, 1),
            selected: Some(All),
            pods: vec![ready("a1", "a", 4), ready("a2", "a", 2), down("b1", "b")],
            counts: &[0, 2, 0],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "more pods may be wanted meanwhile",
            size: (5, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                ready("a2", "a", 2),
                ready("w1", "w", 0),
            ],
            counts: &[4, 2],
            actions: vec![],
            serves: All,
        },
        Case {
            what: "when fewer are wanted, only old ones leave before the rollout has ended",
            size: (1, 1),
            selected: Some(All),
            pods: vec![
                ready("a1", "a", 4),
                ready("w1", "w", 0),
                ready("w2", "w", 0),
                ready("w3", "w", 0),
            ],
            counts: &[3, 1],
            actions: vec![],
            serves: only("w"),
        },
    ]
}

#[test]
fn single_passes_of_rollouts() {
    for case in with_room().into_iter().chain(in_steps()) {
        let Case {
            what,
            size: (replicas, surge),
            ..
        } = case;
        let mut spec = spec(replicas);
        spec.rollout.surge = IntOrString::Int(surge.cast_signed());
        let wanted = wanted(&spec);
        let full = |id: &str| {
            if id == "w" {
                wanted.clone()
            } else {
                id.to_owned()
            }
        };
        let selects = |serves: Serves| match serves {
            Only(id) => Only(full(&id)),
            All => All,
        };
        let mut observation = observing(case.pods);
        for pod in &mut observation.pods {
            pod.revision = full(&pod.revision);
        }
        observation.serves = case.selected.map(selects);
        let (plan, _) = plan(&subject(&spec), &observation, &watched(), at(0));
        assert_eq!(counts(&plan), case.counts, "{what}");
        assert_eq!(plan.actions, case.actions, "{what}");
        assert_eq!(plan.serves, selects(case.serves), "{what}");
        assert_eq!(settled(&plan), "RollingOut", "{what}");
    }
}
