//! A place where plans are carried out: pods that start, fail, drain and go, clients that come back
//! when they have to leave, ReplicaSets that remove pods by count, and a Service that selects.

use super::*;

/// A client, and how often it had to find another pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pod: Option<String>,
    pub(super) moves: u32,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) pods: Vec<Pod>,
    pub(super) clients: Vec<Client>,
    pub(super) serves: Option<Serves>,
    /// Pods of this revision never become ready.
    pub(super) broken: Option<String>,
    /// Pods made so far.
    pub(super) made: usize,
    pub(super) random: fastrand::Rng,
    /// How long a pod that starts takes at most, and clients of one that drains.
    pub(super) slowest: u32,
    memory: Memory,
    seconds: u64,
}

impl World {
    /// Pods with as many clients as they say they have.
    pub(super) fn new(pods: Vec<Pod>, serves: Option<Serves>, seed: u64) -> Self {
        let sessions = |pod: &Pod| vec![pod.name.clone(); pod.sessions().unwrap_or(3) as usize];
        let homes = pods.iter().flat_map(sessions);
        let client = |pod| Client {
            pod: Some(pod),
            moves: 0,
        };
        Self {
            clients: homes.map(client).collect(),
            pods,
            serves,
            broken: None,
            made: 0,
            random: fastrand::Rng::with_seed(seed),
            slowest: 3,
            memory: Memory::default(),
            seconds: 0,
        }
    }

    /// What is seen, what is decided about it, and the world after that. Asserts what holds of every
    /// pass on any fleet.
    pub(super) fn pass(&mut self, spec: &WseClusterSpec) -> Plan {
        let observation = Observation {
            pods: self.pods.clone(),
            serves: self.serves.clone(),
            ..Observation::default()
        };
        let now = at(self.seconds);
        let (plan, memory) = plan(&subject(spec), &observation, &self.memory, now);
        self.memory = memory;
        let replicas = spec.scaling.most() as usize;
        let most = replicas + spec.rollout.surge_of(spec.scaling.most()) as usize;
        let (served, all) = (self.serving(), self.pods.len());
        self.carry_out(&plan);
        assert!(
            self.serving() >= replicas.min(served),
            "{served} served, {plan:?}"
        );
        assert!(
            self.pods.len() <= most.max(all),
            "{all} pods became {}",
            self.pods.len()
        );
        plan
    }

    /// One second.
    pub(super) fn pass_time(&mut self) {
        self.seconds += 1;
        let slow = |random: &mut fastrand::Rng, slowest| random.u32(0..slowest) != 0;
        for pod in &mut self.pods {
            let broken = self.broken.as_ref() == Some(&pod.revision);
            pod.state = match pod.state {
                PodState::Down if slow(&mut self.random, self.slowest) => PodState::Down,
                PodState::Down => PodState::Unready,
                PodState::Unready if broken => PodState::Down,
                _ if pod.asked_to_drain => PodState::Unready,
                PodState::Unready if slow(&mut self.random, self.slowest) => PodState::Unready,
                _ => PodState::Ready,
            };
        }
        for index in 0..self.clients.len() {
            let leaves = |pod: &&Pod| {
                let its_own = self.clients[index].pod.as_ref() == Some(&pod.name);
                its_own && (pod.asked_to_drain || pod.state == PodState::Down)
            };
            let waits = self.slowest > 1 && self.random.bool();
            if self.pods.iter().find(leaves).is_some() && !waits {
                self.clients[index].pod = None;
                self.clients[index].moves += 1;
            }
        }
        self.connect();
        for pod in &mut self.pods {
            let its_own = |client: &&Client| client.pod.as_ref() == Some(&pod.name);
            let load = Load {
                sessions: self.clients.iter().filter(its_own).count() as u32,
                refuses: pod.asked_to_drain,
                ..Load::default()
            };
            pod.load = Some(load).filter(|_| pod.state != PodState::Down);
        }
    }

