//! What copying forward may write: no more than the segments that are given back, by it or by themselves, and what others
//! have written or let go. So it ends by itself, whatever the records are like.
//!
//! How much room copies will take is a guess (pages that are not full, what does not fit a
//! segment's end, settles, notes, rosters). Where the guess is too low, copying gives nothing
//! back, and all segments it makes are as sparse as those it has emptied: without an allowance it
//! would go round for ever.

use super::format::PAGE_BYTES;
use super::{Log, Memory};

/// Pages that the copies of a segment leave unfilled, as a rule.
const PAGES_BESIDE: u64 = 4;
/// Segments' worth of octets that it may be ahead.
const SEGMENTS_MAX: i64 = 4;

/// See the module. Octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    segment_bytes: i64,
    /// Below zero when the latest victim took more than was left.
    left: i64,
    /// Octets of records that had been appended and let go when it was last looked at.
    activity: u64,
    /// Where the log ended when it was last spent, or when others were last seen to have written since.
    spent_end: u64,
    /// Nobody has been seen to write behind the latest copies.
    is_last: bool,
}

impl Allowance {
    pub(super) fn new(segment_bytes: u64) -> Self {
        let segment_bytes = segment_bytes as i64;
        let left = SEGMENTS_MAX * segment_bytes;
        Allowance { segment_bytes, left, activity: 0, spent_end: u64::MAX, is_last: false }
    }

    /// Copying may begin that takes so many octets as a rule.
    pub(super) fn is_enough(&self, octets: u64) -> bool {
        self.left >= octets as i64
    }

    /// `activity`: octets of records appended and let go by now, copies included. True: others have appended or let go.
    pub(super) fn earn(&mut self, activity: u64) -> bool {
        let earned = activity.saturating_sub(self.activity) as i64;
        self.activity = activity;
        self.add(earned);
        earned > 0
    }

    /// So many octets of the log have been taken. `activity`: as in `earn`; what has been added
    /// meanwhile earns nothing.
    pub(super) fn spend(&mut self, octets: u64, activity: u64) {
        self.activity = activity;
        self.left -= octets as i64;
    }

    /// A segment has been given back. It counts a little less than it is, so that what goes round
    /// becomes less each time.
    pub(super) fn segment_back(&mut self) {
        self.add(self.segment_bytes - self.segment_bytes / 32);
    }

    /// So many octets that have just been written are not copying's own.
    pub(super) fn leave_out(&mut self, octets: u64) {
        self.spent_end = self.spent_end.saturating_add(octets);
    }

    /// So many octets of the log have been taken, which ends at `end` now. `activity`: as in `earn`.
    fn spend_until(&mut self, octets: u64, end: u64, activity: u64) {
        self.spend(octets, activity);
        self.spent_end = end;
        self.is_last = true;
    }

    /// Where that begins which copying takes next of the log, which ends at `end` now: where it ended, if nobody else
    /// has written or let go since. What has been left empty then, of a page or a segment, has been left for its records.
    fn spending_from(&mut self, end: u64, activity: u64) -> u64 {
        if self.earn(activity) {
            if std::mem::take(&mut self.is_last) {
                // The rest of its page, unless they have filled it.
                let rest = self.spent_end.next_multiple_of(PAGE_BYTES as u64).min(end);
                self.spend(rest.saturating_sub(self.spent_end), activity);
            }
            self.spent_end = end;
        }
        self.spent_end.min(end)
    }

    fn add(&mut self, octets: i64) {
        self.left = self.left.saturating_add(octets).min(SEGMENTS_MAX * self.segment_bytes);
    }
}

impl<M: Memory> Log<M> {
    /// So much of the log has been taken by what copying brings about beside the copies.
    pub(super) fn spent_since(&mut self, begun: u64) {
        let begun = self.spending_from().min(begun);
        self.spend(self.batch.end() - begun);
    }

    pub(super) fn spend(&mut self, taken: u64) {
        let (end, activity) = (self.batch.end(), self.space.activity());
        self.copying.allowance.spend_until(taken, end, activity);
    }

    /// Where that begins which copying takes next of the log.
    pub(super) fn spending_from(&mut self) -> u64 {
        let (end, activity) = (self.batch.end(), self.space.activity());
        self.copying.allowance.spending_from(end, activity)
    }

    /// The segment is given back, or is going to be, for which it counts once. That holds for one that empties by itself
    /// as well: what has to be said of it takes pages of which the rest stays empty, and nobody would pay for them.
    pub(super) fn segment_back(&mut self, number: u32) {
        let Some(segment) = self.segments.get_mut(number) else { return };
        if !std::mem::replace(&mut segment.is_credited, true) {
            self.copying.allowance.segment_back();
            self.copying.look_again();
        }
    }

    /// What is left is enough for the copies of that segment.
    pub(super) fn is_affordable(&self, victim: u32) -> bool {
        let takes = self.segments.get(victim).map_or(0, |victim| self.copies_of(victim));
        self.copying.allowance.is_enough(takes + PAGES_BESIDE * PAGE_BYTES as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_that_gives_nothing_back_ends() {
        let mut allowance = Allowance::new(100);
        let mut victims = 0;
        while allowance.is_enough(100) {
            allowance.spend(100, 0);
            allowance.segment_back();
            victims += 1;
            assert!(victims < 1_000, "for ever");
        }
        assert!(victims > 4);
    }

    #[test]
    fn copying_that_gives_something_back_goes_on() {
        let mut allowance = Allowance::new(100);
        for _ in 0..1_000 {
            assert!(allowance.is_enough(100));
            allowance.spend(90, 0);
            allowance.segment_back();
        }
    }

    #[test]
    fn what_others_write_or_let_go_pays_for_it_and_copies_do_not() {
        let mut allowance = Allowance::new(100);
        allowance.spend(400, 1_000);
        assert!(!allowance.is_enough(100));
        allowance.earn(1_000);
        assert!(!allowance.is_enough(100), "that was what copying itself did");
        allowance.earn(1_100);
        assert!(allowance.is_enough(100));
        allowance.earn(u64::MAX / 4);
        allowance.spend(400, 0);
        assert!(!allowance.is_enough(100), "there is no saving up");
    }

    /// Others begin a page of their own behind copies. Who lets go of little and has much copied for it would otherwise
    /// have the rest of a page taken each time, and nobody paid for it.
    #[test]
    fn the_rest_of_a_page_behind_copies_is_paid_for_once() {
        let page = PAGE_BYTES as u64;
        let mut allowance = Allowance::new(100 * page);
        allowance.spend_until(10 * page, 50 * page + 1_000, 0);
        let before = allowance.left;
        assert_eq!(
            allowance.spending_from(50 * page + 1_000, 0),
            50 * page + 1_000,
            "nobody has written"
        );
        assert_eq!(allowance.left, before);
        assert_eq!(allowance.spending_from(51 * page + 96, 96), 51 * page + 96);
        let rest = (page - 1_000) as i64;
        assert_eq!(allowance.left, before + 96 - rest);
        assert_eq!(allowance.spending_from(52 * page, 196), 52 * page);
        assert_eq!(allowance.left, before + 196 - rest, "what others leave empty is theirs");
    }

    #[test]
    fn what_others_fill_of_a_page_behind_copies_is_theirs() {
        let page = PAGE_BYTES as u64;
        let mut allowance = Allowance::new(100 * page);
        allowance.spend_until(10 * page, 50 * page + 1_000, 0);
        let before = allowance.left;
        assert_eq!(allowance.spending_from(50 * page + 1_096, 96), 50 * page + 1_096);
        assert_eq!(allowance.left, before, "96 octets earned, and as many taken");
    }
}
