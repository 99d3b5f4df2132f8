//! Questions to the shards, asked of one or of all of them, with a deadline.
//!
//! The only place of the management port that sends [`ControlRequest`]s.

use std::sync::Arc;
use std::time::Duration;

use haremq_engine::ids::{ConnectionId, QueueId, ShardId};
use haremq_engine::queue::QueueError;
use haremq_engine::topology::{Queue, TopologyError, TopologyOutcome, TopologyRequest};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::control::{
    ChannelReport, ConnectionReport, ConsumerReport, Control, ControlRequest, Definitions,
    NodeFacts, PrefetchOf, QueueReport, ShardReport, Stopping, Wanted,
};
use crate::latency::Latencies;

/// How long a shard may take to answer. It is busy with messages first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// All shards of the broker.
#[derive(Clone)]
pub(super) struct Shards {
    control: Control,
}

impl Shards {
    pub(super) fn new(control: Control) -> Self {
        Shards { control }
    }

    pub(super) fn facts(&self) -> &NodeFacts {
        &self.control.facts
    }

    /// Sends to one shard and waits for its answer.
    async fn ask<T>(
        &self,
        shard: ShardId,
        request: impl FnOnce(oneshot::Sender<T>) -> ControlRequest,
    ) -> Result<T, Stopping> {
        let port = self.control.ports.get(usize::from(shard.0)).ok_or(Stopping)?;
        let (reply, answer) = oneshot::channel();
        port.send(request(reply))?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(Stopping),
        }
    }

    /// Sends to every shard at once and waits for all answers, in shard order.
    async fn ask_all<T>(
        &self,
        request: impl Fn(oneshot::Sender<T>) -> ControlRequest,
    ) -> Result<Vec<T>, Stopping> {
        let mut pending = Vec::with_capacity(self.control.ports.len());
        for port in self.control.ports.iter() {
            let (reply, answer) = oneshot::channel();
            port.send(request(reply))?;
            pending.push(answer);
        }
        let collect = async {
            let mut answers = Vec::with_capacity(pending.len());
            for answer in pending {
                answers.push(answer.await.map_err(|_| Stopping)?);
            }
            Ok(answers)
        };
        tokio::time::timeout(ANSWER_TIMEOUT, collect).await.unwrap_or(Err(Stopping))
    }

    /// A copy of that part of what exists, as the topology writer sees it.
    pub(super) async fn definitions(&self, wanted: Wanted) -> Result<Definitions, Stopping> {
        self.ask(ShardId::TOPOLOGY_WRITER, |reply| ControlRequest::Definitions { wanted, reply })
            .await
    }

    pub(super) async fn queue(
        &self,
        vhost: &str,
        name: &str,
    ) -> Result<Option<Arc<Queue>>, Stopping> {
        let wanted = Wanted::Queue { vhost: vhost.into(), name: name.into() };
        Ok(self.definitions(wanted).await?.queues.pop())
    }

    /// One queue's numbers; `None`: it has gone meanwhile.
    pub(super) async fn queue_report(
        &self,
        queue: &Queue,
    ) -> Result<Option<QueueReport>, Stopping> {
        let id = queue.id;
        self.ask(queue.owner, |reply| ControlRequest::Queue { queue: id, reply }).await
    }

    /// Changes the topology; done on every shard when this returns.
    pub(super) async fn topology(
        &self,
        request: TopologyRequest,
    ) -> Result<Result<TopologyOutcome, TopologyError>, Stopping> {
        self.ask(ShardId::TOPOLOGY_WRITER, |reply| ControlRequest::Topology { request, reply })
            .await
    }

    /// Every queue's numbers.
    pub(super) async fn queue_reports(&self) -> Result<FxHashMap<QueueId, QueueReport>, Stopping> {
        let reports = self.ask_all(|reply| ControlRequest::Queues { reply }).await?;
        Ok(reports.into_iter().flatten().map(|report| (report.id, report)).collect())
    }

    pub(super) async fn connections(&self) -> Result<Vec<ConnectionReport>, Stopping> {
        let mut reports =
            flatten(self.ask_all(|reply| ControlRequest::Connections { reply }).await?);
        reports.sort_by_key(|report| report.id.serial());
        Ok(reports)
    }

    pub(super) async fn channels(&self) -> Result<Vec<ChannelReport>, Stopping> {
        let mut reports = flatten(self.ask_all(|reply| ControlRequest::Channels { reply }).await?);
        reports.sort_by_key(|report| (report.connection.serial(), report.number));
        Ok(reports)
    }

    pub(super) async fn consumers(&self) -> Result<Vec<ConsumerReport>, Stopping> {
        Ok(flatten(self.ask_all(|reply| ControlRequest::Consumers { reply }).await?))
    }

    /// Each shard's totals, in shard order.
    pub(super) async fn status(&self) -> Result<Vec<ShardReport>, Stopping> {
        self.ask_all(|reply| ControlRequest::Status { reply }).await
    }

    /// How long things take, in shard order.
    pub(super) async fn latencies(&self) -> Result<Vec<Box<Latencies>>, Stopping> {
        self.ask_all(|reply| ControlRequest::Latencies { reply }).await
    }

    /// False: there is no such connection (any more).
    pub(super) async fn close_connection(
        &self,
        connection: ConnectionId,
        reason: Arc<str>,
    ) -> Result<bool, Stopping> {
        self.ask(connection.shard(), |reply| ControlRequest::CloseConnection {
            connection,
            reason,
            reply,
        })
        .await
    }

    /// False: there is no such channel or consumer (any more).
    pub(super) async fn set_prefetch(
        &self,
        channel: (ConnectionId, u16),
        whose: PrefetchOf,
        prefetch: u16,
    ) -> Result<bool, Stopping> {
        let (connection, channel) = channel;
        self.ask(connection.shard(), |reply| ControlRequest::SetPrefetch {
            connection,
            channel,
            whose,
            prefetch,
            reply,
        })
        .await
    }

    /// How many messages were dropped; `None`: the queue has gone.
    pub(super) async fn purge_queue(&self, queue: &Queue) -> Result<Option<u64>, Stopping> {
        let id = queue.id;
        self.ask(queue.owner, |reply| ControlRequest::PurgeQueue { queue: id, reply }).await
    }

    /// How many messages went with the queue.
    pub(super) async fn delete_queue(
        &self,
        queue: &Queue,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<Result<u64, QueueError>, Stopping> {
        let id = queue.id;
        self.ask(queue.owner, |reply| ControlRequest::DeleteQueue {
            queue: id,
            if_unused,
            if_empty,
            reply,
        })
        .await
    }
}

fn flatten<T>(answers: Vec<Vec<T>>) -> Vec<T> {
    answers.into_iter().flatten().collect()
}
