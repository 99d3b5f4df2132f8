//! The least broker that a load generator can be tested with: it hands what is published straight to who
//! consumes, checks nothing, and can be told to misbehave. If it is given a device, it writes a page there before
//! it confirms; it reads nothing back.
//!
//! Its reader and writer of frames are its own, so that a mistake in the generator's cannot hide behind it.
//! A thread per connection; one lock, taken once per read.

mod device;
mod octets;

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

pub(crate) use device::Device;
use octets::{frame, method, short, Fields};

/// What the mirror does wrong, counting publishes from 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mischief {
    /// Loses this message.
    pub(crate) lose: Option<u64>,
    /// Delivers this message twice.
    pub(crate) repeat: Option<u64>,
    /// Refuses this publish (basic.nack) and drops the message.
    pub(crate) refuse: Option<u64>,
    /// Closes the connection with 541 instead of taking this message.
    pub(crate) close_at: Option<u64>,
    /// Never confirms this publish.
    pub(crate) forget_confirm: Option<u64>,
    /// Refuses every login.
    pub(crate) refuse_login: bool,
}

#[derive(Default)]
struct Queue {
    /// Header and body frames of messages that nobody consumes yet.
    waiting: VecDeque<Vec<u8>>,
    consumers: Vec<Consumer>,
    turn: usize,
}

struct Consumer {
    stream: TcpStream,
    tag: u64,
    outbox: Vec<u8>,
}

#[derive(Default)]
struct State {
    mischief: Mischief,
    queues: HashMap<String, Queue>,
    fanouts: HashMap<String, Vec<String>>,
    published: u64,
}

/// A mirror that runs until the process ends.
pub(crate) struct Mirror {
    /// TCP port on 127.0.0.1.
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Mirror {
    /// Starts one on `port`, 0 for a free one.
    #[allow(dead_code, reason = "the example says what it wants of a device")]
    pub(crate) fn start(port: u16, mischief: Mischief) -> Mirror {
        Mirror::start_on(port, mischief, None)
    }

    /// As [`Mirror::start`]; what is confirmed has been written to `device`.
    pub(crate) fn start_on(port: u16, mischief: Mischief, device: Option<Device>) -> Mirror {
        let device = device.map(|device| Arc::new(Mutex::new(device)));
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State { mischief, ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, device) = (Arc::clone(&shared), device.clone());
                // A client that hangs up ends its thread, and nothing else.
                thread::spawn(move || Connection::new(stream, state, device).serve());
            }
        });
        Mirror { port, state }
    }

    /// Names of the queues there are.
    #[allow(dead_code, reason = "the example does not ask")]
    pub(crate) fn queues(&self) -> Vec<String> {
        lock(&self.state).queues.keys().cloned().collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no thread panics with the lock")
}

struct Connection {
    stream: TcpStream,
    state: Arc<Mutex<State>>,
    device: Option<Arc<Mutex<Device>>>,
    outbox: Vec<u8>,
    /// Exchange and key of the publish whose content is being read.
    publish: Option<(String, String)>,
    content: Vec<u8>,
    body_left: u64,
    confirms: bool,
    number: u64,
    acked: u64,
}

/// The connection is over, for whatever reason.
struct Over;

impl From<std::io::Error> for Over {
    fn from(_: std::io::Error) -> Over {
        Over
    }
}

impl Connection {
    fn new(
        stream: TcpStream,
        state: Arc<Mutex<State>>,
        device: Option<Arc<Mutex<Device>>>,
    ) -> Connection {
        Connection {
            stream,
            state,
            device,
            outbox: Vec::new(),
            publish: None,
            content: Vec::new(),
            body_left: 0,
            confirms: false,
            number: 0,
            acked: 0,
        }
    }

