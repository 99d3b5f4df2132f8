//! One connection of the raw client.

use super::arguments::{Arguments, Reader};
use super::frame::{Frame, Received, BODY, HEADER, PROTOCOL_HEADER};
use super::method::{self, Method};
use super::stream::{self, Stream};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long to wait for an answer that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Who logs in, where to, and with which limits.
#[derive(Debug, Clone)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Virtual host.
    pub vhost: String,
    /// Encoded entries of the client-properties table.
    pub client_properties: Vec<u8>,
    /// Heartbeat in seconds; 0 is none.
    pub heartbeat_s: u16,
}

impl Default for Login {
    fn default() -> Login {
        Login {
            user: "guest".into(),
            password: "guest".into(),
            vhost: "/".into(),
            client_properties: Vec::new(),
            heartbeat_s: 0,
        }
    }
}

/// What connection.tune offers, or connection.tune-ok answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tune {
    /// Largest number of channels.
    pub channel_max: u16,
    /// Largest frame in octets, with its header and end.
    pub frame_max: u32,
    /// Seconds.
    pub heartbeat_s: u16,
}

/// A message as delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Delivery tag.
    pub tag: u64,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// The content header's property flags and values as they came.
    pub properties: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection to the broker, at whatever stage the test has brought it to.
#[derive(Debug)]
pub struct Client {
    stream: Box<dyn Stream>,
    inbound: Vec<u8>,
}

impl Client {
    /// Opens a TCP connection and says nothing.
    pub fn connect(broker: SocketAddr) -> Client {
        Client::over(stream::socket(broker))
    }

    /// Speaks over a stream that is there already, and says nothing.
    pub fn over(stream: impl Stream + 'static) -> Client {
        Client { stream: Box::new(stream), inbound: Vec::new() }
    }

    /// Sends the protocol header and takes connection.start.
    pub fn greet(&mut self) -> Frame {
        self.send(PROTOCOL_HEADER);
        self.expect(0, method::CONNECTION_START)
    }

    /// Sends connection.start-ok with PLAIN.
    pub fn start_ok(&mut self, login: &Login) {
        let response = format!("\0{}\0{}", login.user, login.password);
        let arguments = Arguments::new()
            .longstr(&login.client_properties)
            .shortstr("PLAIN")
            .longstr(response.as_bytes())
            .shortstr("en_US");
        self.method(0, method::CONNECTION_START_OK, &arguments);
    }

    /// Takes connection.tune.
    pub fn tune(&mut self) -> Tune {
        let frame = self.expect(0, method::CONNECTION_TUNE);
        let mut arguments = frame.arguments();
        Tune {
            channel_max: arguments.short(),
            frame_max: arguments.long(),
            heartbeat_s: arguments.short(),
        }
    }

    /// Sends connection.tune-ok.
    pub fn tune_ok(&mut self, tune: Tune) {
        let arguments =
            Arguments::new().short(tune.channel_max).long(tune.frame_max).short(tune.heartbeat_s);
        self.method(0, method::CONNECTION_TUNE_OK, &arguments);
    }

    /// Sends connection.open.
    pub fn open(&mut self, vhost: &str) {
        let arguments = Arguments::new().shortstr(vhost).shortstr("").octet(0);
        self.method(0, method::CONNECTION_OPEN, &arguments);
    }

    /// Logs in as guest; the connection is open afterwards.
    pub fn login(broker: SocketAddr) -> Client {
        let (client, answer) = Client::login_as(broker, &Login::default());
        assert_eq!(answer.to_string(), "method (10,41)", "guest cannot log in");
        client
    }

    /// Goes through the handshake and gives the broker's answer to connection.open, or what it said before.
    pub fn login_as(broker: SocketAddr, login: &Login) -> (Client, Received) {
        let mut client = Client::connect(broker);
        let answer = client.log_in(login);
        (client, answer)
    }

    /// Goes through the handshake; gives the answer to connection.open, or what came before it.
    pub fn log_in(&mut self, login: &Login) -> Received {
        self.greet();
        self.start_ok(login);
        self.finish_login(login)
    }

    /// The handshake from connection.tune on.
    pub fn finish_login(&mut self, login: &Login) -> Received {
        let answer = self.receive(PATIENCE);
        let Received::Frame(frame) = &answer else { return answer };
        if frame.method_id() != Some(method::CONNECTION_TUNE) {
            return answer;
        }
        let mut offered = frame.arguments();
        let tune = Tune {
            channel_max: offered.short(),
            frame_max: offered.long(),
            heartbeat_s: login.heartbeat_s,
        };
        self.tune_ok(tune);
        self.open(&login.vhost);
        self.receive(PATIENCE)
    }

    /// Logs in as guest and opens channel 1.
    pub fn login_with_channel(broker: SocketAddr) -> Client {
        let mut client = Client::login(broker);
        client.open_channel(1);
        client
    }

    /// Opens a channel.
    pub fn open_channel(&mut self, channel: u16) {
        let arguments = Arguments::new().shortstr("");
        self.call(channel, method::CHANNEL_OPEN, &arguments, method::CHANNEL_OPEN_OK);
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: &[u8]) {
        self.try_send(octets).unwrap_or_else(|error| panic!("the broker takes no octets: {error}"));
    }

