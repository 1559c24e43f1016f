//! What to do when. Pure: time and the number of sessions are arguments.

use std::time::{Duration, Instant};

use super::Schedule;

/// How long after the deadline an exit still waits for sessions that were closed there to end.
const AFTER_DEADLINE: Duration = Duration::from_secs(1);

/// Where a drain is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Not ready, but still accepting: load balancers are following.
    Announced,
    /// No session is left, and none is accepted.
    Empty,
    /// Refusing new clients; sessions are leaving.
    Leaving,
    /// No drain.
    #[default]
    Serving,
}

/// What the driver must do now, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// End the process.
    Exit,
    /// Ask the sessions to leave.
    Leave {
        window: Duration,
        deadline: Duration,
    },
    /// Refuse new clients, or take them again.
    Refuse(bool),
    /// Sessions that have not left may stay: a drain was taken back, or begins and calls a shed off.
    Stay,
}

/// A drain, or none.
#[derive(Debug)]
pub(super) struct Machine {
    state: State,
    exit: bool,
    /// Sessions may be leaving though there is no drain.
    shed: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Announced {
        refuse_at: Instant,
        schedule: Schedule,
    },
    Empty,
    Leaving {
        give_up_at: Instant,
    },
    Serving,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            state: State::Serving,
            exit: false,
            shed: false,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Announced { .. } => Phase::Announced,
            State::Empty => Phase::Empty,
            State::Leaving { .. } => Phase::Leaving,
            State::Serving => Phase::Serving,
        }
    }

    /// Begins a drain, or goes on with the one that has begun.
    pub(super) fn begin(&mut self, now: Instant, schedule: Schedule) {
        if matches!(self.state, State::Serving) {
            self.state = State::Announced {
                refuse_at: now + schedule.wait,
                schedule,
            };
        }
    }

    /// As [`Machine::begin`], and ends in an exit.
    pub(super) fn exit(&mut self, now: Instant, schedule: Schedule) {
        self.exit = true;
        self.begin(now, schedule);
    }

    /// Notes that some sessions will be asked to leave. False in a drain: then all are.
    pub(super) fn shed(&mut self) -> bool {
        let serves = matches!(self.state, State::Serving);
        self.shed |= serves;
        serves
    }

    /// Takes the drain back. False when the process is on its way out: whoever sent the signal will
    /// not take that back.
    pub(super) fn cancel(&mut self, actions: &mut Vec<Action>) -> bool {
        if self.exit {
            return false;
        }
        if matches!(self.state, State::Empty | State::Leaving { .. }) {
            actions.extend([Action::Stay, Action::Refuse(false)]);
        }
        self.state = State::Serving;
        true
    }

    /// Takes the steps that are due.
    pub(super) fn step(&mut self, now: Instant, sessions: usize, actions: &mut Vec<Action>) {
        // Whoever left now might be sent back here, and be moved again by the drain.
        if self.shed && !matches!(self.state, State::Serving) {
            self.shed = false;
            actions.push(Action::Stay);
        }
        if let State::Announced {
            refuse_at,
            schedule,
        } = self.state
            && now >= refuse_at
        {
            let Schedule {
                window, deadline, ..
            } = schedule;
            actions.extend([Action::Refuse(true), Action::Leave { window, deadline }]);
            self.state = State::Leaving {
                give_up_at: refuse_at + deadline + AFTER_DEADLINE,
            };
            // The sessions were counted before anybody was refused: the next step sees the rest.
            return;
        }
        if let State::Leaving { give_up_at } = self.state {
            if sessions == 0 {
                self.state = State::Empty;
            } else if self.exit && now >= give_up_at {
                actions.push(Action::Exit);
            }
        }
        if matches!(self.state, State::Empty) && self.exit {
            actions.push(Action::Exit);
        }
    }

    /// When the next step can be due, if nothing else happens. None: never.
    pub(super) fn wake_at(&self, now: Instant, every: Duration) -> Option<Instant> {
        match self.state {
            State::Announced { refuse_at, .. } => Some(refuse_at),
            State::Leaving { .. } => Some(now + every),
            State::Empty | State::Serving => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEDULE: Schedule = Schedule {
        wait: Duration::from_secs(7),
        window: Duration::from_secs(30),
        deadline: Duration::from_secs(60),
    };
    const LEAVE: Action = Action::Leave {
        window: SCHEDULE.window,
        deadline: SCHEDULE.deadline,
    };

    fn step(machine: &mut Machine, now: Instant, sessions: usize) -> Vec<Action> {
        let mut actions = Vec::new();
        machine.step(now, sessions, &mut actions);
        actions
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_drain_announces_then_empties_and_stays() {
        let (start, mut machine) = (Instant::now(), Machine::new());
        machine.begin(start, SCHEDULE);
        assert_eq!(machine.phase(), Phase::Announced);
        assert_eq!(step(&mut machine, after(start, 6), 9), []);
        assert_eq!(
            step(&mut machine, after(start, 7), 9),
            [Action::Refuse(true), LEAVE]
        );
        assert_eq!(step(&mut machine, after(start, 500), 1), []);
        assert_eq!(machine.phase(), Phase::Leaving);
        assert_eq!(step(&mut machine, after(start, 501), 0), []);
        assert_eq!(machine.phase(), Phase::Empty);
        assert_eq!(machine.wake_at(after(start, 501), SCHEDULE.wait), None);
    }

    #[test]
    fn nobody_inside_still_waits_for_the_endpoints() {
        let (start, mut machine) = (Instant::now(), Machine::new());
        machine.exit(start, SCHEDULE);
        assert_eq!(step(&mut machine, after(start, 6), 0), []);
        assert_eq!(
            step(&mut machine, after(start, 7), 0),
            [Action::Refuse(true), LEAVE]
        );
        assert_eq!(step(&mut machine, after(start, 7), 0), [Action::Exit]);
    }

    #[test]
    fn a_signal_continues_a_drain_that_has_begun() {
        let (start, mut machine) = (Instant::now(), Machine::new());
        machine.begin(start, SCHEDULE);
        machine.exit(after(start, 5), SCHEDULE);
        assert_eq!(
            step(&mut machine, after(start, 7), 3),
            [Action::Refuse(true), LEAVE]
        );
        assert_eq!(step(&mut machine, after(start, 20), 0), [Action::Exit]);
    }

    #[test]
    fn a_signal_ends_a_pod_that_is_already_empty() {
        let (start, mut machine) = (Instant::now(), Machine::new());
        machine.begin(start, SCHEDULE);
        step(&mut machine, after(start, 7), 0);
        step(&mut machine, after(start, 8), 0);
        assert_eq!(machine.phase(), Phase::Empty);
        machine.exit(after(start, 99), SCHEDULE);
        assert_eq!(step(&mut machine, after(start, 99), 0), [Action::Exit]);
    }

    #[test]
    fn an_exit_does_not_outwait_its_deadline() {
        let (start, mut machine) = (Instant::now(), Machine::new());
        machine.exit(start, SCHEDULE);
        step(&mut machine, after(start, 7), 5);
        assert_eq!(step(&mut machine, after(start, 67), 5), []);
        assert_eq!(step(&mut machine, after(start, 68), 5), [Action::Exit]);
    }

    #[test]
    fn taking_it_back_opens_only_what_was_closed() {
        let start = Instant::now();
        let cases: [(u64, Vec<Action>); 3] = [
            (0, vec![]),
            (7, vec![Action::Stay, Action::Refuse(false)]),
            (8, vec![Action::Stay, Action::Refuse(false)]),
        ];
        for (until, expected) in cases {
            let mut machine = Machine::new();
            machine.begin(start, SCHEDULE);
            for second in 0..=until {
                step(&mut machine, after(start, second), 0);
            }
            let mut actions = Vec::new();
            assert!(machine.cancel(&mut actions));
            assert_eq!(actions, expected, "after {until} s");
            assert_eq!(machine.phase(), Phase::Serving);
        }
    }

    #[test]
    fn a_signal_is_not_taken_back() {
        let (start, mut machine) = (Instant::now(), Machine::new());
        machine.exit(start, SCHEDULE);
        let mut actions = Vec::new();
        assert!(!machine.cancel(&mut actions));
        assert_eq!(actions, []);
        assert_eq!(machine.phase(), Phase::Announced);
    }

    #[test]
    fn a_drain_calls_a_shed_off_and_takes_all_sessions_over() {
        let (start, mut machine) = (Instant::now(), Machine::new());
        assert!(machine.shed());
        assert_eq!(step(&mut machine, start, 9), []);
        machine.begin(start, SCHEDULE);
        assert!(!machine.shed());
        assert_eq!(step(&mut machine, start, 9), [Action::Stay]);
        assert_eq!(step(&mut machine, after(start, 6), 9), []);
        assert_eq!(
            step(&mut machine, after(start, 7), 9),
            [Action::Refuse(true), LEAVE]
        );
        assert!(!machine.shed());
        assert!(machine.cancel(&mut Vec::new()));
        assert!(machine.shed());
    }

    #[derive(Clone, Copy, Debug)]
    enum Event {
        Begin,
        Cancel,
        Exit,
        Shed,
        Step { seconds: u64, sessions: usize },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Begin),
            Just(Event::Cancel),
            Just(Event::Exit),
            Just(Event::Shed),
            (0_u64..40, 0_usize..3)
                .prop_map(|(seconds, sessions)| Event::Step { seconds, sessions }),
        ]
    }

    proptest! {
        /// The doors are shut exactly while the phase says so, and nobody is asked to leave twice: not by
        /// a shed during a drain either.
        #[test]
        fn doors_follow_the_phase(events in prop::collection::vec(event(), 0..60)) {
            let (mut now, mut machine) = (Instant::now(), Machine::new());
            let (mut refusing, mut leaving, mut shed) = (false, false, false);
            for event in events {
                let stepped = matches!(event, Event::Step { .. });
                let mut actions = Vec::new();
                match event {
                    Event::Begin => machine.begin(now, SCHEDULE),
                    Event::Cancel => {
                        machine.cancel(&mut actions);
                    }
                    Event::Exit => machine.exit(now, SCHEDULE),
                    Event::Shed => {
                        let serves = machine.phase() == Phase::Serving;
                        prop_assert_eq!(machine.shed(), serves);
                        shed |= serves;
                    }
                    Event::Step { seconds, sessions } => {
                        now += Duration::from_secs(seconds);
                        machine.step(now, sessions, &mut actions);
                    }
                }
                for action in actions {
                    match action {
                        Action::Exit => prop_assert!(machine.exit),
                        Action::Leave { .. } => {
                            prop_assert!(!leaving && !shed);
                            leaving = true;
                        }
                        Action::Refuse(on) => {
                            prop_assert_ne!(refusing, on);
                            refusing = on;
                        }
                        Action::Stay => {
                            prop_assert!(leaving || shed);
                            (leaving, shed) = (false, false);
                        }
                    }
                }
                let shut = matches!(machine.phase(), Phase::Empty | Phase::Leaving);
                prop_assert_eq!(refusing, shut);
                prop_assert_eq!(leaving, shut);
                if stepped && machine.phase() != Phase::Serving {
                    prop_assert!(!shed);
                }
            }
        }
    }
}
