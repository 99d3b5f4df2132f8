//! Another Linux kernel beside that of the machine, with a device mapper of its own, for tests of power cuts.
//!
//! - [`guest`] starts it as an ordinary process (user mode Linux) and runs a test inside
//! - [`flakey`] inside it: a disk that loses all writes from a moment on (dm-flakey)

pub mod flakey;
pub mod guest;
