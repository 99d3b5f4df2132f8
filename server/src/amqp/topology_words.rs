//! Refusals of the topology in reply codes and RabbitMQ's words.

use std::fmt;

use haremq_engine::topology::TopologyError;

use super::reply::ReplyCode;

pub(crate) fn code(error: &TopologyError) -> ReplyCode {
    match error {
        TopologyError::NoExchange { .. } | TopologyError::NoQueue { .. } => ReplyCode::NotFound,
        TopologyError::NoVhost { .. } => ReplyCode::NotAllowed,
        TopologyError::UnknownExchangeKind { .. } => ReplyCode::CommandInvalid,
        TopologyError::DefaultExchange
        | TopologyError::ReservedName { .. }
        | TopologyError::SystemExchange { .. } => ReplyCode::AccessRefused,
        TopologyError::Locked { .. } => ReplyCode::ResourceLocked,
        TopologyError::Inequivalent { .. }
        | TopologyError::InequivalentArgument { .. }
        | TopologyError::InvalidArgument { .. }
        | TopologyError::InvalidArgumentType { .. }
        | TopologyError::ForeignArgument { .. }
        | TopologyError::InvalidProperty { .. }
        | TopologyError::ServerNamed { .. }
        | TopologyError::UnsupportedQueueType { .. }
        | TopologyError::InUse { .. }
        | TopologyError::QueueLimit { .. }
        | TopologyError::BrokerQueueLimit { .. }
        | TopologyError::ExchangeLimit { .. }
        | TopologyError::InvalidXMatch { .. }
        | TopologyError::InvalidExchange { .. }
        | TopologyError::InvalidBinding { .. } => ReplyCode::PreconditionFailed,
        // Users and their permissions are not reached from here.
        _ => ReplyCode::InternalError,
    }
}

/// The explanation. Topology errors carry RabbitMQ's words already, but for those that only a
/// connection can meet.
pub(crate) struct Words<'a>(pub(crate) &'a TopologyError);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TopologyError::NoVhost { vhost } => write!(f, "vhost {vhost} not found"),
            other => other.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use haremq_engine::table::Value;

    use super::*;

    fn words(error: TopologyError) -> String {
        code(&error).text(Words(&error))
    }

    #[test]
    fn refusals_read_as_recorded() {
        assert_eq!(
            words(TopologyError::Inequivalent {
                what: "queue",
                vhost: "/".into(),
                name: "q".into(),
                argument: "durable",
                received: "true".into(),
                current: "false".into(),
            }),
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': \
             received 'true' but current is 'false'"
        );
        let argument = |received, current| {
            words(TopologyError::InequivalentArgument {
                what: "queue",
                vhost: "/".into(),
                name: "q".into(),
                argument: "x-message-ttl".into(),
                received,
                current,
            })
        };
        let head = "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in \
                    vhost '/': ";
        assert_eq!(
            argument(Some(Value::I32(2000)), Some(Value::I32(1000))),
            format!("{head}received '2000' but current is '1000'")
        );
        assert_eq!(
            argument(None, Some(Value::I32(1000))),
            format!("{head}received none but current is the value '1000' of type 'signedint'")
        );
        assert_eq!(
            argument(Some(Value::text("quorum")), None),
            format!("{head}received the value 'quorum' of type 'longstr' but current is none")
        );
        assert_eq!(
            words(TopologyError::UnknownExchangeKind { kind: "bogus".into() }),
            "COMMAND_INVALID - unknown exchange type 'bogus'"
        );
        assert_eq!(
            words(TopologyError::InvalidXMatch { value: Value::text("some") }),
            "PRECONDITION_FAILED - Invalid x-match field value <<\"some\">>; \
             expected all, any, all-with-x, or any-with-x"
        );
        assert_eq!(
            words(TopologyError::Locked { vhost: "/".into(), name: "p.1d51549e".into() }),
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'p.1d51549e' in \
             vhost '/'. It could be originally declared on another connection or the exclusive \
             property value does not match that of the original declaration."
        );
    }
}
