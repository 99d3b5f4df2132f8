//! From the protocol header to connection.open-ok (behaviour A1-A26).

use std::sync::Arc;

use haremq_engine::table::{Table, Value};

use super::phase::Phase;
use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::codec::frame::FRAME_OVERHEAD_OCTETS;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::connection::{self, Open, StartOk, TuneOk};
use crate::amqp::population::Counted;

/// Octets of a protocol header.
pub(super) const HEADER_OCTETS: usize = 8;
const HEADER_0_9_1: [u8; HEADER_OCTETS] = *b"AMQP\x00\x00\x09\x01";
/// Headers of 0-9 and 0-8 clients, and the version that connection.start names to them as
/// RabbitMQ does (behaviour A2). All are spoken to in 0-9-1.
const OLDER_HEADERS: [([u8; HEADER_OCTETS], (u8, u8)); 3] = [
    (*b"AMQP\x01\x01\x00\x09", (0, 9)),
    (*b"AMQP\x01\x01\x09\x01", (8, 0)),
    (*b"AMQP\x01\x01\x08\x00", (8, 0)),
];
/// The smallest frame_max that a client may ask for (behaviour A15).
const FRAME_MIN: u32 = 4096;

/// The frame_max that holds until connection.open-ok.
pub(super) const HANDSHAKE_FRAME_MAX: u32 = 8192;

impl Connection {
    /// The first eight octets. What is not AMQP is told what would be, and closed.
    pub(super) fn protocol_header(&mut self, header: &[u8; HEADER_OCTETS]) {
        let older = OLDER_HEADERS.iter().find(|(known, _)| known == header).map(|known| known.1);
        let current = (*header == HEADER_0_9_1).then_some((0, 9));
        let Some(version) = current.or(older) else {
            self.session.output.frames(0).extend_from_slice(&HEADER_0_9_1);
            let what = match header {
                // A record of TLS that begins a handshake.
                [22, 3, ..] => "TLS, to a port without",
                _ => "bad protocol header",
            };
            self.reason = Some(what.to_owned());
            self.phase = Phase::Finished;
            return;
        };
        let mechanisms = self.offered_mechanisms();
        let settings = self.session.settings.clone();
        let properties = settings.server_properties.get(|| server_properties(&settings));
        connection::start(self.session.output.frames(0), version, properties, &mechanisms);
        self.phase = Phase::Starting;
    }

    pub(super) fn start_ok<B: Broker>(
        &mut self,
        args: &StartOk<'_>,
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        let octets = args.client_properties.0;
        let properties =
            Table::decode(octets).map_err(|error| ProtocolError::malformed_table(error, octets))?;
        let capable = |name: &str| match properties.get("capabilities") {
            Some(Value::Table(capabilities)) => capabilities.get(name) == Some(&Value::Bool(true)),
            _ => false,
        };
        self.session.cancel_notify = capable("consumer_cancel_notify");
        self.session.blocked_notify = capable("connection.blocked");
        self.tells_login_failure = capable("authentication_failure_close");
        self.client_properties = properties;
        self.authenticate(args.mechanism, args.response.0, broker)
    }

    pub(super) fn tune_ok(&mut self, args: &TuneOk) -> Result<(), ProtocolError> {
        let settings = &self.session.settings;
        let channels = (u32::from(args.channel_max), u32::from(settings.channel_max));
        within("channel_max", channels.0, 1, channels.1)?;
        within("frame_max", args.frame_max, FRAME_MIN, settings.frame_max)?;
        self.channel_max = args.channel_max;
        self.frame_max = args.frame_max;
        self.heartbeat_s = args.heartbeat_s;
        self.phase = Phase::Opening;
        Ok(())
    }

