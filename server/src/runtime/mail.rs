//! The mail task of a shard: rings from other shards, letters from other threads.

use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::Task;

use super::acceptor::accept;
use super::connection::go_on;
use super::mailbox::Letter;
use super::requests;
use super::shard::ShardRuntime;
use super::stage::Event;

/// Batches taken from the rings in one turn.
const BATCHES_PER_TURN: usize = 16;
/// How long clients may take to answer the close of a stopping broker.
const GOODBYE_MAX: Duration = Duration::from_secs(3);
/// How often a stopping shard looks whether it is done.
const STOP_POLL: Duration = Duration::from_millis(2);
/// What clients are told (behaviour A28).
pub(super) const SHUTDOWN_REASON: &str = "broker forced connection closure with reason 'shutdown'";

/// Runs until the shard is told to end.
pub(super) async fn run(runtime: Rc<ShardRuntime>) {
    let mut acceptors = Vec::new();
    loop {
        runtime.lookout.mail().await;
        runtime.enter();
        while let Some(letter) = runtime.mailbox().take() {
            if matches!(letter, Letter::End) {
                runtime.mailbox().close();
                return;
            }
            open(&runtime, letter, &mut acceptors);
        }
        let arrivals = runtime.turn(None, |host| {
            for _ in 0..BATCHES_PER_TURN {
                let Some((from, mut batch)) = host.world.port.receive() else { break };
                host.receive_batch(from, &mut batch);
                host.world.port.give_back(from, batch);
            }
            host.take_arrivals()
        });
        for transfer in arrivals {
            go_on(&runtime, transfer);
        }
        if runtime.budget.is_spent() {
            runtime.lookout.breathe().await;
        }
    }
}

fn open(runtime: &Rc<ShardRuntime>, letter: Letter, acceptors: &mut Vec<Task<()>>) {
    match letter {
        Letter::Control(request) => requests::answer(runtime, request),
        Letter::Listen(turnstiles) => {
            let accepting = |one| glommio::spawn_local(accept(runtime.clone(), one));
            acceptors.extend(turnstiles.into_iter().map(accepting));
        }
        Letter::CloseConnections => {
            runtime.begin_stopping();
            // When the last shard has dropped its tasks, the listening sockets are closed.
            acceptors.clear();
            glommio::spawn_local(close_connections(runtime.clone())).detach();
        }
        Letter::Flush => {
            glommio::spawn_local(flush(runtime.clone())).detach();
        }
        Letter::End => {}
    }
}

/// Says goodbye to every client and waits for their answers, within bounds.
async fn close_connections(runtime: Rc<ShardRuntime>) {
    runtime.turn(None, |host| {
        let cells: Vec<_> = host.world.connections.values().cloned().collect();
        for cell in cells {
            let mut view = host.view();
            cell.with(|connection| connection.shutdown(SHUTDOWN_REASON, &mut view));
            host.world.touch(&cell);
        }
    });
    let started = Instant::now();
    while !runtime.host.borrow().world.connections.is_empty() {
        if started.elapsed() >= GOODBYE_MAX {
            runtime.cut_off();
        }
        runtime.lookout.nap(STOP_POLL).await;
    }
    runtime.report(Event::Emptied);
}

/// Makes everything durable. The main thread bounds the wait.
async fn flush(runtime: Rc<ShardRuntime>) {
    runtime.turn(None, |host| host.stop());
    loop {
        let quiet = runtime.turn(None, |host| host.is_quiet());
        if quiet {
            runtime.report(Event::Flushed);
            return;
        }
        runtime.lookout.nap(STOP_POLL).await;
    }
}
