//! Any binding keys and routing key, a line each, the routing key last: the trie finds what the
//! definition of the wildcards finds, and is empty when the bindings are gone.
#![no_main]

use haremq_engine::routing::{Router, Scratch, Subject};
use haremq_engine::table::Table;
use libfuzzer_sys::fuzz_target;

/// The words of a key; the empty key has none.
fn words(key: &[u8]) -> Vec<&[u8]> {
    match key {
        [] => Vec::new(),
        key => key.split(|octet| *octet == b'.').collect(),
    }
}

/// Which prefixes of the key each prefix of the pattern matches, row by row.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    let (pattern, key) = (words(pattern), words(key));
    let mut row = vec![false; key.len() + 1];
    row[0] = true;
    for word in pattern {
        let mut next = vec![false; key.len() + 1];
        for at in 0..=key.len() {
            next[at] = match word {
                b"#" => row[at] || (at > 0 && next[at - 1]),
                b"*" => at > 0 && row[at - 1],
                word => at > 0 && row[at - 1] && key[at - 1] == word,
            };
        }
        row = next;
    }
    row[key.len()]
}

fn route(router: &Router<usize>, key: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut scratch = Scratch::default();
    let subject = Subject { keys: &[key], ..Subject::default() };
    router.route(&subject, &mut scratch, |list| found.extend_from_slice(list));
    found.sort_unstable();
    found
}

fuzz_target!(|octets: &[u8]| {
    // No longer than a frame can carry.
    if octets.len() > 2048 || octets.split(|o| *o == b'\n').any(|line| line.len() > 255) {
        return;
    }
    let mut patterns: Vec<&[u8]> = octets.split(|octet| *octet == b'\n').collect();
    let Some(key) = patterns.pop() else { return };
    let none = Table::default();
    let mut router = Router::topic();
    for (number, pattern) in patterns.iter().enumerate() {
        router.insert(pattern, &none, b"", number);
    }
    let half = patterns.len() / 2;
    for (removed, pattern) in patterns.iter().enumerate().take(half) {
        router.remove(pattern, &none, b"", removed);
    }
    let expected: Vec<usize> =
        (half..patterns.len()).filter(|number| matches(patterns[*number], key)).collect();
    assert_eq!(route(&router, key), expected);
    for (number, pattern) in patterns.iter().enumerate() {
        router.remove(pattern, &none, b"", number);
    }
    assert_eq!(route(&router, key), []);
});
