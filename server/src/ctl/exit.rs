//! Exit codes, those of sysexits.h that rabbitmqctl uses.

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// The command line makes no sense.
    Usage,
    /// What it names is not there or not right: a vhost, a password.
    Data,
    /// There is no such user.
    NoUser,
    /// The broker does not answer, or says no.
    Unavailable,
    /// A user that exists already, a password that could not be asked for.
    Software,
}

impl Exit {
    /// The number for the operating system.
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Usage => 64,
            Exit::Data => 65,
            Exit::NoUser => 67,
            Exit::Unavailable => 69,
            Exit::Software => 70,
        }
    }
}
