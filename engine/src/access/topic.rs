//! Topic permissions: which routing keys a user may publish to a topic exchange with, and bind to
//! it by (behaviour A119).

use super::pattern::{literal, Pattern, PatternError};

/// One user's compiled topic permission for one exchange.
#[derive(Debug)]
pub struct TopicAccess {
    write: Pattern,
    read: Pattern,
}

/// What `{username}` and `{vhost}` in a pattern stand for. `{client_id}` is of protocols that
/// have one, and stays as it is.
#[derive(Clone, Copy, Debug)]
pub struct TopicVariables<'a> {
    pub user: &'a str,
    pub vhost: &'a str,
}

impl TopicVariables<'_> {
    /// The names are taken as they are: what they contain has no meaning in the pattern.
    fn put_into(&self, pattern: &str) -> String {
        let named = pattern.replace("{username}", &literal(self.user));
        named.replace("{vhost}", &literal(self.vhost))
    }
}

impl TopicAccess {
    /// A pattern that does not compile allows nothing.
    pub fn new_or_deny(write: &str, read: &str, variables: TopicVariables<'_>) -> TopicAccess {
        let pattern = |text| Pattern::new(&variables.put_into(text)).unwrap_or(Pattern::Nothing);
        TopicAccess { write: pattern(write), read: pattern(read) }
    }

    /// Whether a pattern can be used.
    ///
    /// # Errors
    /// Why not.
    pub fn check(pattern: &str) -> Result<(), PatternError> {
        // Any names will do.
        let variables = TopicVariables { user: "u", vhost: "v" };
        let rest = variables.put_into(pattern).replace("{client_id}", "c");
        Pattern::new(&rest).map(|_| ())
    }

    pub fn may_write(&self, key: &str) -> bool {
        self.write.matches(key)
    }

    pub fn may_read(&self, key: &str) -> bool {
        self.read.matches(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_for_the_names_as_they_are() {
        let variables = TopicVariables { user: "a.b", vhost: "v1" };
        let access = TopicAccess::new_or_deny("^{vhost}-{username}\\.", "", variables);
        assert!(access.may_write("v1-a.b.c"));
        assert!(!access.may_write("v1-axb.c"));
        assert!(!access.may_read("k"));
        assert!(access.may_read(""));
    }

    #[test]
    fn a_pattern_with_variables_can_be_checked() {
        assert!(TopicAccess::check("^{username}-{client_id}-{vhost}$").is_ok());
        assert!(TopicAccess::check("{username}(").is_err());
    }
}
