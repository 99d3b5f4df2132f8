//! `queues`: declare many durable queues, one after another as a client library does, and delete them.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::args::QueuesArgs;
use crate::clock::process_cpu_ns;
use crate::command::Ending;
use crate::error::Result;
use crate::interrupt;
use crate::procstat::{memory_of_each, ProcessReading};
use crate::report::{json, text};
use crate::session::{Identity, Session};
use crate::uri::AmqpUri;
use crate::wire::table::Table;

/// Given to the broker to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);

/// What to declare.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct QueuesPlan {
    /// Broker and vhost.
    pub(crate) uri: AmqpUri,
    /// Process of the broker.
    pub(crate) broker_pid: Option<i32>,
    /// Queues.
    pub(crate) queues: u32,
    /// Start of their names.
    pub(crate) prefix: String,
    /// Print a line each thousand.
    pub(crate) progress: bool,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct QueuesOutcome {
    /// What the broker says that it is.
    pub(crate) identity: Identity,
    /// Declared.
    pub(crate) queues: u64,
    /// Seconds that it took.
    pub(crate) declare_s: f64,
    /// CPU microseconds of this program per queue.
    pub(crate) own_cpu_us_per_queue: f64,
    /// CPU microseconds of the broker per queue.
    pub(crate) cpu_us_per_queue: Option<f64>,
    /// Resident octets of the broker per queue, without pages of files, of the second half of them. `None`: unknown, or
    /// the process gave more back meanwhile.
    pub(crate) memory_octets_per_queue: Option<f64>,
}

impl QueuesPlan {
    /// The name of a queue.
    pub(crate) fn name(&self, number: u32) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// Declares them.
    pub(crate) fn declare(&self) -> Result<QueuesOutcome> {
        let read = || self.broker_pid.map(ProcessReading::take).transpose();
        let mut session = Session::with_channel(&self.uri, "haremq-perf")?;
        // The first queue makes the broker load and allocate what it needs once.
        let first = format!("{}-first", self.prefix);
        session.declare_queue(&first, true, &Table::default())?;
        session.delete_queue(&first)?;
        thread::sleep(SETTLE);
        let before = read()?;
        let own_before_ns = process_cpu_ns();
        let (begun, mut paused, mut halfway) = (Instant::now(), Duration::ZERO, None);
        let mut queues = 0;
        for number in 0..self.queues {
            if number == self.queues / 2 {
                let pause = Instant::now();
                thread::sleep(SETTLE);
                halfway = read()?.map(|reading| (reading, queues));
                paused = pause.elapsed();
            }
            session.declare_queue(&self.name(number), true, &Table::default())?;
            queues += 1;
            if self.progress && queues % 1000 == 0 {
                eprintln!("{queues} queues in {:.1} s", begun.elapsed().as_secs_f64());
            }
            if interrupt::requested() {
                break;
            }
        }
        let declare_s = (begun.elapsed() - paused).as_secs_f64();
        let own_cpu_us = (process_cpu_ns() - own_before_ns) as f64 / 1e3;
        thread::sleep(SETTLE);
        let after = read()?;
        let each = |total: f64| total / queues.max(1) as f64;
        let both = before.zip(after);
        let outcome = QueuesOutcome {
            identity: session.identity().clone(),
            queues,
            declare_s,
            own_cpu_us_per_queue: each(own_cpu_us),
            cpu_us_per_queue: both
                .map(|(before, after)| each((after.cpu_us - before.cpu_us) as f64)),
            memory_octets_per_queue: halfway.zip(after).and_then(|((reading, of_first), after)| {
                memory_of_each(&reading, &after, queues - of_first)
            }),
        };
        session.close()?;
        Ok(outcome)
    }

    /// Checks that all are there and empty; an error names what the broker says of the first that is not.
    pub(crate) fn check(&self, session: &mut Session) -> Result<()> {
        (0..self.queues)
            .try_for_each(|number| session.inspect_queue(&self.name(number)).map(|_| ()))
    }

    /// Deletes them.
    pub(crate) fn delete(&self) -> Result<f64> {
        let mut session = Session::with_channel(&self.uri, "haremq-perf")?;
        let begun = Instant::now();
        for number in 0..self.queues {
            session.delete_queue(&self.name(number))?;
        }
        let delete_s = begun.elapsed().as_secs_f64();
        session.close()?;
        Ok(delete_s)
    }
}

/// The subcommand.
pub(crate) fn queues(args: &QueuesArgs) -> Result<Ending> {
    let plan = QueuesPlan {
        uri: args.target.uri.clone(),
        broker_pid: args.target.pid()?,
        queues: args.queues,
        prefix: args.prefix.clone(),
        progress: args.output.shows_progress(),
    };
    if args.existing {
        let begun = Instant::now();
        let mut session = Session::with_channel(&plan.uri, "haremq-perf")?;
        plan.check(&mut session)?;
        println!(
            "all {} queues are there, checked in {:.2} s",
            text::count(u64::from(plan.queues)),
            begun.elapsed().as_secs_f64()
        );
        session.close()?;
    } else {
        declare(&plan, args)?;
    }
    if !args.keep {
        println!("deleted     in {:.2} s", plan.delete()?);
    }
    Ok(Ending::Clean)
}

fn declare(plan: &QueuesPlan, args: &QueuesArgs) -> Result<()> {
    let outcome = match plan.declare() {
        Ok(outcome) => outcome,
        Err(error) => {
            // Some may be there already; the error is what matters.
            let _ = plan.delete();
            return Err(error);
        }
    };
    let per_s = outcome.queues as f64 / outcome.declare_s.max(1e-9);
    println!("broker      {}", outcome.identity);
    println!(
        "declared    {} durable queues in {:.2} s = {per_s:.0}/s",
        text::count(outcome.queues),
        outcome.declare_s
    );
    if let Some(cpu_us) = outcome.cpu_us_per_queue {
        println!(
            "broker      {} of CPU and {} of memory per queue",
            text::duration_us(cpu_us),
            text::memory_of_each(outcome.memory_octets_per_queue)
        );
    }
    println!("own CPU     {} per queue", text::duration_us(outcome.own_cpu_us_per_queue));
    match &args.output.json {
        Some(path) => json::write(path, "queues", plan, &outcome),
        None => Ok(()),
    }
}