    /// Sends octets as they are, to a broker that may be gone.
    pub fn try_send(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(octets)
    }

    /// Sends a method.
    pub fn method(&mut self, channel: u16, method: Method, arguments: &Arguments) {
        self.send(&Frame::method(channel, method, arguments).encode());
    }

    /// Sends a method and takes the answer, which must be `reply`.
    pub fn call(
        &mut self,
        channel: u16,
        method: Method,
        arguments: &Arguments,
        reply: Method,
    ) -> Frame {
        self.method(channel, method, arguments);
        self.expect(channel, reply)
    }

    /// Waits for the next frame, for at most `limit` from now.
    pub fn receive(&mut self, limit: Duration) -> Received {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(frame) = self.take_frame() {
                return Received::Frame(frame);
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Received::Silence;
            }
            self.stream
                .socket()
                .set_read_timeout(Some(remaining))
                .expect("a time limit can be set");
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Received::Closed,
                Ok(length) => self.inbound.extend(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    return Received::Silence
                }
                Err(_) => return Received::Closed,
            }
        }
    }

    /// Waits for the end of the connection, passing over frames; gives how long it took, None if it does not end.
    pub fn receive_end(&mut self, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        loop {
            match self.receive(limit.saturating_sub(start.elapsed())) {
                Received::Closed => return Some(start.elapsed()),
                Received::Silence => return None,
                Received::Frame(_) => {}
            }
        }
    }

    /// Octets received that are not yet a frame; for answers that are no frames.
    pub fn receive_octets(&mut self, count: usize, limit: Duration) -> Vec<u8> {
        let deadline = Instant::now() + limit;
        while self.inbound.len() < count {
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                break;
            }
            self.stream
                .socket()
                .set_read_timeout(Some(remaining))
                .expect("a time limit can be set");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => self.inbound.extend(&buffer[..length]),
            }
        }
        let count = count.min(self.inbound.len());
        self.inbound.drain(..count).collect()
    }

    fn take_frame(&mut self) -> Option<Frame> {
        if self.inbound.len() < 7 {
            return None;
        }
        let mut reader = Reader::new(&self.inbound);
        let (kind, channel, size) = (reader.octet(), reader.short(), reader.long() as usize);
        if reader.rest().len() <= size {
            return None;
        }
        let payload = reader.raw(size).to_vec();
        assert_eq!(reader.octet(), super::frame::END, "the broker sent a frame without its end");
        self.inbound.drain(..size + 8);
        Some(Frame { kind, channel, payload })
    }

    /// Takes the next frame, which must be this method on this channel.
    pub fn expect(&mut self, channel: u16, method: Method) -> Frame {
        match self.receive(PATIENCE) {
            Received::Frame(frame) if frame.method_id() == Some(method) => {
                assert_eq!(frame.channel, channel, "{method:?} came on another channel");
                frame
            }
            received => panic!("{method:?} is due, this came: {received}"),
        }
    }

    /// Publishes through an exchange; `properties` are flags and values, encoded. Bodies are cut to `frame_max`.
    pub fn publish(
        &mut self,
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &[u8],
        body: &[u8],
    ) -> std::io::Result<()> {
        self.try_send(&Client::publish_octets(channel, exchange, key, properties, body))
    }

    /// What `publish` sends.
    pub fn publish_octets(
        channel: u16,
        exchange: &str,
        key: &str,
        properties: &[u8],
        body: &[u8],
    ) -> Vec<u8> {
        let arguments = Arguments::new().short(0).shortstr(exchange).shortstr(key).octet(0);
        let mut octets = Frame::method(channel, method::BASIC_PUBLISH, &arguments).encode();
        octets.extend(Frame::content_header(channel, body.len() as u64, properties).encode());
        for part in body.chunks(131_072 - 8) {
            octets.extend(Frame::body(channel, part).encode());
        }
        octets
    }

    /// Takes confirms until all publishes up to `last` are confirmed.
    pub fn await_confirms(&mut self, channel: u16, last: u64) {
        let mut confirmed = 0;
        while confirmed != last {
            let tag = self.expect(channel, method::BASIC_ACK).arguments().longlong();
            assert!(tag > confirmed, "confirms come in order: {tag} after {confirmed}");
            confirmed = tag;
        }
        assert_eq!(confirmed, last, "nothing is confirmed that was not published");
    }

    /// The next frame in the middle of a content; None if the connection ends. A broker that stops says so at once,
    /// between the frames of a long one.
    fn part_of_content(&mut self) -> Option<Frame> {
        match self.receive(PATIENCE) {
            Received::Frame(frame) if frame.method_id() == Some(method::CONNECTION_CLOSE) => None,
            Received::Frame(frame) => Some(frame),
            _ => None,
        }
    }

    /// Takes the content that follows `delivery`, a basic.deliver or basic.get-ok; None if the connection ends.
    pub fn content(&mut self, delivery: &Frame) -> Option<Delivery> {
        let mut arguments = delivery.arguments();
        if delivery.method_id() == Some(method::BASIC_DELIVER) {
            arguments.shortstr();
        }
        let (tag, redelivered) = (arguments.longlong(), arguments.octet() & 1 == 1);
        let header = self.part_of_content()?;
        assert_eq!(
            (header.kind, header.channel),
            (HEADER, delivery.channel),
            "content header is due"
        );
        let mut fields = Reader::new(&header.payload[4..]);
        let size = usize::try_from(fields.longlong()).expect("bodies of tests fit into memory");
        let properties = fields.rest().to_vec();
        let mut body = Vec::new();
        while body.len() < size {
            let part = self.part_of_content()?;
            assert_eq!((part.kind, part.channel), (BODY, delivery.channel), "content body is due");
            body.extend(part.payload);
        }
        assert_eq!(body.len(), size, "the body is longer than its header says");
        Some(Delivery { tag, redelivered, properties, body })
    }

    /// Takes one message with basic.get and automatic acknowledgement; None when the queue is empty.
    pub fn get(&mut self, channel: u16, queue: &str) -> Option<Delivery> {
        self.method(
            channel,
            method::BASIC_GET,
            &Arguments::new().short(0).shortstr(queue).octet(1),
        );
        match self.receive(PATIENCE) {
            Received::Frame(frame) if frame.method_id() == Some(method::BASIC_GET_OK) => {
                Some(self.content(&frame).expect("the connection stays"))
            }
            received => {
                assert_eq!(received.to_string(), "method (60,72)", "basic.get {queue}");
                None
            }
        }
    }

    /// Declares a queue; gives how many messages are ready in it. `bits`: passive 1, durable 2, exclusive 4,
    /// auto-delete 8.
    pub fn declare_queue(&mut self, channel: u16, name: &str, bits: u8) -> u32 {
        let arguments = Arguments::new().short(0).shortstr(name).octet(bits).empty_table();
        let reply = self.call(channel, method::QUEUE_DECLARE, &arguments, method::QUEUE_DECLARE_OK);
        let mut reply = reply.arguments();
        reply.shortstr();
        reply.long()
    }

    /// Declares a durable queue whose messages go to the queue `dead` after `ttl_ms` milliseconds.
    pub fn declare_expiring_queue(&mut self, channel: u16, name: &str, ttl_ms: u32, dead: &str) {
        let table = Arguments::new()
            .shortstr("x-message-ttl")
            .raw(b"I")
            .long(ttl_ms)
            .shortstr("x-dead-letter-exchange")
            .raw(b"S")
            .longstr(b"")
            .shortstr("x-dead-letter-routing-key")
            .raw(b"S")
            .longstr(dead.as_bytes());
        let declare = Arguments::new().short(0).shortstr(name).octet(2).longstr(table.octets());
        self.call(channel, method::QUEUE_DECLARE, &declare, method::QUEUE_DECLARE_OK);
    }

    /// Starts a consumer with tag `tag` and manual acknowledgement.
    pub fn consume(&mut self, channel: u16, queue: &str, tag: &str) {
        let arguments =
            Arguments::new().short(0).shortstr(queue).shortstr(tag).octet(0).empty_table();
        self.call(channel, method::BASIC_CONSUME, &arguments, method::BASIC_CONSUME_OK);
    }

    /// Acknowledges one delivery, or all up to it.
    pub fn ack(&mut self, channel: u16, tag: u64, multiple: bool) -> std::io::Result<()> {
        let arguments = Arguments::new().longlong(tag).octet(u8::from(multiple));
        self.try_send(&Frame::method(channel, method::BASIC_ACK, &arguments).encode())
    }

    /// Limits unacknowledged deliveries per consumer started afterwards.
    pub fn qos(&mut self, channel: u16, prefetch_count: u16) {
        let arguments = Arguments::new().long(0).short(prefetch_count).octet(0);
        self.call(channel, method::BASIC_QOS, &arguments, method::BASIC_QOS_OK);
    }

    /// Turns publisher confirms on.
    pub fn confirm_select(&mut self, channel: u16) {
        let arguments = Arguments::new().octet(0);
        self.call(channel, method::CONFIRM_SELECT, &arguments, method::CONFIRM_SELECT_OK);
    }

    /// Shows that this connection works from end to end: declares a queue, publishes to it, gets the message.
    pub fn exercise(&mut self, channel: u16) {
        let queue = "exercise";
        self.declare_queue(channel, queue, 4);
        self.publish(channel, "", queue, &[0, 0], b"alive").expect("the broker takes octets");
        let delivery = self.get(channel, queue).expect("the message is there");
        assert_eq!(delivery.body, b"alive");
    }

    /// Fails to send when the broker has taken nothing for so long.
    pub fn give_up_sending_after(&self, limit: Duration) {
        self.stream.socket().set_write_timeout(Some(limit)).expect("a time limit can be set");
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        let without_waiting = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(self.stream.socket(), without_waiting)
            .expect("a socket can be told how to end");
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn end_sending(&mut self) {
        self.stream.end_sending();
    }
}
