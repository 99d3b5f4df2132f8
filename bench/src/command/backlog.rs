//! `backlog`: publish persistent messages with confirms, look at the broker's memory, restart it if asked to,
//! and drain.

use serde::Serialize;

use crate::args::BacklogArgs;
use crate::command::Ending;
use crate::error::Result;
use crate::load::outcome::LoadOutcome;
use crate::load::plan::LoadPlan;
use crate::load::run;
use crate::report::{json, text};
use crate::session::Session;
use crate::suite::broker::{Broker, BrokerSpec};
use crate::uri::AmqpUri;

/// What to pile up and how to work it off.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BacklogPlan {
    /// Broker and vhost.
    pub(crate) uri: AmqpUri,
    /// Process of the broker.
    pub(crate) broker_pid: Option<i32>,
    /// Messages.
    pub(crate) messages: u64,
    /// Octets of body.
    pub(crate) size: usize,
    /// Unconfirmed publishes.
    pub(crate) confirm: u32,
    /// Messages per ack.
    pub(crate) ack_every: u32,
    /// Unacknowledged messages.
    pub(crate) prefetch: u16,
    /// Print a line each second.
    pub(crate) progress: bool,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BacklogOutcome {
    /// Publishing.
    pub(crate) publish: LoadOutcome,
    /// From the start command until the queue answered with all its messages.
    pub(crate) restart_s: Option<f64>,
    /// Draining.
    pub(crate) drain: LoadOutcome,
}

impl BacklogPlan {
    fn load(&self) -> LoadPlan {
        LoadPlan {
            sizes: vec![self.size],
            persistent: true,
            durable: true,
            confirm_window: Some(self.confirm),
            ack_every: Some(self.ack_every),
            prefetch: self.prefetch,
            // Both stages end by count; this is only for a broker that stops answering.
            duration: std::time::Duration::from_secs(3600),
            drain_timeout: std::time::Duration::from_secs(60),
            warm_up: std::time::Duration::ZERO,
            count: Some(self.messages),
            prefix: format!("haremq-perf-{}-backlog", std::process::id()),
            broker_pid: self.broker_pid,
            progress: self.progress,
            verify_order: true,
            ..LoadPlan::new(self.uri.clone())
        }
    }
}

/// Publishes, restarts if there is a broker to restart, and drains.
pub(crate) fn measure(plan: &BacklogPlan, broker: Option<&mut Broker>) -> Result<BacklogOutcome> {
    let filling = LoadPlan { consumers: 0, keep: true, ..plan.load() };
    let queue = format!("{}-0", filling.prefix);
    let publish = run::run(&filling)?;
    let stages = restart_and_drain(plan, &publish, &queue, broker);
    if stages.is_err() {
        // Nobody else would delete it. If this fails too, the first error is the one to tell.
        let _ = Session::with_channel(&plan.uri, "haremq-perf")
            .and_then(|mut session| session.delete_queue(&queue));
    }
    let (restart_s, drain) = stages?;
    Ok(BacklogOutcome { publish, restart_s, drain })
}

fn restart_and_drain(
    plan: &BacklogPlan,
    publish: &LoadOutcome,
    queue: &str,
    broker: Option<&mut Broker>,
) -> Result<(Option<f64>, LoadOutcome)> {
    let mut broker_pid = plan.broker_pid;
    let mut restart_s = None;
    if let Some(broker) = broker {
        let all = publish.published;
        restart_s =
            broker.restart(|session| Ok(u64::from(session.inspect_queue(queue)?) == all))?;
        broker_pid = broker_pid.map(|_| broker.pid);
    }
    let preloaded = Some(publish.positions.clone());
    let drain = run::run(&LoadPlan { preloaded, broker_pid, ..plan.load() })?;
    Ok((restart_s, drain))
}

/// The subcommand.
pub(crate) fn backlog(args: &BacklogArgs) -> Result<Ending> {
    let mut plan = BacklogPlan {
        uri: args.target.uri.clone(),
        broker_pid: args.target.pid()?,
        messages: args.messages,
        size: args.size,
        confirm: args.confirm,
        ack_every: args.ack_every,
        prefetch: args.prefetch,
        progress: args.output.shows_progress(),
    };
    let mut broker = match &args.start {
        Some(command) => Some(Broker::new(&BrokerSpec {
            name: plan.uri.address(),
            uri: plan.uri.clone(),
            pid: plan.broker_pid,
            start: Some(command.clone()),
        })?),
        None => None,
    };
    plan.broker_pid = plan.broker_pid.or(broker.as_ref().map(|broker| broker.pid));
    let outcome = measure(&plan, broker.as_mut())?;
    println!("PUBLISH\n{}", text::outcome(&outcome.publish));
    if let Some(seconds) = outcome.restart_s {
        println!("RESTART after kill -9: {seconds:.2} s until all messages were there\n");
    }
    print!("DRAIN\n{}", text::outcome(&outcome.drain));
    if let Some(path) = &args.output.json {
        json::write(path, "backlog", &plan, &outcome)?;
    }
    let clean = outcome.publish.faults.is_empty() && outcome.drain.faults.is_empty();
    Ok(if clean { Ending::Clean } else { Ending::Faulty })
}
