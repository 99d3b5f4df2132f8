//! The words of SASL: mechanisms by which a client says who it is (behaviour B62).
//!
//! Pure, of no thread. What they do is in `amqp::connection`, which of them are offered in
//! `config`; this is what both have in common, so that neither needs the other.

use std::fmt;
use std::str::FromStr;

/// One way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// User and password in one response.
    Plain,
    /// User and password as an AMQP table.
    AmqPlain,
    /// The client's certificate says who it is; offered on connections with TLS alone.
    External,
    /// User first, password when asked for: RabbitMQ's demonstration of a challenge.
    CrDemo,
    /// Nobody in particular: a user whom the operator has named.
    Anonymous,
}

impl Mechanism {
    const ALL: [Mechanism; 5] = [
        Mechanism::Plain,
        Mechanism::AmqPlain,
        Mechanism::External,
        Mechanism::CrDemo,
        Mechanism::Anonymous,
    ];

    /// What RabbitMQ 3.10 offers, in its order.
    pub const DEFAULT: [Mechanism; 2] = [Mechanism::Plain, Mechanism::AmqPlain];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::AmqPlain => "AMQPLAIN",
            Mechanism::External => "EXTERNAL",
            Mechanism::CrDemo => "RABBIT-CR-DEMO",
            Mechanism::Anonymous => "ANONYMOUS",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be among PLAIN, AMQPLAIN, EXTERNAL, RABBIT-CR-DEMO, ANONYMOUS")]
pub struct UnknownMechanism;

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        Mechanism::ALL.into_iter().find(|one| one.name() == name).ok_or(UnknownMechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_found_by_the_names_they_have_on_the_wire() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.name().parse(), Ok(mechanism));
        }
        for other in ["", "plain", "PLAIN ", "FOO"] {
            assert_eq!(other.parse::<Mechanism>(), Err(UnknownMechanism));
        }
    }
}
