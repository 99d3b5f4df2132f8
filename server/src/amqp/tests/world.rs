//! Clients, their connections, and the stand-in, turned until nothing moves.

use std::sync::Arc;

use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::mail::DeliveryTo;
use haremq_engine::table::Value;

use super::stand_in::{Mail, StandIn};
use super::wire::{self, args, method, Args, Said};
use crate::amqp::{Connection, ConnectionSettings};

/// One client with its connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) connection: Connection,
    /// Sent and not consumed.
    unread: Vec<u8>,
    heard: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) broker: StandIn,
    pub(super) settings: ConnectionSettings,
    pub(super) clients: Vec<Client>,
    pub(super) peer: &'static str,
    /// How often a connection has moved to another shard.
    pub(super) moves: usize,
    /// Octets that a socket takes at once.
    pub(super) write_size: usize,
}

impl World {
    pub(super) fn new() -> Self {
        World {
            broker: StandIn::new(),
            settings: ConnectionSettings::default(),
            clients: Vec::new(),
            peer: "127.0.0.1:50168",
            moves: 0,
            write_size: usize::MAX,
        }
    }

    /// A socket that has said nothing.
    pub(super) fn accept(&mut self) -> usize {
        let number = self.clients.len();
        let connection = Connection::new(
            Arc::new(self.settings.clone()),
            ConnectionId::new(ShardId(0), number as u64 + 1),
            ShardId(0),
            self.peer.parse().expect("an address"),
            "127.0.0.1:5672".parse().expect("an address"),
            self.broker.now,
        );
        self.clients.push(Client { connection, unread: Vec::new(), heard: Vec::new() });
        number
    }

    /// Sends octets and turns the world; returns what was answered.
    pub(super) fn send(&mut self, client: usize, octets: &[u8]) -> Vec<Said> {
        self.clients[client].unread.extend_from_slice(octets);
        self.turn();
        self.heard(client)
    }

    /// What a client has heard since it was last asked.
    pub(super) fn heard(&mut self, client: usize) -> Vec<Said> {
        wire::frames(&self.heard_octets(client))
    }

    pub(super) fn heard_octets(&mut self, client: usize) -> Vec<u8> {
        std::mem::take(&mut self.clients[client].heard)
    }

    /// Sends octets and shows the answer as the recorded answers are shown.
    pub(super) fn show(&mut self, client: usize, octets: &[u8]) -> Vec<String> {
        self.send(client, octets).iter().map(Said::to_string).collect()
    }

    /// One method on channel 1, answered by the one frame that is returned.
    pub(super) fn ask(&mut self, client: usize, class: u16, id: u16, args: Args) -> Said {
        let said = self.send(client, &method(1, class, id, args));
        assert_eq!(said.len(), 1, "answers: {said:?}");
        said.into_iter().next().expect("one answer")
    }

