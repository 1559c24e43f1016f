//! One pass over one cluster: look, plan, make it so, tell.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use kube::runtime::events::Reporter;
use kube::{Client, Resource};

use super::caches::Caches;
use super::events::News;
use super::memory::Memory;
use super::metrics::Metrics;
use super::nodes::Nodes;
use super::observe::{self, Seen};
use super::prober::{Pace, Prober};
use super::render::{self, Rendered};
use super::root::Root;
use super::tell::{self, Refusal};
use super::{Error, names};
use crate::api::{WseClusterSpec, WseClusterStatus, check};
use crate::ask::Ask;
use crate::plan::{Plan, Subject, digest, plan};

/// When a cluster that waits for a person is looked at again, if nothing changes before.
const UNACTIONABLE: Duration = Duration::from_secs(60);

/// A plan that wants to look again so soon waits for what pods do.
const BUSY: Duration = Duration::from_secs(1);

/// What every pass needs.
pub(super) struct Context {
    pub(super) client: Client,
    /// This process, in events.
    pub(super) reporter: Reporter,
    pub(super) ask: Ask,
    pub(super) metrics: Metrics,
    /// Where pods may run.
    pub(super) nodes: Nodes,
    /// The gateway's image where a spec names none.
    pub(super) default_image: String,
    /// Where pods answer the operator.
    pub(super) admin_port: u16,
}

/// One pass.
pub(super) struct Pass<'a> {
    pub(super) context: &'a Context,
    pub(super) caches: &'a Caches,
    pub(super) prober: &'a Prober,
    pub(super) root: &'a Root,
}

impl Pass<'_> {
    /// Runs it, and says when the next is due.
    ///
    /// # Errors
    /// When trying again may help. What a person has to put right is told in the status instead.
    pub(super) async fn run(&self, memory: &mut Memory) -> Result<Duration, Error> {
        let root = self.root;
        if root.ends() {
            // Owner references take everything along.
            return Ok(UNACTIONABLE);
        }
        let began = Instant::now();
        let result = match readable(root, memory) {
            Ok(spec) => self.carry_out(spec, memory).await,
            Err(refusal) => {
                let before = self.told(memory);
                let status = tell::unactionable(root, &before, &refusal);
                self.tell(&before, status, None, Some(&refusal), memory)
                    .await
                    .map(|()| (UNACTIONABLE, Some(refusal)))
            }
        };
        let metrics = &self.context.metrics;
        metrics.pass_seconds.observe(began.elapsed().as_secs_f64());
        let outcome = match &result {
            Ok((_, None)) => "done",
            Ok((_, Some(refusal))) => {
                metrics.errors.with_label_values(&[refusal.reason]).inc();
                "refused"
            }
            Err(error) => {
                metrics.errors.with_label_values(&[error.reason()]).inc();
                "failed"
            }
        };
        metrics.passes.with_label_values(&[outcome]).inc();
        result.map(|(wake_after, _)| wake_after)
    }

    async fn carry_out(
        &self,
        spec: &WseClusterSpec,
        memory: &mut Memory,
    ) -> Result<(Duration, Option<Refusal>), Error> {
        let root = self.root;
        let context = self.context;
        let before = self.told(memory);
        let pods = observe::pods(root, self.caches, memory, self.prober, context.admin_port);
        let observation = observe::observation(root, self.caches, &pods);
        let subject = Subject {
            cluster: &root.full_name(),
            spec,
            secrets: Path::new(names::SECRETS_FOLDER),
            admin_token: Path::new(names::TOKEN_FILE),
            default_image: &context.default_image,
        };
        let (plan, next) = plan(&subject, &observation, &memory.plan, SystemTime::now());
        memory.plan = next;
        self.prober.pace(&root.key(), pace(&plan));
        if !root.paused() {
            self.announce(&before, &plan).await;
        }
        let mut refusal = None;
        if !root.paused() {
            if spec.image.is_none() {
                self.keep_choice(&plan, memory).await?;
            }
            match self.make(spec, &plan, &pods, memory).await {
                Ok(()) => {}
                Err(error) => refusal = Some(Refusal::of(&error).ok_or(error)?),
            }
        }
        let sets = self.caches.replica_sets(root);
        let status = tell::status(root, &plan, &pods, &sets, refusal.as_ref());
        self.tell(&before, status, Some(&plan), refusal.as_ref(), memory)
            .await?;
        // A refusal is tried again now and then: what refuses may change where nobody watches.
        let wake_after = match refusal {
            Some(_) => plan.wake_after.max(Duration::from_secs(10)),
            None => plan.wake_after,
        };
        Ok((wake_after, refusal))
    }

    /// Says what an edit does before it is done, and what of it may surprise people.
    async fn announce(&self, before: &WseClusterStatus, plan: &Plan) {
        let (seen, generation) = (before.observed_generation, self.root.meta().generation);
        if seen == generation {
            return;
        }
        if let (Some(_), Some(generation)) = (seen, generation) {
            self.publish(&News::change(generation, plan.change)).await;
        }
        for warning in &plan.warnings {
            self.publish(&News::surprise(warning)).await;
        }
    }

    /// Makes it so. What is refused does not stop the rest; the first refusal is given back.
    async fn make(
        &self,
        spec: &WseClusterSpec,
        plan: &Plan,
        pods: &[Seen],
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let Rendered {
            objects,
            overridden,
        } = render::render(self.root, spec, plan).map_err(Error::PodTemplate)?;
        let mut refused = None;
        let mut note = |result: Result<(), Error>| match result {
            Err(error) if error.refusal().is_none() => Err(error),
            Err(error) => {
                refused.get_or_insert(error);
                Ok(())
            }
            Ok(()) => Ok(()),
        };
        let token = match self.admin_token(pace(plan), memory).await {
            Ok(token) => Some(token),
            Err(error) => {
                note(Err(error))?;
                None
            }
        };
        for wanted in &objects {
            note(self.apply(wanted, memory).await)?;
        }
        self.shrink(plan, memory).await?;
        if self.shows_config(&objects) {
            self.refresh(pods, &digest(&plan.config), memory).await?;
        }
        if let Some(token) = token {
            self.act(&plan.actions, pods, &token, memory).await?;
        }
        if memory.overridden != overridden && !overridden.is_empty() {
            self.publish(&News::overridden(&overridden)).await;
        }
        memory.overridden = overridden;
        refused.map_or(Ok(()), Err)
    }
}

/// How closely a plan wants its pods watched.
fn pace(plan: &Plan) -> Pace {
    if plan.wake_after <= BUSY {
        Pace::Busy
    } else {
        Pace::Rest
    }
}

/// The specification, if it can be acted on.
fn readable<'a>(root: &'a Root, memory: &mut Memory) -> Result<&'a WseClusterSpec, Refusal> {
    let spec = root.spec.as_ref().map_err(|error| Refusal {
        reason: "SpecUnreadable",
        message: format!(
            "this operator cannot read it, or it was made for another version: {error}"
        ),
    })?;
    let generation = root.meta().generation;
    let known = memory
        .checked
        .take()
        .filter(|(checked, _)| *checked == generation);
    let (_, problems) = memory.checked.insert(known.unwrap_or_else(|| {
        let problems = root
            .cluster()
            .map(|cluster| check(&cluster))
            .unwrap_or_default();
        (
            generation,
            problems.iter().map(ToString::to_string).collect(),
        )
    }));
    if problems.is_empty() {
        return Ok(spec);
    }
    Err(Refusal {
        reason: "SpecInvalid",
        message: problems.join("; "),
    })
}
