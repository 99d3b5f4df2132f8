//! A shard's mailbox for what does not come from another shard: listeners, requests of the
//! management thread, the stages of a stop. Rare mail, so a lock is good enough; the shard looks
//! at one counter per turn.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::turnstile::Turnstile;
use crate::control::{ControlPort, ControlRequest, Stopping};
use crate::ring::Doorbell;

#[derive(Debug)]
pub(super) enum Letter {
    Control(ControlRequest),
    /// When all are ready: take connections from these.
    Listen(Vec<Arc<Turnstile>>),
    /// First stage of a clean stop: take no more connections, close those there are.
    CloseConnections,
    /// Second stage: make everything durable.
    Flush,
    /// Last stage: end the shard's tasks.
    End,
}

#[derive(Debug)]
pub(super) struct Mailbox {
    bell: Arc<Doorbell>,
    waiting: AtomicUsize,
    /// `None`: closed.
    letters: Mutex<Option<VecDeque<Letter>>>,
}

impl Mailbox {
    pub(super) fn new(bell: Arc<Doorbell>) -> Self {
        Mailbox { bell, waiting: AtomicUsize::new(0), letters: Mutex::new(Some(VecDeque::new())) }
    }

    /// Gives the letter back if the box is closed.
    pub(super) fn post(&self, letter: Letter) -> Result<(), Letter> {
        {
            let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            match letters.as_mut() {
                Some(letters) => letters.push_back(letter),
                None => return Err(letter),
            }
            self.waiting.fetch_add(1, Ordering::Release);
        }
        self.bell.ring();
        Ok(())
    }

    /// Whether [`Mailbox::take`] would find something.
    pub(super) fn has_mail(&self) -> bool {
        self.waiting.load(Ordering::Acquire) != 0
    }

    /// The oldest letter. For the shard alone.
    pub(super) fn take(&self) -> Option<Letter> {
        if !self.has_mail() {
            return None;
        }
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let letter = letters.as_mut()?.pop_front()?;
        self.waiting.fetch_sub(1, Ordering::Release);
        Some(letter)
    }

    /// Nothing is taken in any more; what is there is dropped, and its senders see that.
    pub(super) fn close(&self) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        *letters = None;
        self.waiting.store(0, Ordering::Release);
    }
}

/// The management thread's end.
#[derive(Debug)]
pub(super) struct MailboxPort(pub(super) Arc<Mailbox>);

impl ControlPort for MailboxPort {
    fn send(&self, request: ControlRequest) -> Result<(), Stopping> {
        self.0.post(Letter::Control(request)).map_err(|_| Stopping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_out_in_order_and_none_after_closing() {
        let mailbox = Mailbox::new(Arc::new(Doorbell::new()));
        assert!(!mailbox.has_mail());
        mailbox.post(Letter::CloseConnections).unwrap();
        mailbox.post(Letter::Flush).unwrap();
        assert!(matches!(mailbox.take(), Some(Letter::CloseConnections)));
        assert!(mailbox.has_mail());
        assert!(matches!(mailbox.take(), Some(Letter::Flush)));
        assert!(mailbox.take().is_none());
        mailbox.post(Letter::End).unwrap();
        mailbox.close();
        assert!(mailbox.take().is_none());
        assert!(mailbox.post(Letter::End).is_err());
    }

    #[test]
    fn management_hears_that_the_broker_is_stopping() {
        let mailbox = Arc::new(Mailbox::new(Arc::new(Doorbell::new())));
        let port = MailboxPort(mailbox.clone());
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        port.send(ControlRequest::Status { reply }).unwrap();
        mailbox.close();
        assert!(answer.try_recv().is_err(), "the request was dropped");
        let (reply, _answer) = tokio::sync::oneshot::channel();
        assert_eq!(port.send(ControlRequest::Status { reply }), Err(Stopping));
    }
}
