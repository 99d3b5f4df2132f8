//! Taking connections: on shard 0, handed evenly to all shards.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::net::{acceptfrom_with, SocketFlags};

use super::connection::serve;
use super::lookout::Watched;
use super::mailbox::Letter;
use super::preflight::Listening;
use super::shard::ShardRuntime;
use super::transport::Door;

/// How long no connections are taken when the process has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the task is dropped, which may happen at any time: nothing is under way in the
/// kernel.
pub(super) async fn accept(runtime: Rc<ShardRuntime>, listening: Listening, door: Arc<Door>) {
    let Listening { listener, address } = listening;
    let listener = match Watched::new(listener, &runtime.lookout) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%address, %error, "cannot accept connections"),
    };
    loop {
        match accept_one(listener.get_ref(), &door) {
            Ok(accepted) => hand_over(&runtime, accepted),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.is_dry();
                poll_fn(|cx| if listener.may_read(cx) { Poll::Ready(()) } else { Poll::Pending })
                    .await;
                runtime.enter();
            }
            Err(error) if is_the_clients_affair(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: those who hang up will give some back.
                tracing::warn!(%address, %error, "no connections are accepted for a moment");
                runtime.lookout.nap(PAUSE).await;
            }
        }
    }
}

/// A fresh connection.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Non-blocking.
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    /// What the listener asks for.
    pub(super) door: Arc<Door>,
}

/// One system call for all that is to be known.
fn accept_one(listener: &TcpListener, door: &Arc<Door>) -> io::Result<Accepted> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (descriptor, peer) = acceptfrom_with(listener, flags)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok(Accepted { stream: descriptor.into(), peer, door: door.clone() })
}

/// The connection was gone before it was accepted.
fn is_the_clients_affair(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
    )
}

/// To the shard that is to have it, by the number of connections.
fn hand_over(runtime: &Rc<ShardRuntime>, accepted: Accepted) {
    let common = &runtime.common;
    let shard = common.loads.for_new(runtime.shard);
    common.loads.begin(shard);
    if shard == runtime.shard {
        serve(runtime, accepted);
    } else if common.mailboxes[usize::from(shard.0)].post(Letter::Accepted(accepted)).is_err() {
        common.loads.end(shard);
    }
}
