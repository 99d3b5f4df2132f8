//! A small AMQP 0-9-1 client for tests: blocking, explicit, and able to say what no client should.
//!
//! It knows framing and the values in method arguments, not the meaning of methods: tests name class and method ids
//! and write arguments in the order of the specification, so that a broken codec in the broker cannot hide behind
//! the same code in the test.

pub mod arguments;
pub mod client;
pub mod field;
pub mod frame;
pub mod method;
pub mod stream;

pub use arguments::{Arguments, Reader};
pub use client::{Client, Login};
pub use field::{table, Field};
pub use frame::{Close, Frame, Received};
pub use method::Method;
