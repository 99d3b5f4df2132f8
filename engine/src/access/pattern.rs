//! Permission patterns: regular expressions searched for in a name (behaviour A115).
//!
//! The dialect is that of the `regex` crate: linear in the name whatever the pattern, so without
//! look-around and back-references, which are refused when the permission is set.

use regex::{Regex, RegexBuilder};

/// Octets one compiled pattern may take.
const SIZE_LIMIT_BYTES: usize = 256 * 1024;

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PatternError {
    pub reason: String,
}

/// A compiled pattern.
#[derive(Debug)]
pub enum Pattern {
    /// `.*`: what most users have.
    Everything,
    /// Of what does not compile.
    Nothing,
    /// The empty pattern means `^$`.
    EmptyName,
    Regex(Box<Regex>),
}

/// The pattern that is found where `text` itself stands.
pub(super) fn literal(text: &str) -> String {
    regex::escape(text)
}

impl Pattern {
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        match text {
            "" | "^$" => Ok(Pattern::EmptyName),
            ".*" | "^.*" => Ok(Pattern::Everything),
            _ => RegexBuilder::new(text)
                .size_limit(SIZE_LIMIT_BYTES)
                .dfa_size_limit(SIZE_LIMIT_BYTES)
                .build()
                .map(|regex| Pattern::Regex(Box::new(regex)))
                .map_err(|error| PatternError { reason: error.to_string() }),
        }
    }

    /// Whether the pattern occurs in `name`.
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Pattern::Everything => true,
            Pattern::Nothing => false,
            Pattern::EmptyName => name.is_empty(),
            Pattern::Regex(regex) => regex.is_match(name),
        }
    }
}
