//! How many connections and channels there are, by vhost, by user and in all (behaviour B59-B61).
//!
//! One for the whole broker, behind a lock of the runtime's: it changes with connections and
//! channels, not with messages.

use std::sync::Arc;

use haremq_engine::topology::limit_reached;
use rustc_hash::FxHashMap;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    VhostConnections,
    UserConnections,
    UserChannels,
    /// In all, whatever the name.
    Connections,
    Channels,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Population(FxHashMap<(Counted, Arc<str>), u64>);

impl Population {
    /// Counts one more, unless there are as many as there may be.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn enter(&mut self, what: Counted, name: &Arc<str>, limit: Option<i64>) -> Result<(), i64> {
        let count = self.0.entry((what, name.clone())).or_default();
        if let Some(limit) = limit_reached(limit, *count) {
            if *count == 0 {
                self.0.remove(&(what, name.clone()));
            }
            return Err(limit);
        }
        *count += 1;
        Ok(())
    }

    /// So many have gone.
    pub fn leave(&mut self, what: Counted, name: &Arc<str>, number: u64) {
        let key = (what, name.clone());
        if let Some(count) = self.0.get_mut(&key) {
            *count = count.saturating_sub(number);
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_come_in_as_the_limit_says_and_their_places_are_free_again() {
        let mut population = Population::default();
        let (v, w): (Arc<str>, Arc<str>) = ("v".into(), "w".into());
        let what = Counted::VhostConnections;
        assert_eq!(population.enter(what, &v, Some(2)), Ok(()));
        assert_eq!(population.enter(what, &v, Some(2)), Ok(()));
        assert_eq!(population.enter(what, &v, Some(2)), Err(2));
        assert_eq!(population.enter(what, &v, None), Ok(()));
        assert_eq!(population.enter(what, &w, Some(0)), Err(0));
        assert_eq!(population.enter(what, &w, Some(-1)), Ok(()));
        assert_eq!(population.enter(Counted::UserChannels, &v, Some(1)), Ok(()));
        population.leave(what, &v, 2);
        assert_eq!(population.enter(what, &v, Some(2)), Ok(()));
        population.leave(what, &v, 9);
        population.leave(what, &w, 1);
        population.leave(Counted::UserChannels, &v, 1);
        assert!(population.0.is_empty());
    }
}
