//! From octets to frames to methods and messages.

use super::handshake::HEADER_OCTETS;
use super::phase::Phase;
use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::channel::{Assembled, Context};
use crate::amqp::codec::erlang::Snippet;
use crate::amqp::codec::frame::{
    Content, Frame, BODY, CONTENT_HEADER_OCTETS, FRAME_OVERHEAD_OCTETS, HEADER,
};
use crate::amqp::codec::reader::{Malformed, Reader};
use crate::amqp::error::{Exception, ProtocolError};
use crate::amqp::method::basic::Publish;
use crate::amqp::method::channel::ChannelMethod;
use crate::amqp::method::connection::{self, ConnectionMethod};
use crate::amqp::method::{DecodeError, Method, MethodId, BASIC};

impl Connection {
    /// Takes what it can of `octets`; returns how many were taken.
    pub(super) fn consume<B: Broker>(&mut self, octets: &[u8], broker: &mut B) -> usize {
        let mut at = 0;
        self.blocked_now = broker.publishers_blocked();
        while self.wants_input() {
            let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            match self.phase {
                Phase::Header => match rest.first_chunk::<HEADER_OCTETS>() {
                    Some(header) => {
                        self.protocol_header(header);
                        at += HEADER_OCTETS;
                    }
                    None => break,
                },
                Phase::Silent { .. } | Phase::Finished | Phase::Closing { deaf: true, .. } => {
                    return octets.len();
                }
                _ => match Frame::parse(rest, self.payload_max) {
                    Ok(Some(frame)) => {
                        let taken = self.frame(&frame, rest, broker);
                        if taken == 0 {
                            break;
                        }
                        self.frames_received += 1;
                        at += taken;
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.lost_frames(error.into(), broker);
                        return octets.len();
                    }
                },
            }
        }
        self.look_whether_drifting(broker);
        at
    }

    /// One frame, with what stands behind it; returns the octets that were taken, 0 if the frame
    /// has to wait.
    #[inline]
    fn frame<B: Broker>(&mut self, frame: &Frame<'_>, rest: &[u8], broker: &mut B) -> usize {
        let octets = frame.octets();
        let done = match (self.phase, frame.channel) {
            (Phase::Running, 1..) if self.waits_behind(frame) => {
                return self.hold_back(frame, rest)
            }
            (Phase::Running, 0) if self.closes_behind(frame) => return 0,
            (Phase::Running, 1..) => match frame.payload {
                [0, 60, 0, 40, arguments @ ..] if frame.kind == 1 => {
                    return self.publish_frame(frame, arguments, rest, broker);
                }
                [0, 60, 0, 20, ..] if self.moves_to_consume(frame, broker) => return 0,
                _ if self.holds_part(frame, broker) => return self.hold_back(frame, rest),
                _ => self.channel_frame(frame, broker),
            },
            (Phase::Closing { .. } | Phase::Leaving { .. } | Phase::Closed { .. }, 0) => {
                self.frame_while_closing(frame, broker);
                Ok(())
            }
            (Phase::Closing { .. } | Phase::Leaving { .. } | Phase::Closed { .. }, _) => Ok(()),
            (_, 0) => self.connection_frame(frame, broker),
            // No channels before connection.open-ok.
            (_, _) => Err(unexpected(frame).by(MethodId::NONE)),
        };
        if let Err(exception) = done {
            self.fail(frame.channel, exception, broker);
        }
        octets
    }

    /// A frame of channel 0 in a connection that is not closing.
    fn connection_frame<B: Broker>(
        &mut self,
        frame: &Frame<'_>,
        broker: &mut B,
    ) -> Result<(), Exception> {
        let (id, arguments) = match frame.content() {
            Content::Heartbeat => return Ok(()),
            Content::Method { class, method, arguments } => {
                (MethodId::new(class, method), arguments)
            }
            Content::Unknown => return Err(unknown(frame).by(MethodId::NONE)),
            Content::Header(_) | Content::Body(_) => {
                return Err(unexpected(frame).by(MethodId::NONE))
            }
        };
        let Some(method) = self.decode(0, id, arguments, broker)? else {
            return Ok(());
        };
        let done = match (self.phase, method) {
            (Phase::Starting, Method::Connection(ConnectionMethod::StartOk(args))) => {
                self.start_ok(&args, broker)
            }
            (Phase::Securing, Method::Connection(ConnectionMethod::SecureOk(response))) => {
                self.secure_ok(response.0, broker)
            }
            (Phase::Tuning, Method::Connection(ConnectionMethod::TuneOk(args))) => {
                self.tune_ok(&args)
            }
            (Phase::Opening, Method::Connection(ConnectionMethod::Open(args))) => {
                self.open(&args, broker)
            }
            (Phase::Opening | Phase::Running, Method::Connection(ConnectionMethod::Close(_))) => {
                self.closed_by_client(broker);
                Ok(())
            }
            // A secret that is no password of ours is renewed elsewhere (behaviour A23).
            (Phase::Running, Method::Connection(ConnectionMethod::UpdateSecret(_))) => {
                connection::update_secret_ok(self.session.output.frames(0));
                Ok(())
            }
            (phase, _) => Err(ProtocolError::UnexpectedMethod { state: phase.name() }),
        };
        done.map_err(|error| error.by(id))
    }

