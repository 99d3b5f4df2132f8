use super::*;

fn message(body: &[u8]) -> MessageRef<'_> {
    MessageRef {
        exchange: b"orders",
        routing_key: b"eu.new",
        properties: &[0x10, 0, 2],
        body,
        persistent: false,
        priority: 7,
        expiration_ms: Some(1500),
    }
}

const NOW: Now = Now { unix_ms: 1_700_000_000_123, monotonic_us: 5 };

#[test]
fn message_comes_back_octet_for_octet() {
    let mut arena = Arena::new();
    let one = arena.append(NOW, &message(b"first"), 1);
    let two = arena.append(NOW, &MessageRef { expiration_ms: None, ..message(b"") }, 1);
    let stored = arena.get(one);
    assert_eq!(stored.message, message(b"first"));
    assert_eq!(stored.received_unix_ms, NOW.unix_ms);
    assert_eq!(arena.get(two).message.expiration_ms, None);
    assert_eq!(arena.get(two).message.body, b"");
}

#[test]
fn message_lives_until_its_last_reference_goes() {
    let mut arena = Arena::new();
    let shared = arena.append(NOW, &message(b"shared"), 3);
    arena.release(shared);
    arena.release(shared);
    assert_eq!(arena.get(shared).message.body, b"shared");
    arena.release(shared);
    // The page started over: the next message takes the same place.
    assert_eq!(arena.append(NOW, &message(b"next"), 1), shared);
}

#[test]
#[should_panic(expected = "once too often")]
fn release_beyond_the_last_reference_is_caught() {
    let mut arena = Arena::new();
    let address = arena.append(NOW, &message(b"one"), 1);
    let _pin = arena.append(NOW, &message(b"two"), 1);
    arena.release(address);
    arena.release(address);
}

#[test]
fn memory_is_given_back_when_a_backlog_has_gone() {
    let mut arena = Arena::new();
    let body = [7; 1024];
    let all: Vec<_> = (0..10_000).map(|_| arena.append(NOW, &message(&body), 1)).collect();
    assert!(arena.bytes() > 10 << 20);
    for address in all {
        arena.release(address);
    }
    assert!(arena.bytes() <= (SPARE_PAGES_MAX + 1) * PAGE_BYTES);
}

#[test]
fn short_queue_stays_within_one_page() {
    let mut arena = Arena::new();
    for _ in 0..100_000 {
        let address = arena.append(NOW, &message(&[0; 64]), 1);
        arena.release(address);
    }
    assert_eq!(arena.bytes(), PAGE_BYTES);
}

#[test]
fn message_larger_than_a_page_is_held_alone_and_freed_at_once() {
    let mut arena = Arena::new();
    let small = arena.append(NOW, &message(b"small"), 1);
    let body = vec![3; 5 * PAGE_BYTES];
    let large = arena.append(NOW, &message(&body), 1);
    assert_eq!(arena.get(large).message.body, &body[..]);
    let held = arena.bytes();
    arena.release(large);
    assert!(arena.bytes() <= held - 5 * PAGE_BYTES);
    assert_eq!(arena.get(small).message.body, b"small");
}