    pub(super) fn turn(&mut self) {
        loop {
            let mut moved = false;
            for Client { connection, unread, .. } in &mut self.clients {
                while connection.wants_input() && !unread.is_empty() {
                    let consumed = connection.receive(unread, &mut self.broker);
                    unread.drain(..consumed);
                    moved |= consumed > 0;
                    if consumed == 0 {
                        break;
                    }
                }
            }
            self.broker.dispatch();
            while let Some(mail) = self.broker.mail.pop_front() {
                moved = true;
                self.hand_over(mail);
            }
            for (at, client) in self.clients.iter_mut().enumerate() {
                let Client { connection, heard, .. } = client;
                connection.end_of_turn(&mut self.broker);
                let size = connection.output().len().min(self.write_size);
                moved |= size > 0;
                heard.extend_from_slice(&connection.output()[..size]);
                connection.wrote(size, &mut self.broker);
                if let Some(shard) = connection.destination().filter(|_| connection.is_portable()) {
                    connection.leave(ConnectionId::new(shard, at as u64 + 1), &mut self.broker);
                    self.moves += 1;
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn hand_over(&mut self, mail: Mail) {
        match mail {
            Mail::Notice(notice) => {
                let serial = notice.channel().connection.serial();
                if let Some(client) = self.clients.get_mut(serial as usize - 1) {
                    client.connection.notice(notice, &mut self.broker);
                }
            }
            Mail::Delivery(sent) => {
                let serial = sent.connection.serial();
                let now = self.broker.now;
                if let Some(client) = self.clients.get_mut(serial as usize - 1) {
                    sent.with(|delivery| {
                        debug_assert!(matches!(
                            delivery.to,
                            DeliveryTo::Consumer { .. } | DeliveryTo::Get { .. }
                        ));
                        client.connection.deliver(sent.from, delivery, now);
                    });
                }
            }
        }
    }

    /// Lets time pass in steps of 10 ms; returns when which client heard what, in milliseconds.
    pub(super) fn wait(&mut self, client: usize, ms: u64) -> Vec<(u64, String)> {
        let mut events = Vec::new();
        for elapsed in (10..=ms).step_by(10) {
            self.broker.now.monotonic_us += 10_000;
            let now_us = self.broker.now.monotonic_us;
            for Client { connection, .. } in &mut self.clients {
                if connection.deadline_us().is_some_and(|due| due <= now_us) {
                    connection.tick(&mut self.broker);
                }
            }
            self.turn();
            events.extend(self.heard(client).iter().map(|said| (elapsed, said.to_string())));
            if self.clients[client].connection.is_finished() {
                events.push((elapsed, "end".to_owned()));
                return events;
            }
        }
        events
    }

    /// The socket of a client is gone.
    pub(super) fn hang_up(&mut self, client: usize) {
        self.clients[client].connection.disconnected(&mut self.broker);
        self.clients[client].unread.clear();
        self.turn();
    }

    /// A client that is logged in as guest, with the capabilities of a modern one.
    pub(super) fn connect(&mut self) -> usize {
        let capabilities = [
            ("consumer_cancel_notify", Value::Bool(true)),
            ("connection.blocked", Value::Bool(true)),
            ("authentication_failure_close", Value::Bool(true)),
        ];
        let properties = [("capabilities", Value::Table(wire::table(&capabilities)))];
        self.log_in("guest", "guest", &properties, (2047, 131_072, 0), "/")
    }

    /// As `connect`, with channel 1 open.
    pub(super) fn open(&mut self) -> usize {
        let client = self.connect();
        self.open_channel(client, 1);
        client
    }

    pub(super) fn open_channel(&mut self, client: usize, number: u16) {
        let said = self.show(client, &method(number, 20, 10, args().short("")));
        assert_eq!(said, [format!("method(20,11) ch={number}")]);
    }

    pub(super) fn log_in(
        &mut self,
        user: &str,
        password: &str,
        properties: &[(&str, Value)],
        (channel_max, frame_max, heartbeat_s): (u16, u32, u16),
        vhost: &str,
    ) -> usize {
        let client = self.accept();
        self.send(client, b"AMQP\0\0\x09\x01");
        let response = format!("\0{user}\0{password}");
        self.send(client, &start_ok("PLAIN", response.as_bytes(), properties));
        let tune = args().u16(channel_max).u32(frame_max).u16(heartbeat_s);
        self.send(client, &method(0, 10, 31, tune));
        let open = method(0, 10, 40, args().short(vhost).short("").u8(0));
        let said = self.show(client, &open);
        assert_eq!(said, ["method(10,41) ch=0"]);
        client
    }

    /// Declares a plain queue.
    pub(super) fn declare(&mut self, client: usize, name: &str) {
        let said = self.ask(client, 50, 10, declare_queue(name, 0, &[]));
        assert_eq!(said.id(), (50, 11), "{said}");
    }
}

pub(super) fn start_ok(mechanism: &str, response: &[u8], properties: &[(&str, Value)]) -> Vec<u8> {
    let args = args().table(properties).short(mechanism).long(response).short("en_US");
    method(0, 10, 11, args)
}

/// `bits`: 1 passive, 2 durable, 4 exclusive, 8 auto-delete, 16 nowait.
pub(super) fn declare_queue(name: &str, bits: u8, arguments: &[(&str, Value)]) -> Args {
    args().u16(0).short(name).u8(bits).table(arguments)
}

/// `bits`: 1 passive, 2 durable, 4 auto-delete, 8 internal, 16 nowait.
pub(super) fn declare_exchange(
    name: &str,
    kind: &str,
    bits: u8,
    arguments: &[(&str, Value)],
) -> Args {
    args().u16(0).short(name).short(kind).u8(bits).table(arguments)
}

/// `bits`: 1 no-local, 2 no-ack, 4 exclusive, 8 nowait.
pub(super) fn consume(queue: &str, tag: &str, bits: u8) -> Args {
    args().u16(0).short(queue).short(tag).u8(bits).table(&[])
}

pub(super) fn get(queue: &str, no_ack: bool) -> Args {
    args().u16(0).short(queue).u8(u8::from(no_ack))
}

pub(super) fn bind_queue(queue: &str, exchange: &str, key: &str) -> Args {
    args().u16(0).short(queue).short(exchange).short(key).u8(0).table(&[])
}

pub(super) fn ack(tag: u64, multiple: bool) -> Args {
    args().u64(tag).u8(u8::from(multiple))
}

/// `bits`: 1 multiple, 2 requeue.
pub(super) fn nack(tag: u64, bits: u8) -> Args {
    args().u64(tag).u8(bits)
}

pub(super) fn qos(count: u16, global: bool) -> Args {
    args().u32(0).u16(count).u8(u8::from(global))
}
