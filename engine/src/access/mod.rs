//! Who may do what: password hashes, permission regexes.
//!
//! Values only: who holds which permission is the topology's to know. Each shard compiles its
//! own patterns, so nothing here is contended between threads. Imports nothing of the engine.

mod password;
mod pattern;
mod topic;

pub use password::{hash_password, verify_password, PasswordHashing};
pub use pattern::{Pattern, PatternError};
pub use topic::{TopicAccess, TopicVariables};

/// The three kinds of permission (behaviour A115-A117).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Configure,
    Write,
    Read,
}

/// One user's compiled permissions in one vhost.
#[derive(Debug)]
pub struct Access {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

impl Access {
    /// Compiles the three patterns.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Access, PatternError> {
        Ok(Access {
            configure: Pattern::new(configure)?,
            write: Pattern::new(write)?,
            read: Pattern::new(read)?,
        })
    }

    /// As [`Access::new`], but a pattern that does not compile allows nothing.
    pub fn new_or_deny(configure: &str, write: &str, read: &str) -> Access {
        let pattern = |text| Pattern::new(text).unwrap_or(Pattern::Nothing);
        Access { configure: pattern(configure), write: pattern(write), read: pattern(read) }
    }

    /// Whether the resource (queue or exchange; the default exchange is `amq.default`) is allowed.
    /// An empty pattern matches nothing (behaviour A115).
    pub fn allows(&self, right: Right, resource: &str) -> bool {
        let pattern = match right {
            Right::Configure => &self.configure,
            Right::Write => &self.write,
            Right::Read => &self.read,
        };
        pattern.matches(resource)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn access(configure: &str, write: &str, read: &str) -> Access {
        Access::new(configure, write, read).expect("good patterns")
    }

    #[test]
    fn each_right_has_its_own_pattern() {
        let access = access("^c-", "^w-", "^r-");
        for (right, resource) in
            [(Right::Configure, "c-1"), (Right::Write, "w-1"), (Right::Read, "r-1")]
        {
            for (other, _) in
                [(Right::Configure, "c-1"), (Right::Write, "w-1"), (Right::Read, "r-1")]
            {
                assert_eq!(access.allows(other, resource), other == right);
            }
        }
    }

    #[test]
    fn patterns_are_not_anchored() {
        let access = access("ord", ".*", "^orders$");
        assert!(access.allows(Right::Configure, "my-orders"));
        assert!(access.allows(Right::Write, ""));
        assert!(access.allows(Right::Read, "orders"));
        assert!(!access.allows(Right::Read, "orders2"));
    }

    #[test]
    fn an_empty_pattern_allows_the_empty_name_alone() {
        let access = access("", "", "");
        assert!(!access.allows(Right::Write, "q"));
        assert!(!access.allows(Right::Write, "amq.default"));
        assert!(access.allows(Right::Configure, ""));
    }

    /// Regular expressions by trying everything: characters, `.`, `*`, `^` and `$`.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        fn here(pattern: &[u8], name: &[u8]) -> bool {
            let fits = |wanted: u8| name.first().is_some_and(|&c| wanted == b'.' || wanted == c);
            match pattern {
                [] => true,
                [b'$'] => name.is_empty(),
                [wanted, b'*', rest @ ..] => {
                    here(rest, name) || (fits(*wanted) && here(pattern, &name[1..]))
                }
                [wanted, rest @ ..] => fits(*wanted) && here(rest, &name[1..]),
            }
        }
        match pattern {
            // RabbitMQ's reading of the empty pattern.
            [] => name.is_empty(),
            [b'^', rest @ ..] => here(rest, name),
            _ => (0..=name.len()).any(|start| here(pattern, &name[start..])),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn patterns_match_what_trying_everything_matches(
            start in prop::bool::ANY,
            atoms in prop::collection::vec(("[ab.]", prop::bool::ANY), 0..6),
            end in prop::bool::ANY,
            name in "[abc]{0,8}",
        ) {
            let mut pattern = String::from(if start { "^" } else { "" });
            for (atom, repeated) in atoms {
                pattern.push_str(&atom);
                pattern.push_str(if repeated { "*" } else { "" });
            }
            pattern.push_str(if end { "$" } else { "" });
            let access = access(&pattern, "", "");
            let expected = naive(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(access.allows(Right::Configure, &name), expected, "{} {}", pattern, name);
        }
    }

    #[test]
    fn a_hostile_pattern_takes_time_in_proportion_to_the_name() {
        // A matcher that tries one way after the other would take some 2^200 steps.
        let access = access("(a*)*(a|aa)+(a?){50}b$", "", "");
        assert!(!access.allows(Right::Configure, &"a".repeat(255)));
    }

    #[test]
    fn a_broken_pattern_is_refused_when_set_and_denies_when_found() {
        assert!(Access::new("(", ".*", ".*").is_err());
        let access = Access::new_or_deny("(", ".*", ".*");
        assert!(!access.allows(Right::Configure, ""));
        assert!(access.allows(Right::Write, "q"));
    }

    #[test]
    fn a_pattern_that_would_take_much_memory_is_refused() {
        let error = Pattern::new("(((a{100}){100}){100}){100}").expect_err("too big");
        assert!(!error.reason.is_empty());
    }
}
