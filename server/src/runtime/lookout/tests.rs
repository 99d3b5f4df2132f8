//! Tests of what the lookout knows of descriptors.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use std::task::{Context, Waker};

use glommio::LocalExecutor;

use super::{Lookout, Watched};

/// Long enough for a busy machine; nothing waits so long if all is well.
const PATIENCE: Duration = Duration::from_secs(30);

struct Pair {
    lookout: Rc<Lookout>,
    ours: Watched<TcpStream>,
    theirs: TcpStream,
}

fn pair() -> Pair {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let lookout = Lookout::new().unwrap();
    let ours = Watched::new(ours, &lookout).unwrap();
    ours.is_dry();
    Pair { lookout, ours, theirs }
}

fn in_executor(test: impl FnOnce()) {
    LocalExecutor::default().run(async { test() });
}

impl Pair {
    fn may_read(&self) -> bool {
        self.ours.may_read(&Context::from_waker(Waker::noop()))
    }

    fn may_write(&self) -> bool {
        self.ours.may_write(&Context::from_waker(Waker::noop()))
    }

    /// Looks until it is so.
    fn look_until(&self, is_so: impl Fn(&Pair) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < end, "it never came to be so");
            self.lookout.look(Duration::from_millis(10));
        }
    }

    fn read(&self) -> usize {
        self.ours.get_ref().read(&mut [0; 64]).unwrap()
    }
}

#[test]
fn what_arrives_is_told_each_time() {
    in_executor(|| {
        let mut pair = pair();
        assert!(!pair.may_read());
        for _ in 0..3 {
            pair.theirs.write_all(b"octets").unwrap();
            pair.look_until(Pair::may_read);
            assert_eq!(pair.read(), 6);
            pair.ours.has_read_all();
            assert!(!pair.may_read());
        }
    });
}

/// The kernel tells changes only: after the last octets and the end have come together, there is
/// nothing more to tell, and who waited after reading the octets would wait for ever.
#[test]
fn an_end_that_came_with_the_last_octets_is_not_waited_for() {
    in_executor(|| {
        let mut pair = pair();
        pair.theirs.write_all(b"octets").unwrap();
        pair.theirs.shutdown(Shutdown::Write).unwrap();
        // Both have arrived before anybody looks.
        let ended = |pair: &Pair| {
            pair.ours.has_read_all();
            pair.may_read()
        };
        pair.look_until(ended);
        assert_eq!(pair.read(), 6);
        pair.ours.has_read_all();
        assert!(pair.may_read());
        assert_eq!(pair.read(), 0);
    });
}

/// A client that has closed its side may still be slow to read the rest.
#[test]
fn a_full_buffer_is_waited_for_though_the_other_end_says_no_more() {
    in_executor(|| {
        let mut pair = pair();
        pair.theirs.shutdown(Shutdown::Write).unwrap();
        pair.look_until(Pair::may_read);
        let octets = [0; 65536];
        let mut written = 0;
        let full = loop {
            match pair.ours.get_ref().write(&octets) {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        pair.ours.is_full();
        assert!(!pair.may_write());
        let mut rest = vec![0; written];
        pair.theirs.read_exact(&mut rest).unwrap();
        pair.look_until(Pair::may_write);
    });
}

/// It says no word before it is spoken to, and one look must not be spent on hearing that it can be written to.
#[test]
fn a_new_socket_has_nothing_to_tell() {
    in_executor(|| {
        let pair = pair();
        assert_eq!(pair.lookout.look(Duration::ZERO), 0);
    });
}

/// The kernel was told of the socket later than the octets came.
#[test]
fn what_came_before_it_was_watched_is_worth_a_try() {
    in_executor(|| {
        let Pair { ours, mut theirs, .. } = pair();
        let next = Lookout::new().unwrap();
        theirs.write_all(b"octets").unwrap();
        let pair =
            Pair { ours: Watched::new(ours.into_inner(), &next).unwrap(), lookout: next, theirs };
        assert!(pair.may_read());
        // Over loopback they are there when the write is over.
        assert_eq!(pair.read(), 6);
    });
}

#[test]
fn another_thread_ends_the_sleep() {
    in_executor(|| {
        let pair = pair();
        let alarm = pair.lookout.alarm.clone();
        let ringing = std::thread::spawn(move || alarm.wake());
        let began = Instant::now();
        pair.lookout.look(PATIENCE);
        assert!(began.elapsed() < PATIENCE);
        ringing.join().unwrap();
    });
}

#[test]
fn a_socket_that_is_given_away_is_watched_no_more() {
    in_executor(|| {
        let Pair { lookout, ours, mut theirs } = pair();
        let stream = ours.into_inner();
        assert!(lookout.watches.borrow().is_empty());
        // Another shard's lookout can have it, and hears of what comes.
        let next = Lookout::new().unwrap();
        let pair = Pair {
            ours: Watched::new(stream, &next).unwrap(),
            lookout: next,
            theirs: theirs.try_clone().unwrap(),
        };
        theirs.write_all(b"octets").unwrap();
        pair.look_until(Pair::may_read);
        lookout.look(Duration::ZERO);
        assert!(lookout.events.borrow().is_empty());
    });
}

/// A listener that all shards watch: who is not called has no part in what comes, and each call is for one connection.
#[test]
fn what_is_watched_by_turns_is_told_to_who_was_called_and_once() {
    in_executor(|| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let [here, there] = [Lookout::new().unwrap(), Lookout::new().unwrap()];
        let (ours, our_seat) = Watched::by_turns(listener.clone(), &here).unwrap();
        let (theirs, their_seat) = Watched::by_turns(listener.clone(), &there).unwrap();
        let cx = Context::from_waker(Waker::noop());
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _first = connect();
        assert_eq!([here.look(Duration::ZERO), there.look(Duration::ZERO)], [0, 0]);
        // What came before the call counts.
        their_seat.call(listener.as_fd()).unwrap();
        assert_eq!([here.look(Duration::ZERO), there.look(PATIENCE)], [0, 1]);
        assert!(theirs.may_read(&cx) && !ours.may_read(&cx));
        theirs.is_dry();
        let _second = connect();
        assert_eq!([here.look(Duration::ZERO), there.look(Duration::ZERO)], [0, 0]);
        our_seat.call(listener.as_fd()).unwrap();
        assert_eq!([here.look(PATIENCE), there.look(Duration::ZERO)], [1, 0]);
        assert!(ours.may_read(&cx) && !theirs.may_read(&cx));
    });
}

#[test]
fn an_end_of_something_that_never_began_is_noticed() {
    let ended = std::panic::catch_unwind(|| in_executor(|| Lookout::new().unwrap().end()));
    assert!(ended.is_err());
}
