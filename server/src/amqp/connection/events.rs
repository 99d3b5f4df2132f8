//! What a connection tells the event exchange (behaviour C12).

use haremq_engine::event::Event;
use haremq_engine::table::Value;

use super::Connection;
use crate::amqp::broker::Broker;

impl Connection {
    /// An event of this connection, with what is said in all of them; `None`: nobody hears it.
    fn event<B: Broker>(&self, name: &'static str, broker: &B) -> Option<Event> {
        broker.wants_events().then(|| {
            Event::new(name)
                .with_text("user", &self.session.user)
                .with_text("vhost", &self.session.vhost)
        })
    }

    pub(super) fn announce_open<B: Broker>(&self, broker: &mut B) {
        let Some(event) = self.event("connection.created", broker) else { return };
        let report = self.make_report();
        let event = match report.name_given_by_client() {
            Some(name) => event.with_text("user_provided_name", name),
            None => event,
        };
        let event = event
            .with_text("name", &report.name)
            .with_text("peer_host", &report.peer_host)
            .with("peer_port", Value::I64(report.peer_port.into()))
            .with_text("host", &report.host)
            .with("port", Value::I64(report.port.into()))
            .with_text("protocol", "AMQP 0-9-1")
            .with_text("auth_mechanism", report.auth_mechanism)
            .with("frame_max", Value::I64(report.frame_max.into()))
            .with("channel_max", Value::I64(report.channel_max.into()))
            .with("timeout", Value::I64(report.heartbeat_s.into()))
            .with("client_properties", Value::Table(report.client_properties))
            .with("connected_at", Value::I64(report.connected_at_unix_ms as i64));
        broker.announce(&event);
    }

    pub(super) fn announce_end<B: Broker>(&self, broker: &mut B) {
        // One that never got into a vhost was never announced.
        if self.session.vhost.is_empty() {
            return;
        }
        let Some(event) = self.event("connection.closed", broker) else { return };
        let properties = Value::Table(self.client_properties.clone());
        let event = event.with_text("name", &self.make_report().name);
        broker.announce(&event.with("client_properties", properties));
    }

    pub(super) fn announce_channel<B: Broker>(
        &self,
        name: &'static str,
        number: u16,
        broker: &mut B,
    ) {
        let Some(event) = self.event(name, broker) else { return };
        let connection = self.make_report().name;
        let event = event
            .with_text("name", &format!("{connection} ({number})"))
            .with_text("connection", &connection)
            .with("number", Value::I64(number.into()));
        broker.announce(&event);
    }

    /// Somebody has logged in as that user, or has not.
    pub(super) fn announce_login<B: Broker>(&self, user: &str, success: bool, broker: &mut B) {
        if !broker.wants_events() {
            return;
        }
        let name = match success {
            true => "user.authentication.success",
            false => "user.authentication.failure",
        };
        let report = self.make_report();
        let event = Event::new(name)
            .with_text("name", user)
            .with_text("connection_type", "network")
            .with_text("connection_name", &report.name)
            .with_text("peer_host", &report.peer_host)
            .with("peer_port", Value::I64(report.peer_port.into()))
            .with_text("auth_mechanism", report.auth_mechanism);
        broker.announce(&event);
    }
}
