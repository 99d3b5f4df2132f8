//! The mirror of the tests as a program, to see what haremq-perf itself costs when the broker costs little.
//!
//!     cargo run --release -p haremq-bench --example mirror 5673
//!     haremq-perf throughput --uri amqp://127.0.0.1:5673
//!
//! With a directory as well it writes a page to a file there, synced, before it confirms: the floor that the confirm
//! latency of a broker on the same disk is held against.
//!
//!     cargo run --release -p haremq-bench --example mirror 5673 /tmp
//!     haremq-perf throughput --uri amqp://127.0.0.1:5673 -p -s 1KiB -c 1 -a 1

#[path = "../tests/mirror/mod.rs"]
mod mirror;

use std::path::Path;

use mirror::{Device, Mirror, Mischief};

fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(5673);
    let device = std::env::args().nth(2).map(|directory| {
        Device::create(Path::new(&directory)).expect("a directory whose file system has O_DIRECT")
    });
    let mirror = Mirror::start_on(port, Mischief::default(), device);
    println!("mirroring on 127.0.0.1:{}; end it with Ctrl-C", mirror.port);
    loop {
        std::thread::park();
    }
}
