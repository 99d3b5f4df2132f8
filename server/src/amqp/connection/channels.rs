//! Opening and closing channels (behaviour A29-A37).

use std::sync::Arc;

use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::channel::{Channel, Context};
use crate::amqp::codec::frame::{Content, Frame};
use crate::amqp::error::{Exception, ProtocolError};
use crate::amqp::method::channel::{self, ChannelMethod};
use crate::amqp::method::{Method, MethodId};
use crate::amqp::population::Counted;

impl Connection {
    /// A frame on a channel that is not open: channel.open, or an error (behaviour A31).
    pub(super) fn frame_of_unopened<B: Broker>(
        &mut self,
        frame: &Frame<'_>,
        broker: &mut B,
    ) -> Result<(), Exception> {
        let Content::Method { class, method, arguments } = frame.content() else {
            return Err(ProtocolError::ExpectedMethod.by(MethodId::NONE));
        };
        let id = MethodId::new(class, method);
        match self.decode(frame.channel, id, arguments, broker)? {
            None => Ok(()),
            Some(Method::Channel(ChannelMethod::Open)) => {
                self.open_channel(frame.channel, broker).map_err(|error| error.by(MethodId::NONE))
            }
            Some(_) => Err(ProtocolError::ExpectedChannelOpen.by(id)),
        }
    }

    /// The limit is on the number of open channels, not on their numbers (behaviour A32). One that
    /// was closed here is open until the client has agreed.
    fn open_channel<B: Broker>(
        &mut self,
        number: u16,
        broker: &mut B,
    ) -> Result<(), ProtocolError> {
        let open = self.channels.len();
        if self.channel_max > 0 && open >= usize::from(self.channel_max) {
            let channel_max = self.channel_max;
            return Err(ProtocolError::TooManyChannels { open, channel_max });
        }
        let user = &self.session.user;
        let limit = broker.topology().user(user).and_then(|user| user.limits.max_channels);
        broker.enter(Counted::UserChannels, user, limit).map_err(|limit| {
            let user = user.clone();
            ProtocolError::UserChannels { user, limit }
        })?;
        let settings = &self.session.settings;
        let of_node =
            settings.channel_max_per_node.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        if let Err(limit) = broker.enter(Counted::Channels, &Arc::default(), of_node) {
            broker.leave(Counted::UserChannels, user, 1);
            let node = settings.cluster_name.clone();
            return Err(ProtocolError::NodeChannels { node, limit });
        }
        let incarnation = self.session.next_incarnation();
        let seed = u128::from_le_bytes(broker.random()) as u64;
        let opened = Channel::new(self.session.id, number, incarnation, seed);
        self.channels.insert(number, Box::new(opened));
        channel::open_ok(self.session.output.frames(number), number);
        self.announce_channel("channel.created", number, broker);
        Ok(())
    }

    fn channel_left<B: Broker>(&self, broker: &mut B) {
        broker.leave(Counted::UserChannels, &self.session.user, 1);
        broker.leave(Counted::Channels, &Arc::default(), 1);
    }

    /// channel.close from the client.
    pub(super) fn close_channel<B: Broker>(&mut self, number: u16, broker: &mut B) {
        if let Some(mut gone) = self.channels.remove(&number) {
            gone.release(&mut Context { session: &mut self.session, broker });
            self.channel_left(broker);
            channel::close_ok(self.session.output.frames(number), number);
            self.announce_channel("channel.closed", number, broker);
        }
    }

    /// After our channel.close: both sides may close at once, all else is dropped (behaviour
    /// A36), but for an opening that the close has not been answered before: nothing would ever
    /// answer that.
    pub(super) fn frame_of_closing<B: Broker>(
        &mut self,
        number: u16,
        content: &Content<'_>,
        broker: &mut B,
    ) -> Result<(), Exception> {
        let &Content::Method { class, method, arguments } = content else {
            return Ok(());
        };
        let id = MethodId::new(class, method);
        match self.decode(number, id, arguments, broker)? {
            Some(Method::Channel(ChannelMethod::Open)) => {
                return Err(ProtocolError::SecondChannelOpen.by(id));
            }
            Some(Method::Channel(ChannelMethod::CloseOk)) => {
                if self.channels.remove(&number).is_some() {
                    self.channel_left(broker);
                }
                self.announce_channel("channel.closed", number, broker);
            }
            Some(Method::Channel(ChannelMethod::Close(_))) => {
                channel::close_ok(self.session.output.frames(number), number);
            }
            _ => {}
        }
        Ok(())
    }

    /// Behaviour A37.
    pub(super) fn flow(
        &mut self,
        number: u16,
        active: bool,
        id: MethodId,
    ) -> Result<(), Exception> {
        if !active {
            return Err(ProtocolError::NotImplemented { what: "active=false" }.by(id));
        }
        channel::flow_ok(self.session.output.frames(number), number, true);
        Ok(())
    }
}
