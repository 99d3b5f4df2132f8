//! Reply codes of AMQP 0-9-1 and the text that goes with them on the wire.

/// A reply code (AMQP 0-9-1 section 1.2, behaviour A33, A34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyCode {
    NoRoute,
    ConnectionForced,
    AccessRefused,
    NotFound,
    ResourceLocked,
    PreconditionFailed,
    FrameError,
    CommandInvalid,
    ChannelError,
    UnexpectedFrame,
    ResourceError,
    NotAllowed,
    NotImplemented,
    InternalError,
}

impl ReplyCode {
    pub(crate) const fn number(self) -> u16 {
        match self {
            ReplyCode::NoRoute => 312,
            ReplyCode::ConnectionForced => 320,
            ReplyCode::AccessRefused => 403,
            ReplyCode::NotFound => 404,
            ReplyCode::ResourceLocked => 405,
            ReplyCode::PreconditionFailed => 406,
            ReplyCode::FrameError => 501,
            ReplyCode::CommandInvalid => 503,
            ReplyCode::ChannelError => 504,
            ReplyCode::UnexpectedFrame => 505,
            ReplyCode::ResourceError => 506,
            ReplyCode::NotAllowed => 530,
            ReplyCode::NotImplemented => 540,
            ReplyCode::InternalError => 541,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            ReplyCode::NoRoute => "NO_ROUTE",
            ReplyCode::ConnectionForced => "CONNECTION_FORCED",
            ReplyCode::AccessRefused => "ACCESS_REFUSED",
            ReplyCode::NotFound => "NOT_FOUND",
            ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
            ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
            ReplyCode::FrameError => "FRAME_ERROR",
            ReplyCode::CommandInvalid => "COMMAND_INVALID",
            ReplyCode::ChannelError => "CHANNEL_ERROR",
            ReplyCode::UnexpectedFrame => "UNEXPECTED_FRAME",
            ReplyCode::ResourceError => "RESOURCE_ERROR",
            ReplyCode::NotAllowed => "NOT_ALLOWED",
            ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
            ReplyCode::InternalError => "INTERNAL_ERROR",
        }
    }

    /// A hard error closes the connection, a soft one its channel only.
    pub(crate) const fn is_hard(self) -> bool {
        !matches!(
            self,
            ReplyCode::NoRoute
                | ReplyCode::AccessRefused
                | ReplyCode::NotFound
                | ReplyCode::ResourceLocked
                | ReplyCode::PreconditionFailed
        )
    }

    /// `NAME - explanation`, cut to a short string as RabbitMQ cuts it: 252 octets and dots.
    pub(crate) fn text(self, explanation: impl std::fmt::Display) -> String {
        let mut text = format!("{} - {explanation}", self.name());
        if text.len() > 255 {
            let mut end = 252;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str("...");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_a_short_string() {
        let text = ReplyCode::NotFound.text("é".repeat(200));
        assert!(text.len() <= 255 && text.ends_with("..."), "{} octets", text.len());
        assert_eq!(ReplyCode::NotFound.text("x"), "NOT_FOUND - x");
    }

    #[test]
    fn hard_and_soft_codes_are_those_of_the_specification() {
        use ReplyCode::*;
        for soft in [NoRoute, AccessRefused, NotFound, ResourceLocked, PreconditionFailed] {
            assert!(!soft.is_hard());
        }
        for hard in [ConnectionForced, FrameError, ChannelError, NotAllowed, NotImplemented] {
            assert!(hard.is_hard());
        }
    }
}
