//! How many more deliveries a consumer may take.

use crate::mail::Credit;

/// One consumer's allowance, counted by the queue's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Unsettled deliveries it may hold; 0: any number.
    limit: u32,
    /// Unsettled deliveries it holds.
    held: u32,
    /// Deliveries that its channel has granted and that were not made yet; `None`: the channel
    /// does not ration them.
    granted: Option<u32>,
    /// No delivery is ever settled: none is held.
    no_ack: bool,
}

impl Allowance {
    pub(super) fn new(credit: Credit, no_ack: bool) -> Self {
        let (limit, granted) = match credit {
            Credit::Unlimited => (0, None),
            Credit::Prefetch(limit) => (limit, None),
            Credit::Granted { prefetch } => (prefetch, Some(0)),
        };
        // No delivery is held until it is settled.
        let limit = if no_ack { 0 } else { limit };
        Allowance { limit, held: 0, granted, no_ack }
    }

    /// Deliveries that may be made now; `u64::MAX`: any number.
    #[inline]
    pub(super) fn spare(&self) -> u64 {
        let by_limit = match self.limit {
            0 => u64::MAX,
            limit => u64::from(limit.saturating_sub(self.held)),
        };
        by_limit.min(self.granted.map_or(u64::MAX, u64::from))
    }

    /// So many deliveries are being made.
    #[inline]
    pub(super) fn spend(&mut self, count: u32) {
        if !self.no_ack {
            self.held += count;
        }
        if let Some(granted) = &mut self.granted {
            *granted -= count;
        }
    }

    /// So many deliveries have been settled.
    pub(super) fn restore(&mut self, count: u32) {
        self.held = self.held.saturating_sub(count);
    }

    /// The channel allows more.
    pub(super) fn grant(&mut self, more: u32) {
        if let Some(granted) = &mut self.granted {
            *granted = granted.saturating_add(more);
        }
    }

    /// From now on the channel rations deliveries. True if it did not before.
    pub(super) fn ration(&mut self) -> bool {
        if self.granted.is_some() {
            return false;
        }
        self.granted = Some(0);
        true
    }

    /// Gives unused grants back: nothing is there to be delivered.
    pub(super) fn hand_back(&mut self) -> u32 {
        self.granted.as_mut().map_or(0, std::mem::take)
    }

    pub(super) fn set_limit(&mut self, limit: u32) {
        if !self.no_ack {
            self.limit = limit;
        }
    }

    /// True if nothing but the channel's grant stands in the way of a delivery.
    #[inline]
    pub(super) fn lacks_only_grant(&self) -> bool {
        self.granted == Some(0) && (self.limit == 0 || self.held < self.limit)
    }

    /// True if the channel rations deliveries.
    pub(super) fn is_rationed(&self) -> bool {
        self.granted.is_some()
    }

    /// True if grants lie unused here.
    pub(super) fn holds_grant(&self) -> bool {
        self.granted.is_some_and(|granted| granted > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_counts_unsettled_deliveries() {
        let mut allowance = Allowance::new(Credit::Prefetch(2), false);
        allowance.spend(1);
        allowance.spend(1);
        assert_eq!(allowance.spare(), 0);
        allowance.restore(1);
        assert_eq!(allowance.spare(), 1);
    }

    #[test]
    fn auto_ack_consumer_has_no_limit_whatever_it_asked_for() {
        let mut allowance = Allowance::new(Credit::Prefetch(1), true);
        for _ in 0..10 {
            allowance.spend(1);
        }
        assert_eq!(allowance.spare(), u64::MAX);
    }

    #[test]
    fn settling_does_not_renew_a_grant() {
        let mut allowance = Allowance::new(Credit::Granted { prefetch: 0 }, false);
        assert!(allowance.lacks_only_grant());
        allowance.grant(1);
        allowance.spend(1);
        allowance.restore(1);
        assert_eq!(allowance.spare(), 0);
    }

    #[test]
    fn lower_limit_takes_effect_below_what_is_held() {
        let mut allowance = Allowance::new(Credit::Unlimited, false);
        for _ in 0..5 {
            allowance.spend(1);
        }
        allowance.set_limit(3);
        assert_eq!(allowance.spare(), 0);
        for _ in 0..3 {
            allowance.restore(1);
        }
        assert_eq!(allowance.spare(), 1);
    }
}
