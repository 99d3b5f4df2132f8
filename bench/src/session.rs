//! A connection that asks and waits: handshake, declarations, deletions. What is measured does not run here;
//! for that a session is turned into a [`Link`], keeping the octets that were read and not yet used.
//!
//! Blocking, with a deadline on each answer. Used by the main thread and by the commands that count
//! connections and declarations.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Serialize;

use crate::error::{PerfError, Result};
use crate::link::Link;
use crate::stream::Stream;
use crate::uri::AmqpUri;
use crate::wire::frame::{Frame, METHOD, OVERHEAD, PROTOCOL_HEADER};
use crate::wire::method;
use crate::wire::reply::Reply;
use crate::wire::table::Table;

/// How long to wait for TCP.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait for an answer. A broker under load may take its time over a declaration.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The frame_max asked for when the broker offers no less: RabbitMQ's default.
const FRAME_MAX: u32 = 131_072;
/// The channel_max asked for when the broker offers no less.
const CHANNEL_MAX: u16 = 2047;

/// What the broker says that it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    /// server-properties product.
    pub(crate) product: String,
    /// server-properties version.
    pub(crate) version: String,
    /// server-properties platform: what tells a broker from another that it is compatible with.
    pub(crate) platform: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.product, self.version)?;
        match self.platform.as_str() {
            "" => Ok(()),
            platform => write!(f, " ({platform})"),
        }
    }
}

/// An open connection with, after [`Session::open_channel`], channel 1.
pub(crate) struct Session {
    stream: Stream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    frame_max: u32,
    channel_max: u16,
    identity: Identity,
}

impl Session {
    /// Connects, logs in and opens the vhost. `name` is what the broker lists the connection as.
    pub(crate) fn connect(uri: &AmqpUri, name: &str) -> Result<Session> {
        let stream = connect(uri)?;
        let mut session = Session {
            stream,
            inbox: Vec::new(),
            outbox: PROTOCOL_HEADER.to_vec(),
            frame_max: FRAME_MAX,
            channel_max: CHANNEL_MAX,
            identity: Identity::default(),
        };
        session.handshake(uri, name)?;
        Ok(session)
    }

    /// The same with channel 1 open.
    pub(crate) fn with_channel(uri: &AmqpUri, name: &str) -> Result<Session> {
        let mut session = Session::connect(uri, name)?;
        session.open_channel(1)?;
        Ok(session)
    }

    fn handshake(&mut self, uri: &AmqpUri, name: &str) -> Result<()> {
        self.flush("sending the protocol header")?;
        match self.answer("waiting for connection.start")? {
            Reply::Start { properties, mechanisms } => {
                let text = |name| properties.text(name).unwrap_or_default().to_owned();
                self.identity = Identity {
                    product: text("product"),
                    version: text("version"),
                    platform: text("platform"),
                };
                if !mechanisms.split(' ').any(|mechanism| mechanism == "PLAIN") {
                    return Err(PerfError::NoPlain { address: uri.address(), mechanisms });
                }
            }
            other => return Err(unexpected("waiting for connection.start", &other)),
        }
        let refused = |detail| PerfError::LoginRefused {
            address: uri.address(),
            user: uri.user.clone(),
            detail,
        };
        method::connection_start_ok(&mut self.outbox, &uri.user, &uri.password, name);
        self.flush("logging in")?;
        match self.answer("logging in") {
            Ok(Reply::Tune { channel_max, frame_max }) => {
                self.frame_max = least(frame_max, FRAME_MAX);
                self.channel_max = least(u32::from(channel_max), u32::from(CHANNEL_MAX)) as u16;
            }
            Ok(other) => return Err(unexpected("logging in", &other)),
            // Brokers that do not know authentication_failure_close hang up.
            Err(PerfError::Disconnected(_)) => return Err(refused(String::new())),
            Err(PerfError::ConnectionClosed(reason)) if reason.code == 403 => {
                return Err(refused(format!(" ({} {})", reason.code, reason.text)));
            }
            Err(other) => return Err(other),
        }
        method::connection_tune_ok(&mut self.outbox, self.channel_max, self.frame_max, 0);
        self.call("opening the vhost", Reply::OpenOk, |out| {
            method::connection_open(out, &uri.vhost);
        })
    }

