//! What a shard answers when the management thread asks.

use std::rc::Rc;

use haremq_engine::ids::{QueueId, ShardId};

use super::cell::ConnectionCell;
use super::desk::{consumer_report, queue_report};
use super::host::Host;
use super::shard::ShardRuntime;
use crate::amqp::{Broker, Connection};
use crate::control::{ControlRequest, Definitions, ShardReport};

/// Answers at once, or starts what leads to an answer. That nobody waits for an answer any more
/// is no error, so the results of sending them are not looked at.
pub(super) fn answer(runtime: &Rc<ShardRuntime>, request: ControlRequest) {
    match request {
        ControlRequest::Topology { request, reply } => {
            if runtime.shard != ShardId::TOPOLOGY_WRITER {
                // Dropping the reply tells the sender that this was the wrong door.
                return tracing::error!("a topology change was sent to a shard that has no say");
            }
            runtime.turn(None, |host| {
                let ticket = host.desk.ticket(reply);
                host.topology_request(ticket, request);
            });
        }
        ControlRequest::Definitions { wanted, reply } => {
            let _ = reply.send(Definitions::of(runtime.host.borrow().shard.topology(), &wanted));
        }
        ControlRequest::Queue { queue, reply } => {
            let stats = runtime.host.borrow().shard.queue_stats(queue);
            let _ = reply.send(stats.as_ref().map(queue_report));
        }
        ControlRequest::Queues { reply } => {
            let stats = runtime.host.borrow().shard.all_queue_stats();
            let _ = reply.send(stats.iter().map(queue_report).collect());
        }
        ControlRequest::Connections { reply } => {
            let _ = reply.send(each(runtime, |connection| vec![connection.report()]));
        }
        ControlRequest::Channels { reply } => {
            let _ = reply.send(each(runtime, Connection::channel_reports));
        }
        ControlRequest::Consumers { reply } => {
            let host = runtime.host.borrow();
            let consumers = host.shard.consumers().into_iter();
            let topology = host.shard.topology();
            let reports = consumers.filter_map(|stats| consumer_report(stats, topology));
            let _ = reply.send(reports.collect());
        }
        ControlRequest::CloseConnection { connection, reason, reply } => {
            let found = runtime.turn(None, |host| {
                let cell = host.world.find(connection).cloned();
                if let Some(cell) = &cell {
                    let mut view = host.view();
                    cell.with(|connection| connection.shutdown(&reason, &mut view));
                    host.world.touch(cell);
                }
                cell.is_some()
            });
            let _ = reply.send(found);
        }
        ControlRequest::SetPrefetch { connection, channel, whose, prefetch, reply } => {
            let done = runtime.turn(None, |host| {
                let cell = host.world.find(connection).cloned();
                let Some(cell) = cell else { return false };
                let mut view = host.view();
                let change = |connection: &mut Connection| {
                    connection.change_prefetch(channel, &whose, prefetch, &mut view)
                };
                let done = cell.with(change).unwrap_or(false);
                host.world.touch(&cell);
                done
            });
            let _ = reply.send(done);
        }
        ControlRequest::PurgeQueue { queue, reply } => runtime.turn(None, |host| {
            if owns(host, queue) {
                let command = host.desk.purge(queue, reply);
                host.command(command);
            } else {
                let _ = reply.send(None);
            }
        }),
        ControlRequest::DeleteQueue { queue, if_unused, if_empty, reply } => {
            runtime.turn(None, |host| {
                let command = host.desk.delete(queue, if_unused, if_empty, reply);
                host.command(command);
            });
        }
        ControlRequest::Latencies { reply } => {
            let _ = reply.send(Box::new(runtime.host.borrow().latencies.clone()));
        }
        ControlRequest::Status { reply } => {
            let _ = reply.send(status(runtime));
        }
    }
}

fn owns(host: &Host, queue: QueueId) -> bool {
    host.shard.queue_stats(queue).is_some()
}

fn each<T>(runtime: &Rc<ShardRuntime>, report: impl Fn(&Connection) -> Vec<T>) -> Vec<T> {
    let host = runtime.host.borrow();
    let of = |cell: &Rc<ConnectionCell>| cell.with(|connection| report(connection));
    host.world.connections.values().filter_map(of).flatten().collect()
}

fn status(runtime: &Rc<ShardRuntime>) -> ShardReport {
    let mut host = runtime.host.borrow_mut();
    let blocked = host.view().publishers_blocked();
    let space = host.shard.log_space();
    let paged = host.shard.index_paged();
    ShardReport {
        live_bytes: space.live_octets,
        copied_bytes: space.copied_octets,
        connections: host.world.connections.len() as u64,
        arrivals: runtime.arrivals.get(),
        queues: host.shard.queue_count() as u64,
        disk_bytes: runtime.segments.bytes(),
        segments: space.segments,
        is_out_of_space: space.is_out_of_space,
        memory_bytes: host.shard.memory_bytes() as u64,
        index_bytes: host.shard.index_bytes() as u64,
        index_paged_bytes: paged.octets,
        index_file_bytes: paged.store_bytes,
        index_refusals: paged.refusals,
        blocked,
    }
}