    /// A frame of a channel in a running connection.
    fn channel_frame<B: Broker>(
        &mut self,
        frame: &Frame<'_>,
        broker: &mut B,
    ) -> Result<(), Exception> {
        let number = frame.channel;
        let content = frame.content();
        match content {
            Content::Unknown => return Err(unknown(frame).by(MethodId::NONE)),
            Content::Heartbeat => return Err(unexpected(frame).by(MethodId::NONE)),
            _ => {}
        }
        let max_message_size = self.session.settings.max_message_size;
        let Some(channel) = self.channels.get_mut(&number) else {
            return self.frame_of_unopened(frame, broker);
        };
        if channel.is_closing() {
            return self.frame_of_closing(number, &content, broker);
        }
        let assembled = match content {
            Content::Method { class, method, arguments } => {
                channel.assembly.expects_method().map_err(|e| e.by(MethodId::PUBLISH))?;
                return self.channel_method(
                    number,
                    MethodId::new(class, method),
                    arguments,
                    broker,
                );
            }
            Content::Header(header) => {
                let idle = channel.assembly.is_idle();
                (
                    channel
                        .assembly
                        .header(&header, max_message_size)
                        .map_err(|error| (error, idle)),
                    None,
                )
            }
            Content::Body(body) if channel.has_long_body() => {
                self.gathering.part_came();
                let mut cx = Context { session: &mut self.session, broker };
                return channel.body_came(body, &mut cx);
            }
            Content::Body(body) => {
                let idle = channel.assembly.is_idle();
                (channel.assembly.body(body).map_err(|error| (error, idle)), Some(body))
            }
            Content::Heartbeat | Content::Unknown => return Ok(()),
        };
        let mut cx = Context { session: &mut self.session, broker };
        match assembled {
            (Ok(Assembled::Partly), Some(_)) => {
                self.gathering.part_came();
                Ok(())
            }
            (Ok(Assembled::Partly), None) => channel.header_came(&mut cx),
            (Ok(Assembled::Whole), _) => channel.publish_assembled(None, &mut cx),
            (Ok(Assembled::InOneFrame), body) => channel.publish_assembled(body, &mut cx),
            (Err((error, true)), _) => Err(error.by(MethodId::NONE)),
            (Err((error, false)), _) => Err(error.by(MethodId::PUBLISH)),
        }
    }

    fn channel_method<B: Broker>(
        &mut self,
        number: u16,
        id: MethodId,
        arguments: &[u8],
        broker: &mut B,
    ) -> Result<(), Exception> {
        let Some(method) = self.decode(number, id, arguments, broker)? else {
            return Ok(());
        };
        match method {
            Method::Channel(ChannelMethod::Open) => Err(ProtocolError::SecondChannelOpen.by(id)),
            Method::Channel(ChannelMethod::Close(_)) => {
                self.close_channel(number, broker);
                Ok(())
            }
            Method::Channel(ChannelMethod::Flow(flow)) => self.flow(number, flow.active, id),
            Method::Channel(ChannelMethod::FlowOk | ChannelMethod::CloseOk) => {
                Err(ProtocolError::UnimplementedMethod.by(id))
            }
            method => {
                let Some(channel) = self.channels.get_mut(&number) else {
                    return Ok(());
                };
                let mut cx = Context { session: &mut self.session, broker };
                let done = channel.method(id, method, &mut cx);
                if channel.is_awaiting() {
                    self.waiting = Some(number);
                }
                done
            }
        }
    }

