//! Names for things that RabbitMQ would show as Erlang processes.
//!
//! Operators copy `<rabbit@host.1795344891.12905.0>` from a list into `close_connection`. Ours
//! look the same: node, second of the broker's start, number, kind. A connection's last part is
//! 0, a channel's is its channel number, a queue's is 65536.

use haremq_engine::ids::{ConnectionId, QueueId};

use crate::control::NodeFacts;

/// Last part of a queue's name; greater than any channel number.
const QUEUE: u32 = 65_536;

/// Makes names of this run of the broker.
#[derive(Clone, Copy, Debug)]
pub struct Pids<'a> {
    facts: &'a NodeFacts,
}

impl<'a> Pids<'a> {
    pub fn new(facts: &'a NodeFacts) -> Self {
        Pids { facts }
    }

    pub fn connection(&self, connection: ConnectionId) -> String {
        self.name(connection.serial(), 0)
    }

    pub fn channel(&self, connection: ConnectionId, channel: u16) -> String {
        self.name(connection.serial(), u32::from(channel))
    }

    pub fn queue(&self, queue: QueueId) -> String {
        self.name(queue.0, QUEUE)
    }

    fn name(&self, number: u64, last: u32) -> String {
        let NodeFacts { node, started_unix_ms, .. } = self.facts;
        format!("<{node}.{}.{number}.{last}>", started_unix_ms / 1000)
    }
}

/// Whether the text has the form of a process name, of whatever node: `<node.n.n.n>`.
pub fn is_pid(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) else {
        return false;
    };
    let mut parts = inner.rsplitn(4, '.');
    let numbers = parts.by_ref().take(3).filter(|part| is_number(part)).count();
    numbers == 3 && parts.next().is_some()
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use haremq_engine::ids::ShardId;

    use super::*;

    fn facts() -> NodeFacts {
        NodeFacts {
            node: "haremq@host.example".to_owned(),
            shards: 2,
            data_dir: String::new(),
            config_file: None,
            listeners: Vec::new(),
            ssl_listeners: Vec::new(),
            management: None,
            started_unix_ms: 1_795_344_891_250,
        }
    }

    #[test]
    fn connection_channel_and_queue_with_one_number_have_different_names() {
        let facts = facts();
        let pids = Pids::new(&facts);
        let connection = ConnectionId::new(ShardId(1), 7);
        assert_eq!(pids.connection(connection), "<haremq@host.example.1795344891.7.0>");
        assert_eq!(pids.channel(connection, 2), "<haremq@host.example.1795344891.7.2>");
        assert_eq!(pids.queue(QueueId(7)), "<haremq@host.example.1795344891.7.65536>");
        assert!(is_pid(&pids.connection(connection)));
    }

    #[test]
    fn what_has_no_node_is_not_a_process_name() {
        assert!(!is_pid("<0.0.0>"));
        assert!(!is_pid("foo"));
        assert!(!is_pid("<a@b.1.x.0>"));
        assert!(!is_pid("a@b.1.2.0"));
        assert!(is_pid("<ft@localhost.1795344891.12896.0>"));
    }
}
