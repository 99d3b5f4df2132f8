//! Who is delivered to.

use haremq_engine::ids::{QueueId, Seq};
use haremq_engine::mail::{BodyPiece, Delivery, LongDelivery};
use haremq_engine::shard::Outlet;

/// Takes deliveries and remembers what is to be settled.
#[derive(Default)]
pub(crate) struct Taker {
    pub(crate) held: Vec<(QueueId, Seq)>,
    /// Those that are to stay for now.
    pub(crate) kept: Vec<(QueueId, Seq)>,
    pub(crate) taken: u64,
    pub(crate) no_ack: bool,
}

impl Outlet for Taker {
    fn deliver(&mut self, delivery: Delivery<'_>) {
        std::hint::black_box(delivery.message.body);
        self.taken += 1;
        if !self.no_ack {
            self.held.push((delivery.queue, delivery.seq));
        }
    }
    fn begin(&mut self, long: LongDelivery<'_>) {
        panic!("no message is so long: {long:?}");
    }
    fn piece(&mut self, piece: BodyPiece<'_>) {
        panic!("no message is so long: {piece:?}");
    }
}
