//! Taking connections: on each shard, one at a time, when the listener says that it is its turn.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use haremq_engine::ids::ShardId;

use super::connection::serve;
use super::lookout::Watched;
use super::shard::ShardRuntime;
use super::turnstile::Turnstile;

/// How long no connections are taken when the process has run out of something.
const PAUSE: Duration = Duration::from_millis(100);
/// Has the first turn.
const FIRST: ShardId = ShardId(0);

/// Accepts until the task is dropped, which may happen at any time: nothing is under way in the
/// kernel.
pub(super) async fn accept(runtime: Rc<ShardRuntime>, turnstile: Arc<Turnstile>) {
    let (home, address) = (runtime.shard, turnstile.address());
    let (listener, seat) = match Watched::by_turns(turnstile, &runtime.lookout) {
        Ok(watched) => watched,
        Err(error) => return tracing::error!(%address, %error, "cannot accept connections"),
    };
    let turnstile = listener.get_ref();
    turnstile.take_seat(home, seat);
    if home == FIRST {
        turnstile.call(home, home);
    }
    loop {
        poll_fn(|cx| if listener.may_read(cx) { Poll::Ready(()) } else { Poll::Pending }).await;
        runtime.enter();
        // It is told once for each turn.
        listener.is_dry();
        match turnstile.accept() {
            Ok(accepted) => {
                let loads = &runtime.common.loads;
                loads.begin(home);
                // Before this one is served: who has the next turn need not wait for that.
                turnstile.call(loads.for_new(home), home);
                serve(&runtime, accepted);
                continue;
            }
            Err(error) if is_the_clients_affair(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: those who hang up will give some back.
                tracing::warn!(%address, %error, "no connections are accepted for a moment");
                runtime.lookout.nap(PAUSE).await;
            }
        }
        turnstile.call(home, home);
    }
}

/// The connection was gone before it was accepted.
fn is_the_clients_affair(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::PermissionDenied
    )
}
