//! Taking connections: on shard 0, handed evenly to all shards.

use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use glommio::io::PollableFd;

use super::connection::serve;
use super::mailbox::Letter;
use super::preflight::Listening;
use super::shard::ShardRuntime;

/// How long no connections are taken when the process has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the task is dropped, which may happen at any time: nothing is under way in the
/// kernel but a readiness poll.
pub(super) async fn accept(runtime: Rc<ShardRuntime>, listening: Listening) {
    let Listening { listener, address } = listening;
    let listener = match PollableFd::new(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%address, %error, "cannot accept connections"),
    };
    loop {
        match listener.get_ref().accept() {
            Ok((socket, _)) => hand_over(&runtime, socket),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(error) = listener.readable().await {
                    tracing::warn!(%address, %error, "waiting for connections failed");
                    glommio::timer::sleep(PAUSE).await;
                }
            }
            Err(error) if is_the_clients_affair(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: those who hang up will give some back.
                tracing::warn!(%address, %error, "no connections are accepted for a moment");
                glommio::timer::sleep(PAUSE).await;
            }
        }
    }
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
fn hand_over(runtime: &Rc<ShardRuntime>, socket: TcpStream) {
    let common = &runtime.common;
    let shard = common.loads.for_new(runtime.shard);
    common.loads.begin(shard);
    if shard == runtime.shard {
        serve(runtime, socket);
    } else if common.mailboxes[usize::from(shard.0)].post(Letter::Accepted(socket)).is_err() {
        common.loads.end(shard);
    }
}
