//! Tokens that go from queue to queue in transactions: each is in exactly one place, whatever happens.
//!
//! A transaction acknowledges a token in one queue and publishes it to the next one, which may be on another shard. One
//! that is carried out in part loses the token or doubles it.

use crate::traffic::{SharedLedger, PERSISTENT};
use crate::wire::client::PATIENCE;
use crate::wire::{method, Arguments, Client, Received};
use std::net::SocketAddr;

const QUEUES: u32 = 4;
const TOKENS: u32 = 8;

fn queue(number: u32) -> String {
    format!("tokens.{}", number % QUEUES)
}

/// Declares the queues and puts all tokens into the first one.
pub fn issue(broker: SocketAddr) {
    let mut client = Client::login_with_channel(broker);
    for number in 0..QUEUES {
        client.declare_queue(1, &queue(number), 2);
    }
    client.confirm_select(1);
    for token in 0..TOKENS {
        let body = token.to_be_bytes();
        client.publish(1, "", &queue(0), PERSISTENT, &body).expect("octets are taken");
    }
    client.await_confirms(1, TOKENS.into());
}

/// Takes one message without acknowledging it. `Err`: the broker is gone.
fn take(client: &mut Client, queue: &str) -> Result<Option<(u64, Vec<u8>)>, ()> {
    let get = Arguments::new().short(0).shortstr(queue).octet(0);
    let frame = crate::wire::Frame::method(1, method::BASIC_GET, &get).encode();
    client.try_send(&frame).map_err(|_| ())?;
    let Received::Frame(frame) = client.receive(PATIENCE) else { return Err(()) };
    if frame.method_id() != Some(method::BASIC_GET_OK) {
        return Ok(None);
    }
    let delivery = client.content(&frame).ok_or(())?;
    Ok(Some((delivery.tag, delivery.body)))
}

/// Moves tokens on, one transaction for each, until the ledger is stopped or the broker is gone; gives how many
/// transactions were answered.
pub fn pass_on(broker: SocketAddr, ledger: &SharedLedger) -> u64 {
    let mut client = Client::login_with_channel(broker);
    client.call(1, method::TX_SELECT, &Arguments::new(), method::TX_SELECT_OK);
    let commit = crate::wire::Frame::method(1, method::TX_COMMIT, &Arguments::new()).encode();
    let (mut at, mut commits) = (0, 0);
    while !ledger.is_stopped() {
        match take(&mut client, &queue(at)) {
            Err(()) => return commits,
            Ok(None) => at += 1,
            Ok(Some((tag, token))) => {
                let next = queue(at + 1);
                let sent = client
                    .publish(1, "", &next, PERSISTENT, &token)
                    .and_then(|()| client.ack(1, tag, false))
                    .and_then(|()| client.try_send(&commit));
                if sent.is_err() {
                    return commits;
                }
                match client.receive(PATIENCE) {
                    Received::Frame(frame) => {
                        assert_eq!(frame.method_id(), Some(method::TX_COMMIT_OK), "{frame:?}");
                        commits += 1;
                    }
                    _ => return commits,
                }
            }
        }
    }
    commits
}

/// Takes all tokens there are; what is wrong with them.
pub fn count(broker: SocketAddr) -> Vec<String> {
    let mut client = Client::login_with_channel(broker);
    let mut seen = [0; TOKENS as usize];
    let mut wrong = Vec::new();
    for number in 0..QUEUES {
        while let Some(delivery) = client.get(1, &queue(number)) {
            let token = <[u8; 4]>::try_from(&delivery.body[..]).map(u32::from_be_bytes);
            match token.ok().and_then(|token| seen.get_mut(token as usize)) {
                Some(seen) => *seen += 1,
                None => wrong.push(format!("{:?} is no token", delivery.body)),
            }
        }
    }
    let odd = seen.iter().enumerate().filter(|(_, seen)| **seen != 1);
    wrong.extend(odd.map(|(token, seen)| format!("token {token} is there {seen} times")));
    wrong
}
