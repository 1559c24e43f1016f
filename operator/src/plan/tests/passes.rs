//! One pass each, from a fleet to what is done about it.

use super::*;

/// What it shows, wanted replicas, pods of the wanted revision given its id; then counts by revision,
/// actions, and what the fleet is said to do.
type Case<'a> = (
    &'a str,
    u32,
    fn(&str) -> Vec<Pod>,
    &'a [u32],
    &'a [Action],
    &'a str,
);

#[test]
fn single_passes() {
    use PodState::{Down, Leave, Ready, Unready};
    let cases: &[Case<'_>] = &[
        (
            "an empty fleet grows at once",
            3,
            |_| vec![],
            &[3],
            &[],
            "Growing",
        ),
        (
            "a starting fleet is left alone",
            2,
            |r| vec![pod("a", r, Unready, None), pod("b", r, Ready, Some(1))],
            &[2],
            &[],
            "Growing",
        ),
        (
            "a fleet that is right is left alone",
            1,
            |r| vec![pod("a", r, Ready, Some(9))],
            &[1],
            &[],
            "Stable",
        ),
        (
            "a pod that leaves is not counted",
            1,
            |r| vec![pod("a", r, Leave, Some(9))],
            &[1],
            &[],
            "Growing",
        ),
        (
            "the pod with the fewest clients goes",
            2,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    pod("b", r, Ready, Some(2)),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[3],
            &[drain("b")],
            "ScalingIn",
        ),
        (
            "among equals the last name goes",
            1,
            |r| vec![pod("a", r, Ready, Some(1)), pod("b", r, Ready, Some(1))],
            &[2],
            &[drain("b")],
            "ScalingIn",
        ),
        (
            "one at a time",
            1,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    drained("b", r, 2),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[3],
            &[],
            "ScalingIn",
        ),
        (
            "an emptied pod may go",
            1,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    drained("b", r, 0),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[2],
            &[],
            "ScalingIn",
        ),
        (
            "not while another pod is not ready",
            1,
            |r| {
                vec![
                    pod("a", r, Unready, Some(5)),
                    drained("b", r, 0),
                    pod("c", r, Ready, Some(3)),
                ]
            },
            &[3],
            &[],
            "ScalingIn",
        ),
        (
            "a pod that still accepts is not empty",
            1,
            |r| {
                let mut b = drained("b", r, 0);
                b.load.as_mut().unwrap().refuses = false;
                vec![pod("a", r, Ready, Some(5)), b]
            },
            &[2],
            &[],
            "ScalingIn",
        ),
        (
            "what is not known holds",
            1,
            |r| vec![pod("a", r, Ready, Some(5)), pod("b", r, Ready, None)],
            &[2],
            &[],
            "ScaleInHeld",
        ),
        (
            "a pod that is not ready holds",
            1,
            |r| vec![pod("a", r, Ready, Some(5)), pod("b", r, Unready, Some(0))],
            &[2],
            &[],
            "ScaleInHeld",
        ),
        (
            "a pod that is down goes first, without a drain",
            1,
            |r| vec![pod("a", r, Ready, Some(5)), pod("b", r, Down, None)],
            &[1],
            &[],
            "ScaleInHeld",
        ),
        (
            "and nobody is asked to leave in its stead",
            1,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    pod("b", r, Ready, Some(5)),
                    pod("c", r, Down, None),
                ]
            },
            &[2],
            &[],
            "ScaleInHeld",
        ),
        (
            "a pod whose drain is taken back does not go instead of another",
            2,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    drained("b", r, 0),
                    drained("c", r, 0),
                ]
            },
            &[3],
            &[undrain("b")],
            "ScalingIn",
        ),
        (
            "a drain is taken back when the pod is wanted again",
            2,
            |r| vec![pod("a", r, Ready, Some(5)), drained("b", r, 1)],
            &[2],
            &[undrain("b")],
            "Growing",
        ),
        (
            "the fullest comes back first",
            2,
            |r| {
                vec![
                    pod("a", r, Ready, Some(5)),
                    drained("b", r, 1),
                    drained("c", r, 7),
                ]
            },
            &[3],
            &[undrain("c")],
            "ScalingIn",
        ),
    ];
    for (what, replicas, pods, expected, actions, reason) in cases {
        let plan = pass(*replicas, watched(), pods);
        assert_eq!(counts(&plan), *expected, "{what}");
        assert_eq!(plan.actions, *actions, "{what}");
        assert_eq!(settled(&plan), *reason, "{what}");
    }
}
