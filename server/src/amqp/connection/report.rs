//! What listings show of a connection.

use super::phase::Phase;
use super::Connection;
use crate::control::{ChannelReport, ConnectionReport};

impl Connection {
    /// `127.0.0.1:50168 -> 127.0.0.1:5672`
    pub(super) fn name(&self) -> String {
        format!("{} -> {}", self.peer, self.local)
    }

    pub(super) fn make_report(&self) -> ConnectionReport {
        let state = match (self.phase, self.blocked) {
            (Phase::Running, Some(_)) => "blocked",
            (phase, _) => phase.name(),
        };
        ConnectionReport {
            id: self.session.id,
            name: self.name(),
            user: self.session.user.clone(),
            vhost: self.session.vhost.clone(),
            state,
            peer_host: self.peer.ip().to_canonical().to_string(),
            peer_port: self.peer.port(),
            host: self.local.ip().to_canonical().to_string(),
            port: self.local.port(),
            channels: self.channels.len() as u32,
            channel_max: self.channel_max,
            frame_max: self.frame_max,
            heartbeat_s: self.heartbeat_s,
            connected_at_unix_ms: self.connected_at_unix_ms,
            client_properties: self.client_properties.clone(),
            auth_mechanism: self.mechanism,
            tls: self.tls.as_ref().map(|login| login.report.clone()),
            recv_oct: self.octets_received,
            send_oct: self.session.output.octets_sent(),
            recv_cnt: self.frames_received,
            send_cnt: self.writes,
        }
    }

    pub(super) fn make_channel_reports(&self) -> Vec<ChannelReport> {
        let name = self.name();
        let mut reports: Vec<_> = self
            .channels
            .values()
            .map(|channel| channel.report(name.clone(), &self.session))
            .collect();
        reports.sort_unstable_by_key(|report| report.number);
        reports
    }
}
