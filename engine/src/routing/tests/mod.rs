//! The routers against recorded cases and against matchers too simple to be wrong.

mod hash;
mod headers;
mod topic;

use super::{Router, Scratch, Subject};

/// Destinations found, sorted; those found by several bindings stand there once.
fn found(router: &Router<u16>, key: &[u8], headers: Option<&[u8]>) -> Vec<u16> {
    let mut all = Vec::new();
    let mut scratch = Scratch::default();
    let subject = Subject { keys: &[key], headers, properties: &[] };
    router.route(&subject, &mut scratch, |list| all.extend_from_slice(list));
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn direct_matches_equal_keys_of_any_octets() {
    let none = Default::default();
    let mut router = Router::direct();
    router.insert(b"a", &none, b"", 1);
    router.insert(b"a", &none, b"", 2);
    router.insert(b"\xff", &none, b"", 3);
    router.insert(b"", &none, b"", 4);
    assert_eq!(found(&router, b"a", None), [1, 2]);
    assert_eq!(found(&router, b"\xff", None), [3]);
    assert_eq!(found(&router, b"", None), [4]);
    assert_eq!(found(&router, b"b", None), []);
}

#[test]
fn a_binding_made_twice_with_different_arguments_holds_until_both_are_gone() {
    let none = Default::default();
    for mut router in [Router::direct(), Router::fanout(), Router::topic()] {
        router.insert(b"a", &none, b"", 1);
        router.insert(b"a", &none, b"", 1);
        router.remove(b"a", &none, b"", 1);
        assert_eq!(found(&router, b"a", None), [1]);
        router.remove(b"a", &none, b"", 1);
        assert_eq!(found(&router, b"a", None), []);
        router.remove(b"a", &none, b"", 1);
        assert_eq!(found(&router, b"a", None), []);
    }
}

#[test]
fn fanout_ignores_keys() {
    let none = Default::default();
    let mut router = Router::fanout();
    router.insert(b"a", &none, b"", 1);
    router.insert(b"b", &none, b"", 2);
    assert_eq!(found(&router, b"c", None), [1, 2]);
    router.remove(b"b", &none, b"", 2);
    assert_eq!(found(&router, b"c", None), [1]);
}

#[test]
fn several_keys_match_as_any_of_them_does() {
    let none = Default::default();
    for mut router in [Router::direct(), Router::topic()] {
        router.insert(b"a", &none, b"", 1);
        router.insert(b"b", &none, b"", 2);
        router.insert(b"c", &none, b"", 3);
        let mut all = Vec::new();
        let mut scratch = Scratch::default();
        let subject = Subject { keys: &[b"a", b"c", b"x"], ..Subject::default() };
        router.route(&subject, &mut scratch, |list| all.extend_from_slice(list));
        all.sort_unstable();
        assert_eq!(all, [1, 3]);
    }
}
