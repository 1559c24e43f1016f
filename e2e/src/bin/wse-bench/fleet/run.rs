//! Has connections come and go, and looks meanwhile.

use std::num::NonZero;
use std::process::ExitCode;
use std::thread::available_parallelism;

use tokio::time::Instant;
use wse_e2e::api::Api;
use wse_e2e::raw::Dialect;

use super::Arguments;
use super::figures::{About, Report};
use super::output;
use super::source::Source;
use super::watch::{Live, Look, watch};
use crate::cli::{Messages, Output};
use crate::crew::{Crew, Job, knock};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::output::{Paint, print};
use crate::publish::{self, Sending};
use crate::ramp::Ramp;
use crate::target::Target;
use crate::worker::plan::Work;

/// Runs it, and prints its report.
///
/// # Errors
/// Why the fleet cannot be looked at, or loaded.
pub(crate) async fn run(
    target: &Target,
    arguments: &Arguments,
    output: Output,
) -> Result<ExitCode, String> {
    let mut interrupt = Interrupt::listen()?;
    let ramp = Ramp::new(arguments.stages.clone())?;
    let backend = Backend::new(arguments, &ramp)?;
    let source = Source::find(arguments).await?;
    let job = job(target, arguments, &ramp)?;
    knock(&job.doors, &job.topics).await?;

    let live = Live::new(&ramp);
    let mut crew = Crew::start(&job).await?.watched(live.watch());
    let start = Instant::from_std(crew.began());
    let mut looks: Vec<Look> = Vec::new();
    let load = async {
        crew.opened().await?;
        crew.begin().await?;
        crew.attend().await
    };
    let ended = tokio::select! {
        failed = load => failed,
        failed = backend.publish() => failed,
        () = watch(&source, start, &live, &mut looks) => Ok(()),
        () = interrupt.come() => Ok(()),
    };
    live.end();
    if let Err(why) = ended {
        crew.dismiss().await;
        return Err(why);
    }
    let report = crew.finish(0).await?;
    let about = About {
        fleet: source.name(),
        server: format!("{}:{}", target.host, target.port),
        cores: available_parallelism().map_or(1, NonZero::get),
        interrupted: interrupt.has_come(),
        ramp: &ramp,
    };
    let report = Report::new(about, report, backend.sent(), &looks);
    print(&match output {
        Output::Html => output::html(&report)?,
        Output::Json => serde_json::to_string(&report).map_err(|error| error.to_string())? + "\n",
        Output::Markdown => output::markdown(&report),
        Output::Text => output::text(&report, Paint::of_stdout()),
    })?;
    Ok(match report.interrupted {
        true => ExitCode::from(INTERRUPTED),
        false => ExitCode::SUCCESS,
    })
}

fn job(target: &Target, arguments: &Arguments, ramp: &Ramp) -> Result<Job, String> {
    let globs: Vec<&str> = arguments.topics.iter().map(String::as_str).collect();
    Ok(Job {
        doors: target.doors(&[target.port], &globs)?,
        connections: ramp.most(),
        workers: arguments.workers,
        rate: None,
        at_once: false,
        concurrency: arguments.concurrency,
        ca: target.ca.clone(),
        dialect: Dialect::Wse,
        topics: arguments.topics.clone(),
        work: Work::Ramp {
            ramp: ramp.clone(),
            ping_seconds: arguments.ping_seconds,
        },
    })
}

/// Who publishes meanwhile, if anybody does.
struct Backend<'a> {
    plan: Option<(Api, &'a [String], Messages)>,
    sending: Sending,
}

impl<'a> Backend<'a> {
    fn new(arguments: &'a Arguments, ramp: &Ramp) -> Result<Self, String> {
        let plan = |messages_per_second: f64| {
            let messages = Messages {
                messages_per_second,
                messages: (messages_per_second * ramp.time().as_secs_f64()) as u64,
                size: arguments.size,
                in_order: true,
            };
            let names = publish::names(&arguments.topics)?;
            Ok::<_, String>((arguments.backend()?, names, messages))
        };
        Ok(Self {
            plan: arguments.messages_per_second.map(plan).transpose()?,
            sending: Sending::default(),
        })
    }

    /// Ends only if it cannot publish at all.
    async fn publish(&self) -> Result<(), String> {
        if let Some((api, names, messages)) = &self.plan {
            publish::run_into(&self.sending, api, names, messages).await?;
        }
        std::future::pending().await
    }

    fn sent(&self) -> Option<crate::report::Sent> {
        self.plan.as_ref().map(|_| publish::take(&self.sending))
    }
}
