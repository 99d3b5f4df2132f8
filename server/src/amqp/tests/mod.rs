//! Conversations with real frames, in memory: clients on one side, a stand-in for the shards on
//! the other, the connections under test between them.

mod ack_timeout;
mod blocked;
mod committing;
mod confirm;
mod consume;
mod declare;
mod encoding;
mod framing;
mod handshake;
mod hard_errors;
mod hostile;
mod lifetime;
mod limits;
mod long_bodies;
mod long_deliveries;
mod moving;
mod permission_matrix;
mod permissions;
mod phases;
mod prefetch;
mod publish;
mod reply_to;
mod sasl;
mod sent;
mod settle;
mod stand_in;
mod tx;
mod wire;
mod world;
