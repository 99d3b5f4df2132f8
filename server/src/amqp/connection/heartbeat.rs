//! Heartbeats (behaviour A17, A18), counted in periods as RabbitMQ counts them.
//!
//! For an interval of n seconds: every n/2 seconds without output a heartbeat is said; when two
//! checks in a row, n seconds apart, find no octets come in, the peer is dead.

use haremq_engine::now::Now;

use crate::amqp::codec::frame::FRAME_OVERHEAD_OCTETS;

#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// `None`: no heartbeats.
    checks: Option<Checks>,
    /// Octets came in since the last check of the input.
    heard: bool,
    /// The last check of the input found nothing.
    missed: bool,
}

/// Times are monotonic, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Checks {
    interval_us: u64,
    /// Next check of the output, and the octets that had left at the last one.
    output_us: u64,
    sent_by_output: u64,
    /// The same for the input.
    input_us: u64,
    sent_by_input: u64,
}

/// What is being done with the peer's octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Yes,
    /// Not for the moment, for reasons of our own: silence means nothing.
    Paused,
    /// Not until the peer has taken what waits for it: it lives if it takes something.
    UntilWritten,
}

/// What a check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pulse {
    Fine,
    /// Time to say something.
    Silent,
    /// The peer is gone.
    Dead,
}

impl Heartbeat {
    /// `sent`: octets that will have left when everything said so far has.
    pub(super) fn start(&mut self, interval_s: u16, sent: u64, now: Now) {
        if interval_s > 0 {
            let interval_us = u64::from(interval_s) * 1_000_000;
            self.checks = Some(Checks {
                interval_us,
                output_us: now.monotonic_us + interval_us / 2,
                sent_by_output: sent,
                input_us: now.monotonic_us + interval_us,
                sent_by_input: sent,
            });
        }
    }

    /// Any octets count as life.
    #[inline]
    pub(super) fn heard(&mut self) {
        self.heard = true;
    }

    pub(super) fn deadline_us(&self) -> Option<u64> {
        self.checks.map(|checks| checks.output_us.min(checks.input_us))
    }

    /// `sent`: octets that have left.
    pub(super) fn check(&mut self, now: Now, sent: u64, reading: Reading) -> Pulse {
        let Some(checks) = &mut self.checks else {
            return Pulse::Fine;
        };
        if now.monotonic_us >= checks.input_us {
            checks.input_us = next(checks.input_us, checks.interval_us, now);
            let took = std::mem::replace(&mut checks.sent_by_input, sent) < sent;
            let alive = std::mem::take(&mut self.heard)
                || match reading {
                    Reading::Yes => false,
                    Reading::Paused => true,
                    Reading::UntilWritten => took,
                };
            if !alive && self.missed {
                return Pulse::Dead;
            }
            self.missed = !alive;
        }
        if now.monotonic_us >= checks.output_us {
            checks.output_us = next(checks.output_us, checks.interval_us / 2, now);
            if std::mem::replace(&mut checks.sent_by_output, sent) >= sent {
                // The heartbeat itself is no reason to leave out the next one.
                checks.sent_by_output += FRAME_OVERHEAD_OCTETS as u64;
                return Pulse::Silent;
            }
        }
        Pulse::Fine
    }
}

/// A period after the last check was due, so that late checks do not add up.
fn next(due_us: u64, period_us: u64, now: Now) -> u64 {
    match due_us + period_us {
        next_us if next_us > now.monotonic_us => next_us,
        _ => now.monotonic_us + period_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { unix_ms: 0, monotonic_us: ms * 1000 }
    }

    /// When a peer that says nothing after the handshake is found dead, and when it was told
    /// something until then, in milliseconds.
    fn death(reading: Reading) -> (Option<u64>, Vec<u64>) {
        let mut heartbeat = Heartbeat::default();
        heartbeat.heard();
        heartbeat.start(1, 400, at(0));
        let (mut sent, mut said) = (400, Vec::new());
        for ms in (0..=5_000).step_by(10) {
            match heartbeat.check(at(ms), sent, reading) {
                Pulse::Fine => {}
                Pulse::Silent => {
                    said.push(ms);
                    sent += if reading == Reading::UntilWritten { 0 } else { 8 };
                }
                Pulse::Dead => return (Some(ms), said),
            }
        }
        (None, said)
    }

    #[test]
    fn a_silent_peer_with_one_second_is_told_every_half_and_dead_after_three() {
        let (dead, said) = death(Reading::Yes);
        assert_eq!(dead, Some(3_000));
        assert_eq!(said, [500, 1000, 1500, 2000, 2500]);
    }

    #[test]
    fn silence_means_nothing_while_input_is_paused() {
        assert_eq!(death(Reading::Paused).0, None);
    }

    #[test]
    fn a_peer_that_takes_nothing_of_a_full_output_is_dead() {
        assert_eq!(death(Reading::UntilWritten).0, Some(3_000));
    }

    #[test]
    fn output_stands_for_a_heartbeat_and_input_for_life() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(2, 0, at(0));
        for ms in (0..20_000).step_by(500) {
            heartbeat.heard();
            assert_eq!(heartbeat.check(at(ms), ms + 1, Reading::Yes), Pulse::Fine);
        }
    }

    #[test]
    fn zero_disables_both_directions() {
        let mut heartbeat = Heartbeat::default();
        heartbeat.start(0, 0, at(0));
        assert_eq!(heartbeat.deadline_us(), None);
        assert_eq!(heartbeat.check(at(1_000_000), 0, Reading::Yes), Pulse::Fine);
    }
}
