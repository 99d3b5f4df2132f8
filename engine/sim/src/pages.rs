//! The simulated store of a shard's index pages: forgets nothing, gives out nothing that was not put,
//! and refuses a page now and then, as a full disk does.
//!
//! Draws no random number of the schedule: which pages are refused follows from what was put before.

use std::collections::BTreeMap;

use haremq_engine::queue::{Page, PageStore};

/// See the module. What it holds is gone with it, as after a crash.
#[derive(Debug)]
pub struct Pages {
    held: BTreeMap<u32, Vec<u8>>,
    puts: u32,
    /// Every so manieth page is refused; 0: none.
    refuses_every: u32,
}

impl Pages {
    pub fn new(refuses_every: u32) -> Self {
        Pages { held: BTreeMap::new(), puts: 0, refuses_every }
    }
}

impl PageStore for Pages {
    fn put(&mut self, octets: &[u8]) -> Option<Page> {
        self.puts += 1;
        if self.refuses_every > 0 && self.puts.is_multiple_of(self.refuses_every) {
            return None;
        }
        // The lowest free place, so that an old page's place holds another one soon.
        let place = (0..).find(|place| !self.held.contains_key(place))?;
        self.held.insert(place, octets.to_vec());
        Some(Page::new(place, octets))
    }

    fn read(&self, page: &Page) -> Vec<u8> {
        let octets = self.held.get(&page.place()).map_or(&[][..], |octets| octets);
        assert!(page.is(octets), "{page:?} is not what was put");
        octets.to_vec()
    }

    fn free(&mut self, page: Page) {
        let octets = self.held.remove(&page.place()).unwrap_or_default();
        assert!(page.is(&octets), "{page:?} is freed and was not put");
    }

    fn bytes(&self) -> u64 {
        self.held.values().map(|octets| octets.len() as u64).sum()
    }
}
