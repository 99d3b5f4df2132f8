//! Whole calls, against a real management port: text and exit code as recorded from rabbitmqctl
//! 3.10.8. A call that prints to both outputs is shown with standard error after standard output.

mod lists;
mod lives;
mod node;
mod refusals;

use haremq_engine::table::{Table, Value};

use super::*;
use crate::management::testing::FakeBroker;

/// Line of a shell, split at blanks; `''` is an empty word.
fn words(line: &str) -> Vec<String> {
    line.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace("''", "")).collect()
}

struct Outcome {
    out: String,
    err: String,
    exit: u8,
}

fn run_with(environment: &Environment, line: &[String], secret: Option<&str>) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut ask = || secret.map(str::to_owned);
    let mut console = Console::new(&mut out, &mut err, &mut ask);
    let exit = run(line, environment, &mut console).code();
    let text = |octets| String::from_utf8(octets).expect("text");
    Outcome { out: text(out), err: text(err), exit }
}

fn environment(broker: &FakeBroker) -> Environment {
    Environment {
        url: Some(broker.url()),
        data_dir: Some("/nonexistent".to_owned()),
        ..Environment::default()
    }
}

fn call(broker: &FakeBroker, line: &str) -> Outcome {
    run_with(&environment(broker), &words(line), None)
}

/// What a call printed and how it ended, as the records have it.
fn record(broker: &FakeBroker, line: &str) -> String {
    let Outcome { out, err, exit } = call(broker, line);
    format!("{out}{err}[exit {exit}]")
}

/// A queue with a consumer, a connection, a user: what the records were made with.
fn demo() -> FakeBroker {
    let broker = FakeBroker::start();
    {
        let mut world = broker.world();
        let ttl = Table(vec![("x-message-ttl".into(), Value::I32(60_000))]);
        let queue = world.add_queue("demo", ttl, [1, 2]);
        let connection = world.add_connection(12896, "guest");
        world.add_consumer(queue, connection);
    }
    broker
}
