//! The task of one client's socket: both directions, one after the other.
//!
//! Reads go into the shard's one read buffer, which is free again when the call is over; what is
//! left of an incomplete frame, or of input that must wait, is carried over in a vector of the
//! connection's own. An idle connection holds no buffer at all.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::mail::Command;
use haremq_engine::topology::TopologyRequest;

use super::cell::ConnectionCell;
use super::mail::SHUTDOWN_REASON;
use super::shard::ShardRuntime;
use super::transfer::Transfer;
use super::transport::Transport;
use super::turnstile::Accepted;
use crate::amqp::Connection;

/// Input kept for a connection that does not take it now, beyond which its socket is not read.
const CARRY_MAX: usize = 256 << 10;
/// Memory that an empty carry may keep.
const CARRY_KEPT: usize = 4 << 10;

/// Why `poll` came back.
enum Step {
    /// The reactor is to have a look; go on afterwards.
    Pause,
    /// The connection is to live on that shard from now on.
    Leave(ShardId),
    /// All has been said.
    Finished,
    /// The socket is closed or broken, or the connection must not go on.
    Gone,
}

/// The state of one task.
struct Client {
    runtime: Rc<ShardRuntime>,
    cell: Rc<ConnectionCell>,
    transport: Transport,
    /// Octets read and not yet consumed.
    carry: Vec<u8>,
    /// `carry` was refused for another reason than being incomplete.
    stalled: bool,
}

/// Serves an accepted socket until its end. The shard's load counts it already.
pub(super) fn serve(runtime: &Rc<ShardRuntime>, accepted: Accepted) {
    let Accepted { stream, peer, local, door } = accepted;
    let transport = match Transport::new(stream, peer, &door, &runtime.lookout) {
        Ok(transport) if !runtime.is_stopping() => transport,
        _ => return runtime.connection_ended(),
    };
    let id = runtime.next_connection(runtime.shard);
    let cell = {
        let mut host = runtime.host.borrow_mut();
        host.begin();
        let settings = runtime.settings.clone();
        let now = host.world.now;
        let shard = host.world.shard();
        let connection = Connection::new(settings, id, shard, peer, local, now);
        host.world.adopt(id, connection)
    };
    let runtime = runtime.clone();
    let client = Client { runtime, cell, transport, carry: Vec::new(), stalled: false };
    glommio::spawn_local(client.run()).detach();
}

/// Goes on with a connection that has come from another shard. This shard's load counts it
/// already.
pub(super) fn go_on(runtime: &Rc<ShardRuntime>, transfer: Transfer) {
    runtime.arrivals.set(runtime.arrivals.get() + 1);
    let Transfer { id, connection, luggage, carry } = transfer;
    let cell = runtime.turn(None, |host| {
        let cell = host.world.adopt(id, connection);
        if runtime.is_stopping() {
            let mut view = host.view();
            cell.with(|connection| connection.shutdown(SHUTDOWN_REASON, &mut view));
        }
        host.world.touch(&cell);
        cell
    });
    match Transport::unpack(luggage, &runtime.lookout) {
        Ok(transport) => {
            // What came along is looked at before anything is read.
            let stalled = !carry.is_empty();
            let client = Client { runtime: runtime.clone(), cell, transport, carry, stalled };
            glommio::spawn_local(client.run()).detach();
        }
        Err(error) => {
            tracing::warn!(%error, "a connection is lost on its way to another shard");
            disconnected(runtime, &cell);
            runtime.connection_ended();
        }
    }
}

