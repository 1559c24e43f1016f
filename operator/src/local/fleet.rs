//! The pods of the run: observed for the plan, and made to be as it says.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::task::JoinSet;
use wse_sidecar::config::Config;

use super::child::Child;
use super::scratch::Scratch;
use super::{Error, report};
use crate::ask::Ask;
use crate::plan::{Action, Observation, Plan, PodState, Revision, Serves, digest};

/// All pods.
pub(super) struct Fleet {
    /// First part of the pods' names.
    pub(super) prefix: String,
    pub(super) sidecar: PathBuf,
    pub(super) public: TcpListener,
    pub(super) ask: Ask,
    pub(super) children: Vec<Child>,
    /// What the last plan wanted new clients to reach. All gateways accept on one socket, so there is
    /// no selector that could lag behind: a gateway that is not to be reached any more drains, and
    /// stops accepting at once. So the plan's word is already true when the next pass looks.
    pub(super) serves: Option<Serves>,
    /// How many pods the last plan wanted.
    pub(super) desired: Option<u32>,
    /// Names the configuration of the last plan.
    pub(super) told: Option<String>,
}

impl Fleet {
    /// Looks at every pod.
    pub(super) async fn observe(&mut self, now: Instant) -> Observation {
        for child in &mut self.children {
            child.look(now);
        }
        self.children
            .retain(|child| !(child.leaves && child.is_down()));
        let mut questions = JoinSet::new();
        for (index, child) in self.children.iter().enumerate() {
            let (ask, Some(admin)) = (self.ask.clone(), child.admin()) else {
                continue;
            };
            questions.spawn(async move {
                let (ready, load) = tokio::join!(ask.ready(admin), ask.load(admin));
                (index, ready, load)
            });
        }
        for (index, ready, load) in questions.join_all().await {
            self.children[index].ready = ready;
            self.children[index].load = load.ok().map(|told| told.load);
        }
        Observation {
            pods: self.children.iter().map(Child::pod).collect(),
            serves: self.serves.clone(),
            desired: self.desired,
            config: self.told.clone(),
            allocated: None,
            kernel: None,
        }
    }

    /// Makes the pods what the plan says. `config` is the plan's, fitted to this machine.
    pub(super) async fn carry_out(
        &mut self,
        plan: &Plan,
        config: &Config,
        scratch: &Scratch,
        now: Instant,
    ) -> Result<(), Error> {
        let [wanted, old @ ..] = plan.revisions.as_slice() else {
            return Ok(());
        };
        self.remove(wanted);
        old.iter().for_each(|revision| self.remove(revision));
        while self.counted(wanted) < wanted.replicas as usize {
            let name = self.free_name();
            self.children
                .push(Child::new(name, &wanted.id, scratch, now));
        }
        for child in &mut self.children {
            if child.revision != wanted.id || child.leaves {
                continue;
            }
            if child.may_start(now) {
                child.start(config, &self.public, &self.sidecar, scratch, now)?;
            } else if !child.is_down() {
                child.configure(config, scratch, now)?;
            }
        }
        for action in &plan.actions {
            self.act(action, scratch).await;
        }
        self.serves = Some(plan.serves.clone());
        self.desired = Some(plan.desired);
        self.told = Some(digest(&plan.config));
        Ok(())
    }

    /// Asks every process to drain and end.
    pub(super) fn leave(&mut self) {
        self.children.iter_mut().for_each(Child::leave);
    }

    /// Ends every process.
    pub(super) fn kill(&self) {
        self.children.iter().for_each(Child::kill);
    }

    /// Whether a process may still read this file beside its configuration.
    pub(super) fn reads(&self, file: &Path, now: Instant) -> bool {
        self.children.iter().any(|child| child.reads(file, now))
    }

    fn counted(&self, revision: &Revision) -> usize {
        let of_it = |child: &&Child| child.revision == revision.id && !child.leaves;
        self.children.iter().filter(of_it).count()
    }

    /// Takes away pods that are too many: those that are down or emptied, and no others.
    fn remove(&mut self, revision: &Revision) {
        let mut too_many = self
            .counted(revision)
            .saturating_sub(revision.replicas as usize);
        for child in &mut self.children {
            let pod = child.pod();
            let emptied = pod.load.is_some_and(|load| load.is_emptied());
            let goes = pod.state == PodState::Down || (pod.asked_to_drain && emptied);
            if too_many > 0 && child.revision == revision.id && !child.leaves && goes {
                child.leave();
                too_many -= 1;
            }
        }
    }

    fn free_name(&self) -> String {
        let taken = |name: &String| self.children.iter().any(|child| child.name == *name);
        let mut names = (0..).map(|index| format!("{}-{index}", self.prefix));
        let Some(name) = names.find(|name| !taken(name)) else {
            unreachable!("there are more numbers than pods")
        };
        name
    }

    /// A pod that did not do it is asked again by the next plan.
    async fn act(&mut self, action: &Action, scratch: &Scratch) {
        let (Action::Drain { pod } | Action::Shed { pod, .. } | Action::Undrain { pod }) = action;
        let Some(child) = self.children.iter_mut().find(|child| child.name == *pod) else {
            return;
        };
        let Some(admin) = child.admin() else {
            return;
        };
        let token = scratch.admin_token();
        let (result, what) = match *action {
            Action::Drain { .. } => (self.ask.drain(admin, token, true).await, "drains".into()),
            Action::Shed { sessions, .. } => {
                let what = format!("asks {sessions} clients to find another");
                (self.ask.shed(admin, token, sessions).await, what)
            }
            Action::Undrain { .. } => {
                let what = "takes clients again".into();
                (self.ask.drain(admin, token, false).await, what)
            }
        };
        match result {
            Ok(()) => {
                match action {
                    Action::Drain { .. } => child.asked_to_drain = true,
                    Action::Shed { .. } => {}
                    Action::Undrain { .. } => child.asked_to_drain = false,
                }
                report::news(pod, &what);
            }
            Err(error) => report::news(pod, &format!("does not do as asked: {error}")),
        }
    }
}