    fn serve(mut self) -> Result<(), Over> {
        self.stream.set_nodelay(true)?;
        let mut header = [0; 8];
        self.stream.read_exact(&mut header)?;
        let mut start = vec![0, 9];
        let mut properties = Vec::new();
        for (name, value) in [("product", "Mirror"), ("version", "1.2")] {
            short(&mut properties, name);
            properties.push(b'S');
            octets::long(&mut properties, value.as_bytes());
        }
        octets::long(&mut start, &properties);
        octets::long(&mut start, b"AMQPLAIN PLAIN");
        octets::long(&mut start, b"en_US");
        method(&mut self.outbox, 0, 10, 10, &start);
        self.flush()?;
        let mut buffer = vec![0; 512 * 1024];
        let mut filled = 0;
        loop {
            let length = self.stream.read(&mut buffer[filled..])?;
            if length == 0 {
                return Err(Over);
            }
            filled += length;
            let used = self.walk(&buffer[..filled])?;
            buffer.copy_within(used..filled, 0);
            filled -= used;
        }
    }

    fn flush(&mut self) -> Result<(), Over> {
        self.stream.write_all(&self.outbox)?;
        self.outbox.clear();
        Ok(())
    }

    /// Takes all whole frames.
    fn walk(&mut self, octets: &[u8]) -> Result<usize, Over> {
        let shared = Arc::clone(&self.state);
        let mut state = lock(&shared);
        let mut used = 0;
        let mut end = Ok(());
        while let Some((kind, payload, length)) = frame(&octets[used..]) {
            let raw = &octets[used..used + length];
            used += length;
            end = match kind {
                1 => self.method(payload, &mut state),
                2 => {
                    self.body_left = u64::from_be_bytes(payload[4..12].try_into().expect("eight"));
                    self.content_frame(raw, 0, &mut state)
                }
                3 => self.content_frame(raw, payload.len() as u64, &mut state),
                _ => Ok(()),
            };
            if end.is_err() {
                break;
            }
        }
        for consumer in state.queues.values_mut().flat_map(|queue| &mut queue.consumers) {
            // A consumer that is gone is the test's business, not the publisher's.
            let _ = consumer.stream.write_all(&consumer.outbox);
            consumer.outbox.clear();
        }
        drop(state);
        if self.confirms && self.acked < self.number {
            self.acked = self.number;
            if let Some(device) = &self.device {
                device.lock().expect("no thread panics with the device").commit()?;
            }
            let mut ack = self.number.to_be_bytes().to_vec();
            ack.push(1);
            method(&mut self.outbox, 1, 60, 80, &ack);
        }
        self.flush()?;
        end.map(|()| used)
    }

    fn content_frame(&mut self, raw: &[u8], body: u64, state: &mut State) -> Result<(), Over> {
        self.content.extend_from_slice(raw);
        self.body_left -= body;
        if self.body_left > 0 {
            return Ok(());
        }
        let content = std::mem::take(&mut self.content);
        let (exchange, key) = self.publish.take().ok_or(Over)?;
        self.number += 1;
        state.published += 1;
        let is = |number: Option<u64>| number == Some(state.published);
        let mischief = state.mischief;
        if is(mischief.close_at) {
            let mut reason = 541u16.to_be_bytes().to_vec();
            short(&mut reason, "INTERNAL_ERROR - told to");
            reason.extend_from_slice(&[0, 0, 0, 0]);
            method(&mut self.outbox, 0, 10, 50, &reason);
            self.flush()?;
            return Err(Over);
        }
        if is(mischief.refuse) || is(mischief.forget_confirm) {
            // What came before is confirmed by itself, so that the next ack need not be multiple over this.
            for number in self.acked + 1..self.number {
                let mut ack = number.to_be_bytes().to_vec();
                ack.push(0);
                method(&mut self.outbox, 1, 60, 80, &ack);
            }
            self.acked = self.number;
        }
        if is(mischief.refuse) {
            let mut nack = self.number.to_be_bytes().to_vec();
            nack.push(0);
            method(&mut self.outbox, 1, 60, 120, &nack);
            return Ok(());
        }
        let copies = if is(mischief.lose) { 0 } else { 1 + u64::from(is(mischief.repeat)) };
        for _ in 0..copies {
            state.route(&exchange, &key, &content);
        }
        self.content = content;
        self.content.clear();
        Ok(())
    }

