//! The mirror of the tests as a program, to see what haremq-perf itself costs when the broker costs little.
//!
//!     cargo run --release -p haremq-bench --example mirror 5673
//!     haremq-perf throughput --uri amqp://127.0.0.1:5673 --broker-pid auto

#[path = "../tests/mirror/mod.rs"]
mod mirror;

use mirror::{Mirror, Mischief};

fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(5673);
    let mirror = Mirror::start(port, Mischief::default());
    println!("mirroring on 127.0.0.1:{}; end it with Ctrl-C", mirror.port);
    loop {
        std::thread::park();
    }
}
