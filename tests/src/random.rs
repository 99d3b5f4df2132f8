//! Numbers that look random and can be had again from their seed.

use std::time::{SystemTime, UNIX_EPOCH};

/// A generator (xorshift of 64 bits).
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The numbers of one seed.
    pub fn new(seed: u64) -> Random {
        let mut random = Random { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 };
        // Small seeds differ in few bits at first.
        for _ in 0..8 {
            random.next();
        }
        random
    }

    /// The seed in the environment variable `variable`, else one of the clock's; says which, so that it can be had
    /// again.
    pub fn seed(variable: &str) -> u64 {
        let of_the_clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
            u64::from(now.subsec_nanos())
        };
        let given = std::env::var(variable).ok().map(|text| text.parse().expect("a seed"));
        let seed = given.unwrap_or_else(of_the_clock);
        println!("{variable}={seed} repeats this");
        seed
    }

    /// The next number.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 8) % limit
    }

    /// True every other time.
    pub fn half(&mut self) -> bool {
        self.next() & 0x1_0000 != 0
    }
}