    /// basic.publish: where the whole message lies in the input it is taken at once, without a
    /// copy; else its method waits in the channel for the rest.
    #[inline]
    fn publish_frame<B: Broker>(
        &mut self,
        frame: &Frame<'_>,
        arguments: &[u8],
        rest: &[u8],
        broker: &mut B,
    ) -> usize {
        if self.hold_publisher() {
            return self.hold_back(frame, rest);
        }
        let octets = frame.octets();
        let usable = self
            .channels
            .get_mut(&frame.channel)
            .filter(|channel| !channel.is_closing() && channel.assembly.is_idle());
        let Some(channel) = usable else {
            if let Err(exception) = self.channel_frame(frame, broker) {
                self.fail(frame.channel, exception, broker);
            }
            return octets;
        };
        let mut reader = Reader::new(arguments);
        let publish = Publish::read(&mut reader).and_then(|publish| {
            reader.finish()?;
            Ok(publish)
        });
        let publish = match publish {
            Ok(publish) => publish,
            Err(malformed) => {
                let error = ProtocolError::malformed(malformed, arguments);
                self.fail(frame.channel, error.by(MethodId::PUBLISH), broker);
                return octets;
            }
        };
        let behind = rest.get(octets..).unwrap_or_default();
        let Some(message) = Message::whole(behind, frame.channel, self.payload_max) else {
            channel.assembly.start(&publish);
            return octets;
        };
        let mut cx = Context { session: &mut self.session, broker };
        let published = channel.publish(&publish, message.properties, message.body, &mut cx);
        if let Err(exception) = published {
            self.fail(frame.channel, exception, broker);
        }
        octets + message.octets
    }

    /// Decodes a method; `None`: it does not exist, and that was the end (behaviour A46).
    pub(super) fn decode<'a, B: Broker>(
        &mut self,
        channel: u16,
        id: MethodId,
        arguments: &'a [u8],
        broker: &mut B,
    ) -> Result<Option<Method<'a>>, Exception> {
        match Method::decode(id, arguments) {
            Ok(method) => Ok(Some(method)),
            Err(DecodeError::Malformed(malformed)) => {
                // RabbitMQ forgets which method it was when a name is no text (behaviour A48).
                let culprit = match malformed {
                    Malformed::Text if channel > 0 => MethodId::NONE,
                    _ => id,
                };
                Err(ProtocolError::malformed(malformed, arguments).by(culprit))
            }
            Err(DecodeError::Unknown) => {
                let MethodId { class, method } = id;
                self.abort(format!("unknown method ({class}, {method})"), broker);
                Ok(None)
            }
        }
    }
}

/// A message that lies whole in the input.
struct Message<'a> {
    properties: &'a [u8],
    body: &'a [u8],
    /// Of its header and body frames.
    octets: usize,
}

impl<'a> Message<'a> {
    /// The header and the one body frame at the head of `octets`. `None`: they are not all there,
    /// or there are more, or something is wrong with them.
    #[inline]
    fn whole(octets: &'a [u8], channel: u16, payload_max: u32) -> Option<Self> {
        let header = Frame::payload_of(octets, HEADER, channel, payload_max)?;
        let (head, properties) = header.split_first_chunk::<CONTENT_HEADER_OCTETS>()?;
        let (place, size) = head.split_first_chunk::<4>()?;
        // Class, and a weight of 0.
        if *place != [0, BASIC as u8, 0, 0] {
            return None;
        }
        let body_size = size.first_chunk::<8>().map(|size| u64::from_be_bytes(*size))?;
        let mut taken = header.len() + FRAME_OVERHEAD_OCTETS;
        let mut body: &[u8] = &[];
        if body_size > 0 {
            body = Frame::payload_of(octets.get(taken..)?, BODY, channel, payload_max)?;
            if body.len() as u64 != body_size {
                return None;
            }
            taken += body.len() + FRAME_OVERHEAD_OCTETS;
        }
        Some(Message { properties, body, octets: taken })
    }
}

fn unknown(frame: &Frame<'_>) -> ProtocolError {
    ProtocolError::UnknownFrame { kind: frame.kind, payload: Snippet::of(frame.payload) }
}

fn unexpected(frame: &Frame<'_>) -> ProtocolError {
    ProtocolError::UnexpectedFrame { kind: frame.kind, payload: Snippet::of(frame.payload) }
}