    /// Clients without a pod connect to one that the Service sends them to, if there is one.
    fn connect(&mut self) {
        let selected = |pod: &&Pod| match &self.serves {
            Some(Serves::Revision(id)) => pod.revision == *id,
            Some(Serves::All) | None => true,
        };
        let open: Vec<&Pod> = self
            .pods
            .iter()
            .filter(|pod| pod.serves())
            .filter(selected)
            .collect();
        for client in self.clients.iter_mut().filter(|it| it.pod.is_none()) {
            client.pod = self.random.choice(&open).map(|pod| pod.name.clone());
        }
    }

    /// Ends a pod's process, and with it its sessions.
    pub(super) fn crash(&mut self, index: usize) {
        let count = self.pods.len();
        let Some(pod) = (count > 0).then(|| &mut self.pods[index % count]) else {
            return;
        };
        pod.state = PodState::Down;
        pod.load = None;
        let its_own = |client: &&mut Client| client.pod.as_ref() == Some(&pod.name);
        let lost = self.clients.iter_mut().filter(its_own);
        lost.for_each(|client| client.pod = None);
    }

    /// A pod misses its readiness probe, and keeps its sessions.
    pub(super) fn stumble(&mut self, index: usize) {
        let count = self.pods.len();
        let up = |pod: &&mut Pod| pod.state == PodState::Ready;
        if let Some(pod) = (count > 0)
            .then(|| &mut self.pods[index % count])
            .filter(up)
        {
            pod.state = PodState::Unready;
        }
    }

    pub(super) fn serving(&self) -> usize {
        self.pods.iter().filter(|pod| pod.serves()).count()
    }

    pub(super) fn moves(&self) -> u64 {
        let moves = self.clients.iter().map(|client| u64::from(client.moves));
        moves.sum()
    }

    fn carry_out(&mut self, plan: &Plan) {
        for action in &plan.actions {
            let (name, on) = match action {
                Action::Drain { pod } => (pod, true),
                Action::Shed { pod, sessions } => {
                    self.shed(pod, *sessions);
                    continue;
                }
                Action::Undrain { pod } => (pod, false),
            };
            let pod = self.pods.iter_mut().find(|pod| pod.name == *name).unwrap();
            assert_ne!(pod.asked_to_drain, on, "{name} was asked already");
            pod.asked_to_drain = on;
        }
        for revision in &plan.revisions {
            self.fit(revision);
        }
        self.serves = Some(plan.serves.clone());
    }

    /// Clients leave a pod that takes others as before.
    fn shed(&mut self, pod: &str, sessions: u32) {
        let its_own = |client: &&mut Client| client.pod.as_deref() == Some(pod);
        let leave = self.clients.iter_mut().filter(its_own);
        for client in leave.take(sessions as usize) {
            client.pod = None;
            client.moves += 1;
        }
    }

    /// Like a ReplicaSet: makes what is missing, removes what is not ready before what is.
    fn fit(&mut self, revision: &Revision) {
        let of_it = |pod: &Pod| pod.revision == revision.id;
        let have = self.pods.iter().filter(|pod| of_it(pod)).count();
        for _ in have..revision.replicas as usize {
            self.made += 1;
            let name = format!("made-{}", self.made);
            self.pods
                .push(pod(&name, &revision.id, PodState::Unready, None));
        }
        for _ in revision.replicas as usize..have {
            let candidates = self.pods.iter().enumerate().filter(|(_, pod)| of_it(pod));
            // The worst choice among those that are not ready: whoever has clients.
            let first =
                candidates.min_by_key(|(_, pod)| (pod.serves(), std::cmp::Reverse(pod.sessions())));
            let gone = self.pods.remove(first.unwrap().0);
            assert!(gone.is_empty(), "{gone:?} went with clients in it");
            let its_own = |client: &Client| client.pod.as_ref() == Some(&gone.name);
            assert!(!self.clients.iter().any(its_own), "{gone:?} had clients");
        }
    }
}
