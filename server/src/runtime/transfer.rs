//! A connection on its way to another shard: everything that there is of it.
//!
//! It travels in the ring, behind everything that it has said to that shard before, so order is
//! kept. See `amqp::connection::moving` for what it may not have left behind.

use haremq_engine::ids::ConnectionId;

use super::transport::Luggage;
use crate::amqp::Connection;
use crate::ring::Parcel;

#[derive(Debug)]
pub(super) struct Transfer {
    /// Its name on the new shard.
    pub(super) id: ConnectionId,
    pub(super) connection: Connection,
    /// Its socket, and the state of its TLS.
    pub(super) luggage: Luggage,
    /// Octets read and not consumed.
    pub(super) carry: Vec<u8>,
}

impl Transfer {
    pub(super) fn pack(self) -> Parcel {
        Box::new(self)
    }

    /// # Panics
    /// If it is something else: nothing else is sent by parcel.
    pub(super) fn unpack(parcel: Parcel) -> Transfer {
        *parcel.downcast().expect("a parcel holds a connection")
    }
}