    /// What the broker says that it is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The negotiated longest frame, in octets.
    pub(crate) fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// channel.open.
    pub(crate) fn open_channel(&mut self, channel: u16) -> Result<()> {
        self.call("opening a channel", Reply::ChannelOpenOk, |out| {
            method::channel_open(out, channel);
        })
    }

    /// channel.close.
    pub(crate) fn close_channel(&mut self, channel: u16) -> Result<()> {
        self.call("closing a channel", Reply::ChannelCloseOk, |out| {
            method::channel_close(out, channel);
        })
    }

    /// Declares an exchange.
    pub(crate) fn declare_exchange(&mut self, name: &str, kind: &str, durable: bool) -> Result<()> {
        self.call("declaring an exchange", Reply::ExchangeDeclareOk, |out| {
            method::exchange_declare(out, name, kind, durable);
        })
    }

    /// Deletes an exchange.
    pub(crate) fn delete_exchange(&mut self, name: &str) -> Result<()> {
        self.call("deleting an exchange", Reply::ExchangeDeleteOk, |out| {
            method::exchange_delete(out, name);
        })
    }

    /// Declares a queue.
    pub(crate) fn declare_queue(
        &mut self,
        name: &str,
        durable: bool,
        arguments: &Table,
    ) -> Result<()> {
        self.queue_declare("declaring a queue", name, false, durable, arguments).map(|_| ())
    }

    /// Asks how many messages are ready in a queue; an error if there is no such queue.
    pub(crate) fn inspect_queue(&mut self, name: &str) -> Result<u32> {
        self.queue_declare("inspecting a queue", name, true, false, &Table::default())
    }

    fn queue_declare(
        &mut self,
        waiting: &'static str,
        name: &str,
        passive: bool,
        durable: bool,
        arguments: &Table,
    ) -> Result<u32> {
        method::queue_declare(&mut self.outbox, name, passive, durable, arguments);
        self.flush(waiting)?;
        match self.answer(waiting)? {
            Reply::QueueDeclareOk { messages } => Ok(messages),
            other => Err(unexpected(waiting, &other)),
        }
    }

    /// Binds a queue.
    pub(crate) fn bind(
        &mut self,
        queue: &str,
        exchange: &str,
        key: &str,
        arguments: &Table,
    ) -> Result<()> {
        self.call("binding a queue", Reply::QueueBindOk, |out| {
            method::queue_bind(out, queue, exchange, key, arguments);
        })
    }

    /// Deletes a queue with all that is in it.
    pub(crate) fn delete_queue(&mut self, name: &str) -> Result<()> {
        self.call("deleting a queue", Reply::QueueDeleteOk, |out| method::queue_delete(out, name))
    }

    /// Sets the prefetch of the consumers to come.
    pub(crate) fn qos(&mut self, prefetch: u16) -> Result<()> {
        self.call("setting the prefetch", Reply::QosOk, |out| method::basic_qos(out, prefetch))
    }

    /// Turns publisher confirms on.
    pub(crate) fn select_confirms(&mut self) -> Result<()> {
        self.call("asking for confirms", Reply::SelectOk, method::confirm_select)
    }

    /// connection.close and its answer.
    pub(crate) fn close(mut self) -> Result<()> {
        self.call("closing the connection", Reply::ConnectionCloseOk, method::connection_close)
    }

    /// Makes a non-blocking link of it.
    pub(crate) fn into_link(self) -> Result<Link> {
        Link::new(self.stream, self.inbox, self.frame_max - OVERHEAD as u32)
    }

    /// Takes a link back to ask and wait again; `carry` are octets read and not yet used.
    pub(crate) fn from_link(stream: Stream, inbox: Vec<u8>, outbox: Vec<u8>) -> Result<Session> {
        let io = |source| PerfError::Io { doing: "making a socket blocking", source };
        stream.socket().set_nonblocking(false).map_err(io)?;
        Ok(Session {
            stream,
            inbox,
            outbox,
            frame_max: u32::MAX,
            channel_max: CHANNEL_MAX,
            identity: Identity::default(),
        })
    }