    fn method(&mut self, payload: &[u8], state: &mut State) -> Result<(), Over> {
        let mut fields = Fields(payload);
        let (class, number) = (fields.u16(), fields.u16());
        let out = &mut self.outbox;
        match (class, number) {
            (10, 11) if state.mischief.refuse_login => {
                let mut reason = 403u16.to_be_bytes().to_vec();
                short(&mut reason, "ACCESS_REFUSED - told to");
                reason.extend_from_slice(&[0, 0, 0, 0]);
                method(out, 0, 10, 50, &reason);
            }
            (10, 11) => method(out, 0, 10, 30, &[7, 255, 0, 2, 0, 0, 0, 60]),
            (10, 40) => method(out, 0, 10, 41, &[0]),
            (10, 50) => method(out, 0, 10, 51, &[]),
            (20, 10) => method(out, 1, 20, 11, &[0, 0, 0, 0]),
            (20, 40) => method(out, 1, 20, 41, &[]),
            (40, 10) => {
                fields.u16();
                state.fanouts.insert(fields.short(), Vec::new());
                method(out, 1, 40, 11, &[]);
            }
            (40, 20) => method(out, 1, 40, 21, &[]),
            (50, 10) => {
                fields.u16();
                let name = fields.short();
                let queue = state.queues.entry(name.clone()).or_default();
                let mut answer = Vec::new();
                short(&mut answer, &name);
                answer.extend_from_slice(&(queue.waiting.len() as u32).to_be_bytes());
                answer.extend_from_slice(&[0; 4]);
                method(out, 1, 50, 11, &answer);
            }
            (50, 20) => {
                fields.u16();
                let (queue, exchange) = (fields.short(), fields.short());
                state.fanouts.entry(exchange).or_default().push(queue);
                method(out, 1, 50, 21, &[]);
            }
            (50, 40) => {
                fields.u16();
                state.queues.remove(&fields.short());
                method(out, 1, 50, 41, &[0; 4]);
            }
            (60, 10) => method(out, 1, 60, 11, &[]),
            (60, 20) => {
                fields.u16();
                let name = fields.short();
                let mut answer = Vec::new();
                short(&mut answer, "haremq-perf");
                method(out, 1, 60, 21, &answer);
                // Before any message: the deliveries are written by other threads.
                self.flush()?;
                let stream = self.stream.try_clone()?;
                state.queues.entry(name).or_default().consume(stream);
            }
            (60, 40) => {
                fields.u16();
                self.publish = Some((fields.short(), fields.short()));
            }
            (85, 10) => {
                self.confirms = true;
                method(out, 1, 85, 11, &[]);
            }
            _ => {}
        }
        Ok(())
    }
}

impl State {
    fn route(&mut self, exchange: &str, key: &str, content: &[u8]) {
        let targets = match self.fanouts.get(exchange) {
            Some(queues) => queues.clone(),
            None => vec![key.to_owned()],
        };
        for name in targets {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.push(content);
            }
        }
    }
}

impl Queue {
    fn consume(&mut self, stream: TcpStream) {
        self.consumers.push(Consumer { stream, tag: 0, outbox: Vec::new() });
        for content in std::mem::take(&mut self.waiting) {
            self.push(&content);
        }
    }

    fn push(&mut self, content: &[u8]) {
        if self.consumers.is_empty() {
            self.waiting.push_back(content.to_vec());
            return;
        }
        self.turn = (self.turn + 1) % self.consumers.len();
        let consumer = &mut self.consumers[self.turn];
        consumer.tag += 1;
        let mut arguments = Vec::with_capacity(32);
        short(&mut arguments, "haremq-perf");
        arguments.extend_from_slice(&consumer.tag.to_be_bytes());
        arguments.push(0);
        short(&mut arguments, "");
        short(&mut arguments, "key");
        method(&mut consumer.outbox, 1, 60, 60, &arguments);
        consumer.outbox.extend_from_slice(content);
    }
}
