//! Disks that are under the tests' control: what a broker writes to them can be recorded block for block, cut off
//! anywhere, refused or limited.
//!
//! A disk is a file of a FUSE file system that this process serves from memory; a loop device makes it a block
//! device, and a file system (ext4, as a rule) lies on that. So everything above the device is the real kernel. This
//! needs root, /dev/fuse and loop devices; where they are missing, tests say so and are counted as skipped
//! ([`crate::requirement`]).
//!
//! - [`blocks`] the contents of a disk, cheap to copy
//! - [`recording`] every write and flush in order, and the images that a power cut may leave of them
//! - [`device`] serves a disk to the kernel
//! - [`mount`] the loop device and the mounted file system

pub mod blocks;
pub mod device;
pub mod mount;
pub mod recording;
