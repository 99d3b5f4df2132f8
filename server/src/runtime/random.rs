//! Random octets for generated names: from the operating system, fetched in bulk.

const POOL_OCTETS: usize = 4096;

/// A shard's stock of random octets. Each is given out once.
pub(super) struct Random {
    pool: Box<[u8; POOL_OCTETS]>,
    used: usize,
}

impl Random {
    pub(super) fn new() -> Self {
        Random { pool: Box::new([0; POOL_OCTETS]), used: POOL_OCTETS }
    }

    /// # Panics
    /// If the operating system has no random octets: names that can be guessed are not made.
    pub(super) fn octets(&mut self) -> [u8; 16] {
        if self.used + 16 > POOL_OCTETS {
            getrandom::fill(&mut self.pool[..]).expect("the operating system gives random octets");
            self.used = 0;
        }
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.pool[self.used..self.used + 16]);
        self.pool[self.used..self.used + 16].fill(0);
        self.used += 16;
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_octets_are_given_out_twice() {
        let mut random = Random::new();
        let drawn: std::collections::HashSet<_> = (0..1_000).map(|_| random.octets()).collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(!drawn.contains(&[0; 16]));
    }
}
