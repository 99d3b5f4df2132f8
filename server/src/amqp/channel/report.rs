//! What listings show of a channel.

use super::Channel;
use crate::amqp::session::Session;
use crate::control::ChannelReport;

impl Channel {
    pub(crate) fn report(&self, connection_name: String, session: &Session) -> ChannelReport {
        let (messages_uncommitted, acks_uncommitted) = self.uncommitted();
        let transactional = self.publisher.is_transactional();
        ChannelReport {
            connection: self.key.connection,
            connection_name,
            number: self.key.channel,
            user: session.user.clone(),
            vhost: session.vhost.clone(),
            consumer_count: self.consumers.len() as u64,
            messages_unacknowledged: (self.unacked.waiting() + self.unacked.held()) as u64,
            messages_unconfirmed: match transactional {
                true => 0,
                false => self.publisher.confirms.outstanding() as u64,
            },
            messages_uncommitted: messages_uncommitted as u64,
            acks_uncommitted: acks_uncommitted as u64,
            prefetch_count: self.prefetch,
            global_prefetch_count: self.limit.limit(),
            confirm: self.publisher.is_confirming(),
            transactional,
            state: if self.closing { "closing" } else { "running" },
        }
    }
}
