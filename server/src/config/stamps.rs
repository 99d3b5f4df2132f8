//! Headers that the broker puts into messages (behaviour B12): what the operator wants of them.

use haremq_engine::stamp::{Existing, Stamps};

use super::file::FileKeys;
use super::settings::{flag, on_or_off};
use super::{ConfigError, Flags};

/// What the broker does with a header of its own; `None`: nothing.
pub(super) fn stamp(text: &str) -> Result<Option<Existing>, String> {
    match text {
        "off" => Ok(None),
        "keep" => Ok(Some(Existing::Keep)),
        "overwrite" => Ok(Some(Existing::Overwrite)),
        _ => Err("must be one of off, keep, overwrite".into()),
    }
}

/// Flags win over the file.
pub(super) fn resolve(flags: &Flags, file: &FileKeys) -> Result<Stamps, ConfigError> {
    let incoming = |name, text: &Option<String>, of_file: Option<Option<Existing>>| match text {
        Some(text) => flag(name, text, stamp(text)),
        None => Ok(of_file.flatten()),
    };
    let (received, routed_by) = (&flags.incoming_timestamp, &flags.incoming_routing_node);
    Ok(Stamps {
        received: incoming("--incoming-timestamp", received, file.incoming_timestamp)?,
        routed_by: incoming("--incoming-routing-node", routed_by, file.incoming_routing_node)?,
        sent: match &flags.outgoing_timestamp {
            Some(text) => flag("--outgoing-timestamp", text, on_or_off(text))?,
            None => file.outgoing_timestamp.unwrap_or(false),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeping() -> FileKeys {
        let (incoming_timestamp, outgoing_timestamp) = (Some(Some(Existing::Keep)), Some(true));
        FileKeys { incoming_timestamp, outgoing_timestamp, ..FileKeys::default() }
    }

    #[test]
    fn stamps_come_from_flags_and_file() {
        let routing_node = Some("overwrite".to_owned());
        let flags = Flags { incoming_routing_node: routing_node, ..Flags::default() };
        let (received, routed_by) = (Some(Existing::Keep), Some(Existing::Overwrite));
        let resolved = resolve(&flags, &keeping()).expect("stamps");
        assert_eq!(resolved, Stamps { received, routed_by, sent: true });
        let flags = Flags { incoming_timestamp: Some("off".to_owned()), ..Flags::default() };
        assert_eq!(resolve(&flags, &keeping()).expect("stamps").received, None);
        let flags = Flags { incoming_timestamp: Some("true".to_owned()), ..Flags::default() };
        assert!(resolve(&flags, &keeping()).is_err());
    }
}