    pub(super) fn open<B: Broker>(
        &mut self,
        args: &Open<'_>,
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        let vhost: Arc<str> = args.vhost.into();
        let topology = broker.topology();
        if topology.vhost(&vhost).is_none() {
            return Err(ProtocolError::NoVhost { vhost });
        }
        let user = self.session.user.clone();
        self.session.vhost = vhost.clone();
        self.take_a_place(broker)?;
        let topology = broker.topology();
        if topology.access(&vhost, &user).is_none() {
            return Err(ProtocolError::VhostRefused { vhost, user });
        }
        // What is sent keeps to the agreement; a client may be wrong by what a frame has around its
        // payload (behaviour A39).
        self.payload_max = match self.frame_max {
            0 => u32::MAX,
            octets => octets,
        };
        self.session.payload_max = self.payload_max - FRAME_OVERHEAD_OCTETS as u32;
        self.topology_version = topology.version();
        connection::open_ok(self.session.output.frames(0));
        self.phase = Phase::Running;
        self.heartbeat.start(self.heartbeat_s, self.session.output.end(), broker.now());
        self.announce_open(broker);
        Ok(())
    }
}

impl Connection {
    /// Counts among the connections of the broker, of its vhost and of its user, unless there are
    /// enough of them (behaviour B59-B61). Given back by `release`.
    fn take_a_place<B: Broker>(&mut self, broker: &mut B) -> Result<(), ProtocolError> {
        let (vhost, user) = (self.session.vhost.clone(), self.session.user.clone());
        let topology = broker.topology();
        let of_vhost = topology.vhost(&vhost).and_then(|vhost| vhost.limits.max_connections);
        let of_user = topology.user(&user).and_then(|user| user.limits.max_connections);
        let nobody = Arc::default();
        let of_node = self.session.settings.connection_max;
        let of_node = of_node.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        broker
            .enter(Counted::Connections, &nobody, of_node)
            .map_err(|limit| ProtocolError::NodeConnections { limit })?;
        if let Err(limit) = broker.enter(Counted::VhostConnections, &vhost, of_vhost) {
            broker.leave(Counted::Connections, &nobody, 1);
            return Err(ProtocolError::VhostFull { vhost, user, limit });
        }
        if let Err(limit) = broker.enter(Counted::UserConnections, &user, of_user) {
            broker.leave(Counted::Connections, &nobody, 1);
            broker.leave(Counted::VhostConnections, &vhost, 1);
            return Err(ProtocolError::UserConnections { user, limit });
        }
        self.counted = true;
        Ok(())
    }
}

/// A negotiated value; 0 stands for "no limit" on both sides (behaviour A13-A15).
fn within(what: &'static str, value: u32, least: u32, most: u32) -> Result<(), ProtocolError> {
    if value != 0 && value < least {
        return Err(ProtocolError::TunedTooLow { what, value, limit: least });
    }
    if most != 0 && (value == 0 || value > most) {
        return Err(ProtocolError::TunedTooHigh { what, value, limit: most });
    }
    Ok(())
}

/// Behaviour A4, A5. Clients decide by product and version what they may use.
fn server_properties(settings: &crate::amqp::ConnectionSettings) -> Vec<u8> {
    const CAPABILITIES: [&str; 9] = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ];
    let capabilities = CAPABILITIES.map(|name| (name.into(), Value::Bool(true))).into();
    let platform = format!("HareMQ {}", settings.version);
    let texts = [
        ("cluster_name", settings.cluster_name.as_str()),
        ("copyright", "Copyright the HareMQ authors"),
        ("information", "Licensed under Apache-2.0. Compatible with RabbitMQ 3.10"),
        ("platform", &platform),
        ("product", "RabbitMQ"),
        ("version", "3.10.8"),
    ];
    let mut fields = vec![("capabilities".into(), Value::Table(Table(capabilities)))];
    fields.extend(texts.map(|(name, text)| (name.into(), Value::text(text))));
    let mut octets = Vec::new();
    Table(fields).encode(&mut octets);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_means_no_limit_and_is_higher_than_any() {
        assert!(within("channel_max", 0, 1, 2047).is_err());
        assert!(within("channel_max", 0, 1, 0).is_ok());
        assert!(within("channel_max", 2048, 1, 2047).is_err());
        assert!(within("frame_max", 1000, 4096, 131_072).is_err());
        assert!(within("frame_max", 131_072, 4096, 131_072).is_ok());
    }
}
