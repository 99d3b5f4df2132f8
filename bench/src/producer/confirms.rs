//! Publishes that wait for their confirm, and when each was sent. Pure.

use std::collections::VecDeque;

use crate::error::{PerfError, Result};
use crate::latency::Recorder;

/// Stands in the queue for a publish that was confirmed before an earlier one.
const CONFIRMED: u64 = u64::MAX;

/// The outstanding publishes of one channel, in order.
#[derive(Debug)]
pub(crate) struct Confirms {
    /// Publish number of the front entry; the channel counts from 1.
    first: u64,
    sent_ns: VecDeque<u64>,
    outstanding: u64,
}

impl Default for Confirms {
    fn default() -> Confirms {
        Confirms { first: 1, sent_ns: VecDeque::new(), outstanding: 0 }
    }
}

impl Confirms {
    /// Publishes without a confirm.
    pub(crate) fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Notes `count` publishes, the first, second, ... sent at the times that `sent_ns` gives.
    pub(crate) fn note(&mut self, count: u64, sent_ns: impl Fn(u64) -> u64) {
        self.sent_ns.extend((0..count).map(sent_ns));
        self.outstanding += count;
    }

    /// Takes a basic.ack, or a basic.nack without a recorder. Returns how many publishes it settled.
    pub(crate) fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        now_ns: u64,
        mut recorder: Option<&mut Recorder>,
    ) -> Result<u64> {
        let position = tag.checked_sub(self.first).filter(|at| *at < self.sent_ns.len() as u64);
        let mut record = |sent_ns: u64| {
            if let Some(recorder) = recorder.as_deref_mut() {
                recorder.record(now_ns.saturating_sub(sent_ns), 1);
            }
        };
        let mut settled = 0;
        match position {
            // Multiple with tag 0, or below what is settled already, settles what there is below it: nothing.
            None if multiple && tag < self.first && tag > 0 => {}
            None if multiple && tag == 0 => {
                let all = self.first + self.sent_ns.len() as u64 - 1;
                if all >= self.first {
                    return self.settle(all, true, now_ns, recorder);
                }
            }
            None => return Err(PerfError::UnknownConfirm(tag)),
            Some(position) if multiple => {
                for sent_ns in self.sent_ns.drain(..=position as usize) {
                    if sent_ns != CONFIRMED {
                        record(sent_ns);
                        settled += 1;
                    }
                }
                self.first = tag + 1;
            }
            Some(position) => {
                let slot = &mut self.sent_ns[position as usize];
                if *slot == CONFIRMED {
                    return Err(PerfError::UnknownConfirm(tag));
                }
                record(*slot);
                *slot = CONFIRMED;
                settled = 1;
            }
        }
        while self.sent_ns.front() == Some(&CONFIRMED) {
            self.sent_ns.pop_front();
            self.first += 1;
        }
        self.outstanding -= settled;
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confirms(count: u64) -> Confirms {
        let mut confirms = Confirms::default();
        confirms.note(count, |index| 1_000_000 * (index + 1));
        confirms
    }

    #[test]
    fn multiple_settles_all_up_to_it_with_the_latency_of_each() {
        let mut confirms = confirms(10);
        let mut recorder = Recorder::default();
        assert_eq!(confirms.settle(4, true, 5_000_000, Some(&mut recorder)).unwrap(), 4);
        assert_eq!(confirms.outstanding(), 6);
        let summary = recorder.summary();
        assert_eq!(summary.count, 4);
        assert!((summary.max_us - 4_000.0).abs() < 5.0, "{summary:?}");
        assert!((summary.min_us - 1_000.0).abs() < 5.0, "{summary:?}");
    }

    #[test]
    fn confirms_out_of_order_settle_once_each() {
        let mut confirms = confirms(5);
        assert_eq!(confirms.settle(3, false, 0, None).unwrap(), 1);
        assert_eq!(confirms.settle(1, false, 0, None).unwrap(), 1);
        assert_eq!(confirms.settle(4, true, 0, None).unwrap(), 2);
        assert_eq!(confirms.outstanding(), 1);
        assert_eq!(confirms.settle(0, true, 0, None).unwrap(), 1);
        assert_eq!(confirms.settle(0, true, 0, None).unwrap(), 0);
        assert_eq!(confirms.outstanding(), 0);
    }

    #[test]
    fn a_confirm_that_is_not_owed_is_an_error() {
        let mut confirms = confirms(5);
        confirms.settle(3, false, 0, None).unwrap();
        assert!(matches!(confirms.settle(3, false, 0, None), Err(PerfError::UnknownConfirm(3))));
        assert!(matches!(confirms.settle(6, true, 0, None), Err(PerfError::UnknownConfirm(6))));
        assert!(matches!(confirms.settle(0, false, 0, None), Err(PerfError::UnknownConfirm(0))));
        confirms.settle(5, true, 0, None).unwrap();
        assert!(matches!(confirms.settle(5, false, 0, None), Err(PerfError::UnknownConfirm(5))));
    }
}
