//! Data directories with messages in them, what `haremq check` says of them, and bits that flip there.

use crate::binaries::binaries;
use crate::broker::{Broker, Setup};
use crate::traffic::PERSISTENT;
use crate::wire::Client;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};

/// Of queue.declare.
const DURABLE: u8 = 2;

/// A broker with the messages 1 to `count`, persistent and confirmed, in the durable queue `ledger`.
pub fn filled(setup: Setup, count: u64, body: impl Fn(u64) -> Vec<u8>) -> Broker {
    let broker = Broker::start_with(setup);
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "ledger", DURABLE);
    client.confirm_select(1);
    for number in 1..=count {
        client.publish(1, "", "ledger", PERSISTENT, &body(number)).expect("the broker is there");
    }
    client.await_confirms(1, count);
    broker
}

/// Exit code and output of `haremq check`.
pub fn check(directory: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(&binaries().haremq);
    let Output { status, stdout, stderr } =
        command.arg("check").arg("--data-dir").arg(directory).output().expect("it runs");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code(), text)
}

/// Flips a bit of the octet at that place.
pub fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it opens");
    let mut octet = [0];
    file.read_exact_at(&mut octet, offset).expect("it is as long as that");
    file.write_all_at(&[octet[0] ^ 0x10], offset).expect("it can be written");
}