    /// Sends a method and waits for exactly this answer.
    fn call(
        &mut self,
        waiting: &'static str,
        expected: Reply,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        encode(&mut self.outbox);
        self.flush(waiting)?;
        match self.answer(waiting)? {
            reply if reply == expected => Ok(()),
            other => Err(unexpected(waiting, &other)),
        }
    }

    fn flush(&mut self, waiting: &'static str) -> Result<()> {
        self.stream.write_all(&self.outbox).map_err(|source| io_error(waiting, source))?;
        self.outbox.clear();
        Ok(())
    }

    /// The next method that is an answer; messages, confirms and notices on the way are dropped.
    fn answer(&mut self, waiting: &'static str) -> Result<Reply> {
        loop {
            while let Some((frame, used)) =
                Frame::take(&self.inbox, self.frame_max.saturating_sub(OVERHEAD as u32))?
            {
                let reply = match frame.kind {
                    METHOD => Some(Reply::decode(frame.payload)?),
                    _ => None,
                };
                let channel = frame.channel;
                self.inbox.drain(..used);
                if let Some(reply) = reply.filter(is_answer) {
                    return self.unless_closed(reply, channel);
                }
            }
            let mut octets = [0; 64 * 1024];
            match self.stream.read(&mut octets) {
                Ok(0) => return Err(PerfError::Disconnected(waiting)),
                Ok(length) => self.inbox.extend_from_slice(&octets[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(io_error(waiting, error)),
            }
        }
    }

    /// Turns the broker's close methods into errors, after the answer that they are owed.
    fn unless_closed(&mut self, reply: Reply, channel: u16) -> Result<Reply> {
        match reply {
            Reply::ConnectionClose(reason) => {
                method::connection_close_ok(&mut self.outbox);
                // The broker may be gone already; the reason is what matters.
                let _ = self.flush("answering connection.close");
                Err(PerfError::ConnectionClosed(reason))
            }
            Reply::ChannelClose(reason) => {
                method::channel_close_ok(&mut self.outbox, channel);
                let _ = self.flush("answering channel.close");
                Err(PerfError::ChannelClosed(reason))
            }
            other => Ok(other),
        }
    }
}

fn is_answer(reply: &Reply) -> bool {
    !matches!(
        reply,
        Reply::Blocked(_)
            | Reply::Unblocked
            | Reply::Flow(_)
            | Reply::Cancel
            | Reply::Ack { .. }
            | Reply::Nack { .. }
            | Reply::Return(_)
            | Reply::Other(60, 60)
    )
}

fn connect(uri: &AmqpUri) -> Result<Stream> {
    let failed = |source| PerfError::Connect { address: uri.address(), source };
    let mut last = None;
    for address in (uri.host.as_str(), uri.port).to_socket_addrs().map_err(failed)? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(failed)?;
                stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
                stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
                return match &uri.tls {
                    None => Ok(Stream::Plain(stream)),
                    Some(trust) => Stream::secure(stream, &uri.host, trust).map_err(failed),
                };
            }
            Err(error) => last = Some(error),
        }
    }
    Err(failed(last.unwrap_or_else(|| ErrorKind::AddrNotAvailable.into())))
}

/// The lesser of an offer, where 0 means no limit, and our own limit.
fn least(offered: u32, own: u32) -> u32 {
    if offered == 0 {
        own
    } else {
        offered.min(own)
    }
}

fn unexpected(waiting: &'static str, reply: &Reply) -> PerfError {
    PerfError::UnexpectedReply { waiting, got: format!("{reply:?}") }
}

fn io_error(waiting: &'static str, source: std::io::Error) -> PerfError {
    match source.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            PerfError::Timeout { seconds: ANSWER_TIMEOUT.as_secs(), waiting }
        }
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            PerfError::Disconnected(waiting)
        }
        _ => PerfError::Io { doing: waiting, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_of_zero_means_no_limit_and_is_answered_with_ours() {
        assert_eq!(least(0, 131_072), 131_072);
        assert_eq!(least(8_192, 131_072), 8_192);
        assert_eq!(least(1 << 20, 131_072), 131_072);
    }
}