impl Client {
    async fn run(mut self) {
        let end = loop {
            match poll_fn(|cx| self.poll(cx)).await {
                Step::Pause => self.runtime.lookout.breathe().await,
                Step::Leave(shard) => return self.leave(shard),
                end => break end,
            }
        };
        let reset = self.cell.with(|connection| connection.should_reset()).unwrap_or(false);
        if let Some(refusal) = self.cell.with(|connection| connection.refusal()).flatten() {
            tracing::warn!("{refusal}");
        }
        disconnected(&self.runtime, &self.cell);
        if reset {
            self.transport.reset();
        } else if matches!(end, Step::Finished) {
            // Say that this is the end, and take what lies in the receive buffer: closing over
            // unread octets would be a reset, which can overtake our last words.
            poll_fn(|cx| self.say_goodbye(cx)).await;
        }
        drop(self.transport);
        self.runtime.connection_ended();
    }

    /// As much as can be done without waiting.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.cell.register(cx);
        self.runtime.enter();
        loop {
            let wrote = match self.write(cx) {
                Ok(wrote) => wrote,
                Err(_) => return Poll::Ready(Step::Gone),
            };
            if self.cell.is_broken() || self.runtime.is_cut_off() {
                return Poll::Ready(Step::Gone);
            }
            let holds_parts = |connection: &mut Connection| connection.holds_parts_back();
            if self.cell.with(holds_parts).unwrap_or(false) && self.transport.is_abandoned(cx) {
                // Its socket is not read, so its end would not be found, nor the memory given back.
                return Poll::Ready(Step::Gone);
            }
            let over = |connection: &mut Connection| {
                connection.is_finished() && connection.output().is_empty()
            };
            if self.cell.with(over).unwrap_or(true) {
                return Poll::Ready(Step::Finished);
            }
            if let Some(step) = self.look_whether_leaving() {
                return Poll::Ready(step);
            }
            let took = match self.take_input(cx) {
                Ok(took) => took,
                Err(_) => return Poll::Ready(Step::Gone),
            };
            if !wrote && !took {
                return Poll::Pending;
            }
            if self.runtime.budget.is_spent() {
                return Poll::Ready(Step::Pause);
            }
        }
    }

    /// One write of all output there is. True if anything left.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Client { cell, transport, runtime, .. } = self;
        let attempt = cell.with(|connection| match connection.output() {
            [] => None,
            output => Some(transport.poll_write(cx, output)),
        });
        match attempt.flatten() {
            None | Some(Poll::Pending) => Ok(false),
            Some(Poll::Ready(Ok(0))) => Err(io::ErrorKind::WriteZero.into()),
            Some(Poll::Ready(Ok(octets))) => {
                let follows = {
                    let mut host = runtime.host.borrow_mut();
                    host.begin();
                    let mut view = host.view();
                    cell.with(|connection| connection.wrote(octets, &mut view))
                };
                // Nobody waits for most of what is written: it needs no turn.
                if follows != Some(false) {
                    runtime.turn(Some(cell.id), |host| host.world.touch(cell));
                }
                Ok(true)
            }
            Some(Poll::Ready(Err(error))) => Err(error),
        }
    }

    /// Feeds the connection, from what was kept or from the socket. True if it got something it
    /// may have used.
    fn take_input(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let targets = |connection: &mut Connection| {
            connection.wants_input().then(|| connection.published_to())
        };
        let Some(targets) = self.cell.with(targets).flatten() else {
            return Ok(false);
        };
        if self.stalled {
            let carry = std::mem::take(&mut self.carry);
            self.receive(&carry);
            // Nothing was consumed: the vector goes back as it is instead of being copied.
            if self.carry.len() == carry.len() {
                self.carry = carry;
            }
            return Ok(true);
        }
        if self.carry.len() >= CARRY_MAX {
            return Ok(false);
        }
        if !self.runtime.host.borrow_mut().has_room(&self.cell, &targets) {
            return Ok(false);
        }
        let mut buffer = self.runtime.take_read_buffer();
        let kept = self.carry.len();
        let outcome = match self.transport.poll_read(cx, &mut buffer[kept..]) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(Ok(octets)) => {
                buffer[..kept].copy_from_slice(&self.carry);
                self.carry.clear();
                self.introduce();
                self.receive(&buffer[..kept + octets]);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
        };
        self.runtime.return_read_buffer(buffer);
        outcome
    }

    /// Tells the connection what its transport has found out about the client.
    #[inline]
    fn introduce(&mut self) {
        while let Some(news) = self.transport.take_news() {
            self.cell.with(|connection| connection.introduce(news));
        }
    }

    /// Hands octets to the connection and keeps what it leaves. `carry` is empty before.
    fn receive(&mut self, octets: &[u8]) {
        let cell = &self.cell;
        // Whether it stopped of its own accord must be asked at once: the turn that follows may
        // bring the very answer it waits for.
        let received = self.runtime.turn(Some(cell.id), |host| {
            let received = host.input(|host| {
                let mut view = host.view();
                cell.with(|connection| {
                    let consumed = connection.receive(octets, &mut view);
                    (consumed, connection.wants_input())
                })
            });
            host.world.touch(cell);
            received
        });
        let (consumed, wants) = received.unwrap_or((octets.len(), false));
        let rest = &octets[consumed.min(octets.len())..];
        if rest.is_empty() && self.carry.capacity() > CARRY_KEPT {
            self.carry = Vec::new();
        }
        self.carry.extend_from_slice(rest);
        self.stalled = !rest.is_empty() && !wants;
    }

    /// Whether the connection is to go to another shard, and can.
    fn look_whether_leaving(&self) -> Option<Step> {
        let destination = |connection: &mut Connection| {
            connection.destination().filter(|_| connection.is_portable())
        };
        let shard = self.cell.with(destination).flatten()?;
        if self.runtime.is_stopping() {
            self.cell.with(Connection::stay);
            return None;
        }
        // What it has said to third shards must be there before it can say more from elsewhere.
        match self.runtime.host.borrow().world.port.is_heard_by_all_but(shard) {
            true => Some(Step::Leave(shard)),
            false => Some(Step::Pause),
        }
    }

    /// Sends the connection to another shard, with its socket and the octets it has not taken.
    fn leave(self, shard: ShardId) {
        let Client { runtime, cell, transport, carry, .. } = self;
        let id = runtime.next_connection(shard);
        runtime.common.loads.begin(shard);
        runtime.turn(None, |host| {
            let mut view = host.view();
            let left = cell.with(|connection| connection.leave(id, &mut view));
            host.world.remove(cell.id);
            let Some(connection) = left.and_then(|()| cell.take()) else {
                runtime.common.loads.end(shard);
                return forget(host, cell.id, runtime.shards());
            };
            let transfer = Transfer { id, connection, luggage: transport.pack(), carry };
            host.world.port.batch(shard).parcel(transfer.pack());
        });
        runtime.connection_ended();
    }

    fn say_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.transport.shut_down(cx);
        let mut buffer = self.runtime.take_read_buffer();
        let _ = self.transport.poll_read(cx, &mut buffer);
        self.runtime.return_read_buffer(buffer);
        Poll::Ready(())
    }
}

/// The shard forgets the connection.
fn disconnected(runtime: &Rc<ShardRuntime>, cell: &ConnectionCell) {
    runtime.turn(Some(cell.id), |host| {
        let mut view = host.view();
        if cell.with(|connection| connection.disconnected(&mut view)).is_none() {
            forget(host, cell.id, runtime.shards());
        }
        host.world.remove(cell.id);
    });
}

/// For a connection whose own state cannot be trusted any more: its consumers and exclusive
/// queues go. What it had not settled stays unsettled until the next start.
fn forget(host: &mut super::host::Host, connection: ConnectionId, shards: u16) {
    for shard in (0..shards).map(ShardId) {
        let command = Command::Forget { connection };
        if shard == host.world.shard() {
            host.command(command);
        } else {
            host.world.port.batch(shard).command(command);
        }
    }
    host.request(TopologyRequest::DropConnection { connection });
}
