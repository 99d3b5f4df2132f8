//! Exchange, queues and bindings of a run, and who publishes to which. Naming and arithmetic are pure;
//! [`Layout::declare`] and [`Layout::remove`] talk to the broker.
//!
//! Queues form groups of as many queues as a message reaches; a group is what a producer publishes to. A
//! stream is one producer publishing to one group, with sequence numbers of its own.

use crate::error::{PlanError, Result};
use crate::load::plan::{ExchangeKind, LoadPlan};
use crate::producer::image::Target;
use crate::session::Session;
use crate::wire::table::{Table, Value};

/// The header that headers exchanges match on.
const GROUP_HEADER: &str = "group";

/// The entities of a run.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    exchange: String,
    kind: ExchangeKind,
    durable: bool,
    extra_bindings: u32,
    queue_arguments: Table,
    /// Queue names.
    pub(crate) queues: Vec<String>,
    reach: u32,
    /// The group of each stream.
    stream_groups: Vec<u32>,
    /// The streams of each producer.
    producer_streams: Vec<Vec<u16>>,
}

impl Layout {
    /// Works out names and streams.
    pub(crate) fn new(plan: &LoadPlan) -> Result<Layout, PlanError> {
        let reach = plan.reach();
        let groups = plan.queues / reach;
        let mut stream_groups = Vec::new();
        let mut producer_streams = Vec::new();
        for producer in 0..plan.producers {
            let own = (0..groups).filter(|group| match plan.producers < groups {
                true => group % plan.producers == producer,
                false => *group == producer % groups,
            });
            let first = stream_groups.len();
            stream_groups.extend(own);
            producer_streams.push((first..stream_groups.len()).map(|id| id as u16).collect());
        }
        if stream_groups.len() > usize::from(u16::MAX) {
            return Err(PlanError::TooManyStreams(stream_groups.len()));
        }
        Ok(Layout {
            exchange: match plan.exchange {
                ExchangeKind::Default => String::new(),
                _ => format!("{}-x", plan.prefix),
            },
            kind: plan.exchange,
            durable: plan.durable,
            extra_bindings: plan.extra_bindings,
            queue_arguments: plan.queue_arguments.clone(),
            queues: (0..plan.queues).map(|queue| format!("{}-{queue}", plan.prefix)).collect(),
            reach,
            stream_groups,
            producer_streams,
        })
    }

    /// Streams in all.
    pub(crate) fn streams(&self) -> u16 {
        self.stream_groups.len() as u16
    }

    /// Queues that each message reaches.
    pub(crate) fn reach(&self) -> u32 {
        self.reach
    }

    /// What a producer publishes to.
    pub(crate) fn targets(&self, producer: u32) -> Vec<Target> {
        let streams = self.producer_streams.get(producer as usize);
        let streams = streams.map(Vec::as_slice).unwrap_or_default();
        streams.iter().map(|stream| self.target(*stream)).collect()
    }

    fn target(&self, stream: u16) -> Target {
        let group = self.stream_groups[usize::from(stream)];
        let (key, headers) = match self.kind {
            ExchangeKind::Default => (self.queues[group as usize].clone(), Table::default()),
            ExchangeKind::Headers => (String::new(), group_header(group)),
            ExchangeKind::Direct | ExchangeKind::Fanout => (format!("{group}"), Table::default()),
            ExchangeKind::Topic => (format!("perf.{group}.message"), Table::default()),
        };
        Target { stream, exchange: self.exchange.clone(), key, headers }
    }

    /// The streams whose messages a queue takes.
    pub(crate) fn streams_into(&self, queue: u32) -> impl Iterator<Item = u16> + '_ {
        let group = queue / self.reach;
        (0..).zip(&self.stream_groups).filter(move |(_, of)| **of == group).map(|(id, _)| id)
    }

    /// Declares and binds everything.
    pub(crate) fn declare(&self, session: &mut Session) -> Result<()> {
        if let Some(kind) = self.kind.type_name() {
            session.declare_exchange(&self.exchange, kind, self.durable)?;
        }
        for (index, queue) in (0..).zip(&self.queues) {
            session.declare_queue(queue, self.durable, &self.queue_arguments)?;
            if self.kind != ExchangeKind::Default {
                let (key, arguments) = self.binding(index / self.reach);
                session.bind(queue, &self.exchange, &key, &arguments)?;
                for extra in 0..self.extra_bindings {
                    let (key, arguments) = self.idle_binding(extra);
                    session.bind(queue, &self.exchange, &key, &arguments)?;
                }
            }
        }
        Ok(())
    }

    fn binding(&self, group: u32) -> (String, Table) {
        match self.kind {
            ExchangeKind::Topic => (format!("perf.{group}.#"), Table::default()),
            ExchangeKind::Headers => {
                (String::new(), group_header(group).with("x-match", Value::Text("all".into())))
            }
            _ => (format!("{group}"), Table::default()),
        }
    }

    /// A binding that no message matches (on a fanout exchange, one that brings no queue more).
    fn idle_binding(&self, number: u32) -> (String, Table) {
        match self.kind {
            ExchangeKind::Topic => (format!("idle.*.{number}.#"), Table::default()),
            ExchangeKind::Headers => {
                let header = Table::default().with("idle", Value::Integer(i64::from(number)));
                (String::new(), header.with("x-match", Value::Text("all".into())))
            }
            _ => (format!("idle-{number}"), Table::default()),
        }
    }

    /// Deletes everything.
    pub(crate) fn remove(&self, session: &mut Session) -> Result<()> {
        for queue in &self.queues {
            session.delete_queue(queue)?;
        }
        if self.kind != ExchangeKind::Default {
            session.delete_exchange(&self.exchange)?;
        }
        Ok(())
    }
}

fn group_header(group: u32) -> Table {
    Table::default().with(GROUP_HEADER, Value::Integer(i64::from(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(producers: u32, queues: u32, exchange: ExchangeKind, fan_out: u32) -> Layout {
        let mut plan = LoadPlan::new("amqp://127.0.0.1".parse().unwrap());
        (plan.producers, plan.queues) = (producers, queues);
        (plan.exchange, plan.fan_out) = (exchange, fan_out);
        plan.prefix = "p".into();
        Layout::new(&plan).unwrap()
    }

    #[test]
    fn every_queue_is_published_to_even_by_few_producers() {
        let layout = layout(2, 5, ExchangeKind::Default, 1);
        let keys = |producer| {
            layout.targets(producer).into_iter().map(|target| target.key).collect::<Vec<_>>()
        };
        assert_eq!(keys(0), ["p-0", "p-2", "p-4"]);
        assert_eq!(keys(1), ["p-1", "p-3"]);
        assert_eq!(layout.streams_into(3).collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn many_producers_share_queues_with_a_stream_each() {
        let layout = layout(5, 2, ExchangeKind::Default, 1);
        assert_eq!(layout.streams(), 5);
        assert_eq!(layout.streams_into(0).collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(layout.streams_into(1).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn fanout_brings_every_stream_to_every_queue_and_groups_only_to_theirs() {
        let fanout = layout(2, 5, ExchangeKind::Fanout, 1);
        assert_eq!(fanout.reach(), 5);
        assert_eq!(fanout.streams_into(4).collect::<Vec<_>>(), [0, 1]);
        let topic = layout(2, 6, ExchangeKind::Topic, 3);
        assert_eq!(topic.targets(1)[0].key, "perf.1.message");
        assert_eq!(topic.streams_into(2).collect::<Vec<_>>(), [0]);
        assert_eq!(topic.streams_into(3).collect::<Vec<_>>(), [1]);
    }
}
