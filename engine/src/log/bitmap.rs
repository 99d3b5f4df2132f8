//! A growing set of small numbers: the dead references of a segment. Absent words are zero.

#[derive(Clone, Debug, Default)]
pub(super) struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    #[inline]
    pub(super) fn get(&self, number: u32) -> bool {
        let word = self.words.get(number as usize / 64).copied().unwrap_or(0);
        word >> (number % 64) & 1 != 0
    }

    /// True if it was not set before.
    #[inline]
    pub(super) fn set(&mut self, number: u32) -> bool {
        let index = number as usize / 64;
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        let bit = 1 << (number % 64);
        let fresh = self.words[index] & bit == 0;
        self.words[index] |= bit;
        fresh
    }

    /// True if it was set before.
    pub(super) fn clear(&mut self, number: u32) -> bool {
        let Some(word) = self.words.get_mut(number as usize / 64) else { return false };
        let bit = 1 << (number % 64);
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    pub(super) fn set_word(&mut self, index: usize, word: u64) {
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        self.words[index] = word;
    }

    pub(super) fn set_run(&mut self, first: u32, count: u32) {
        for number in first..first + count {
            self.set(number);
        }
    }

    /// Takes out everything from `end` on.
    pub(super) fn cut(&mut self, end: u32) {
        self.words.truncate((end as usize).div_ceil(64));
        if !end.is_multiple_of(64) && self.words.len() == (end as usize).div_ceil(64) {
            if let Some(word) = self.words.last_mut() {
                *word &= (1 << (end % 64)) - 1;
            }
        }
    }

    /// No number has ever been set.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Every number from `first` up to `end` is set.
    pub(super) fn covers(&self, first: u32, end: u32) -> bool {
        let known = self.words.len() as u32 * 64;
        first >= end || (end <= known && self.next(first, end, false) >= end)
    }

    /// No number from `first` up to `end` is set.
    pub(super) fn is_clear(&self, first: u32, end: u32) -> bool {
        let end = end.min(self.words.len() as u32 * 64);
        self.next(first, end, true) >= end
    }

    /// Maximal runs as (first, count), ascending.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let end = self.words.len() as u32 * 64;
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = self.next(at, end, true);
            if first == end {
                return None;
            }
            at = self.next(first, end, false);
            Some((first, at - first))
        })
    }

    /// First number from `at` on whose bit is `wanted`, or `end`.
    fn next(&self, mut at: u32, end: u32, wanted: bool) -> u32 {
        while at < end {
            let word = self.words[at as usize / 64];
            let looked_for = if wanted { word } else { !word };
            let rest = looked_for >> (at % 64);
            if rest != 0 {
                return at + rest.trailing_zeros();
            }
            at = (at / 64 + 1) * 64;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_maximal_and_cross_words() {
        let mut bitmap = Bitmap::default();
        bitmap.set_run(3, 2);
        bitmap.set_run(60, 70);
        bitmap.set(191);
        assert_eq!(bitmap.runs().collect::<Vec<_>>(), [(3, 2), (60, 70), (191, 1)]);
        assert_eq!(Bitmap::default().runs().count(), 0);
    }

    #[test]
    fn a_stretch_is_covered_if_no_number_in_it_is_missing() {
        let mut bitmap = Bitmap::default();
        bitmap.set_run(60, 70);
        assert!(bitmap.covers(60, 130) && bitmap.covers(63, 65) && bitmap.covers(5, 5));
        assert!(!bitmap.covers(59, 61) && !bitmap.covers(129, 131) && !bitmap.covers(100, 300));
    }

    #[test]
    fn a_stretch_is_clear_if_no_number_in_it_is_set() {
        let mut bitmap = Bitmap::default();
        assert!(bitmap.is_clear(0, 1000));
        bitmap.set_run(60, 70);
        assert!(bitmap.is_clear(0, 60) && bitmap.is_clear(130, 5000) && bitmap.is_clear(70, 70));
        assert!(!bitmap.is_clear(0, 61) && !bitmap.is_clear(129, 5000) && !bitmap.is_clear(70, 71));
    }

    #[test]
    fn cut_takes_out_what_lies_beyond() {
        let mut bitmap = Bitmap::default();
        bitmap.set_run(0, 200);
        bitmap.cut(70);
        assert_eq!(bitmap.runs().collect::<Vec<_>>(), [(0, 70)]);
        bitmap.cut(1000);
        assert!(!bitmap.get(70));
    }

    #[test]
    fn set_and_clear_tell_what_changed() {
        let mut bitmap = Bitmap::default();
        assert!(bitmap.set(5) && !bitmap.set(5));
        assert!(bitmap.clear(5) && !bitmap.clear(5) && !bitmap.clear(5000));
    }
}
