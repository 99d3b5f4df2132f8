//! What is known of a client before its first octet of AMQP: who stands behind a proxy, and what
//! TLS says. Found out by the runtime, while the connection waits for the protocol header.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::control::TlsReport;

/// News of a client that has not said a word of AMQP yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// It comes by way of a proxy, from that address.
    From(SocketAddr),
    /// TLS is set up.
    Tls(Arc<TlsLogin>),
}

/// What TLS says of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsLogin {
    /// For listings.
    pub report: TlsReport,
    /// The user that its certificate names. `None`: it has shown none, or one without such a name.
    pub user: Option<String>,
}
