//! The channel's own prefetch: basic.qos with global=true (behaviour A85).
//!
//! One limit spans all consumers of the channel, whose queues may be on several shards. The
//! channel rations it: a queue's owner tells when a message waits for a grant
//! (`Notice::Wants`), the channel grants what is free (`Command::Grant`), and the owner hands back
//! what it has no message for. So `held + granted <= limit` at every moment on every shard.

use std::collections::VecDeque;

/// A grant that is to be sent: serial of the consumer, number of deliveries.
pub(crate) type Grant = (u32, u32);

#[derive(Debug, Default)]
pub(crate) struct ChannelLimit {
    /// 0: none.
    limit: u32,
    /// Granted and neither delivered nor handed back.
    granted: u32,
    /// Consumers with a message that waits for a grant, each once, in the order of asking.
    wanting: VecDeque<u32>,
}

impl ChannelLimit {
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Takes effect for grants from now on; a lower limit takes nothing back.
    pub(crate) fn set(&mut self, limit: u32) {
        self.limit = limit;
    }

    pub(crate) fn wants(&mut self, consumer: u32) {
        if !self.wanting.contains(&consumer) {
            self.wanting.push_back(consumer);
        }
    }

    /// A granted delivery was made, or its grant came back unused, or its consumer has gone.
    pub(crate) fn grant_ended(&mut self, count: u32) {
        self.granted = self.granted.saturating_sub(count);
    }

    pub(crate) fn forget(&mut self, consumer: u32) {
        self.wanting.retain(|serial| *serial != consumer);
    }

    /// The next grant, if anything is free. `held` counts unsettled deliveries of consumers. What
    /// is free is shared by those that want it; a later one gets a share of what comes free.
    pub(crate) fn next_grant(&mut self, held: u32) -> Option<Grant> {
        let free = match self.limit {
            0 => u32::MAX,
            limit => limit.saturating_sub(held).saturating_sub(self.granted),
        };
        if free == 0 {
            return None;
        }
        let wanting = self.wanting.len() as u32;
        let consumer = self.wanting.pop_front()?;
        let share = match self.limit {
            // Rationed no longer, but the owner still waits for grants.
            0 => Self::UNLIMITED,
            _ => (free / wanting).max(1),
        };
        self.granted = self.granted.saturating_add(share);
        Some((consumer, share))
    }

    /// A grant where there is no limit.
    const UNLIMITED: u32 = 1 << 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_and_held_deliveries_never_exceed_the_limit() {
        let mut limit = ChannelLimit::default();
        limit.set(5);
        limit.wants(1);
        limit.wants(2);
        limit.wants(1);
        assert_eq!(limit.next_grant(0), Some((1, 2)));
        assert_eq!(limit.next_grant(0), Some((2, 3)));
        assert_eq!(limit.next_grant(0), None);
        limit.grant_ended(2);
        limit.wants(1);
        assert_eq!(limit.next_grant(2), None, "delivered deliveries are held");
        assert_eq!(limit.next_grant(1), Some((1, 1)));
    }

    #[test]
    fn a_grant_that_was_handed_back_can_go_to_another_consumer() {
        let mut limit = ChannelLimit::default();
        limit.set(1);
        limit.wants(1);
        assert_eq!(limit.next_grant(0), Some((1, 1)));
        limit.wants(2);
        assert_eq!(limit.next_grant(0), None);
        limit.grant_ended(1);
        assert_eq!(limit.next_grant(0), Some((2, 1)));
    }

    #[test]
    fn a_consumer_that_has_gone_gets_nothing() {
        let mut limit = ChannelLimit::default();
        limit.set(1);
        limit.wants(1);
        limit.forget(1);
        assert_eq!(limit.next_grant(0), None);
    }
}
