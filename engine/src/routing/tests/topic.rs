use proptest::prelude::*;

use super::*;
use crate::routing::topic::words;

/// Wildcards by their definition.
fn matches(pattern: &[&[u8]], key: &[&[u8]]) -> bool {
    match pattern {
        [] => key.is_empty(),
        [first, rest @ ..] if *first == b"#" => (0..=key.len()).any(|n| matches(rest, &key[n..])),
        [first, rest @ ..] => match key {
            [word, more @ ..] => (*first == b"*" || first == word) && matches(rest, more),
            [] => false,
        },
    }
}

fn naive(pattern: &str, key: &str) -> bool {
    let split = |text: &'static str| words(text.as_bytes()).collect::<Vec<_>>();
    // Leaked: a handful of octets in a test.
    let (pattern, key): (&'static str, &'static str) =
        (Box::leak(pattern.into()), Box::leak(key.into()));
    matches(&split(pattern), &split(key))
}

fn key() -> impl Strategy<Value = String> {
    let word = prop_oneof![Just(""), Just("a"), Just("b"), Just("ab"), Just("*"), Just("#")];
    prop::collection::vec(word, 0..6).prop_map(|words| words.join("."))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn finds_what_the_definition_of_the_wildcards_finds(
        patterns in prop::collection::vec(key(), 1..12),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        keys in prop::collection::vec(key(), 1..6),
    ) {
        let none = Default::default();
        let mut router = Router::topic();
        let mut bindings: Vec<(u16, String)> = (0..).zip(patterns).collect();
        for (number, pattern) in &bindings {
            router.insert(pattern.as_bytes(), &none, b"", *number);
        }
        for index in removed {
            if !bindings.is_empty() {
                let (number, pattern) = bindings.swap_remove(index.index(bindings.len()));
                router.remove(pattern.as_bytes(), &none, b"", number);
            }
        }
        for key in keys {
            let mut expected: Vec<u16> =
                bindings.iter().filter(|(_, p)| naive(p, &key)).map(|(n, _)| *n).collect();
            expected.sort_unstable();
            prop_assert_eq!(found(&router, key.as_bytes(), None), expected, "key {:?}", key);
        }
        for (number, pattern) in &bindings {
            router.remove(pattern.as_bytes(), &none, b"", *number);
        }
        let Router::Topic(trie) = &router else { unreachable!() };
        prop_assert!(trie.is_bare(), "removing every binding must leave nothing");
    }
}

#[test]
fn recorded_cases_of_rabbitmq_agree() {
    // Name in the recording, binding key, routing key, copies.
    let cases = [
        ("hash_matches_empty", "#", "", 1),
        ("star_matches_empty", "*", "", 0),
        ("star_matches_empty_word", "p.*", "p.", 1),
        ("star_not_two", "p.*", "p.a.b", 0),
        ("star_not_zero", "p.*", "p", 0),
        ("a_hash_b_zero", "p.#.b", "p.b", 1),
        ("a_hash_b_two", "p.#.b", "p.x.y.b", 1),
        ("trailing_hash_zero", "p.#", "p", 1),
        ("hash_hash", "#.#", "a", 1),
        ("star_hash_zero", "*.#", "a", 1),
        ("star_hash_empty", "*.#", "", 0),
        ("partial_star", "p.a*", "p.ab", 0),
        ("leading_dot", "*.a", ".a", 1),
        ("double_dot", "a.*.b", "a..b", 1),
        ("empty_key_binding", "", "", 1),
    ];
    for (name, pattern, key, copies) in cases {
        let mut router = Router::topic();
        router.insert(pattern.as_bytes(), &Default::default(), b"", 7);
        assert_eq!(found(&router, key.as_bytes(), None).len(), copies, "{name}");
    }
}

#[test]
fn hostile_patterns_cost_words_times_nodes() {
    let none = Default::default();
    let mut router = Router::topic();
    let pattern = vec!["#.a"; 30].join(".") + ".#.b";
    router.insert(pattern.as_bytes(), &none, b"", 1);
    router.insert(vec!["#"; 30].join(".").as_bytes(), &none, b"", 2);
    router.insert(vec!["#.*"; 30].join(".").as_bytes(), &none, b"", 3);
    // A matcher that tries one way after the other would take some 10^27 steps here.
    let key = vec!["a"; 127].join(".");
    assert_eq!(found(&router, key.as_bytes(), None), [2, 3]);
    let key = vec!["a"; 126].join(".") + ".b";
    assert_eq!(found(&router, key.as_bytes(), None), [1, 2, 3]);
}

/// Thirty `#` against 127 words, by counting: each word looks at each node once at most.
#[test]
fn hostile_patterns_take_few_steps() {
    let none = Default::default();
    for pattern in [vec!["#.*"; 30].join("."), vec!["#.a"; 30].join("."), vec!["#"; 30].join(".")] {
        let mut router = Router::topic();
        router.insert(pattern.as_bytes(), &none, b"", 1);
        let (mut scratch, mut steps) = (Scratch::default(), 0);
        for words in 1..=127 {
            // What a key's last word leads to is what the walk carried along at that word.
            let key = vec!["a"; words].join(".");
            let subject = Subject { keys: &[key.as_bytes()], ..Subject::default() };
            router.route(&subject, &mut scratch, |_| ());
            let mut live = scratch.topic.live().to_vec();
            steps += live.len();
            live.sort_unstable();
            live.dedup();
            assert_eq!(live.len(), scratch.topic.live().len(), "a node is carried along twice");
        }
        // A node costs two look-ups: some ten thousand of them are far below a millisecond.
        assert!(steps <= 127 * 61, "{pattern}: {steps} steps");
    }
}

#[test]
fn runs_of_hash_are_one_hash_and_can_be_removed_as_another_run() {
    let none = Default::default();
    let mut router = Router::topic();
    router.insert(b"a.#.#.#", &none, b"", 1);
    assert_eq!(found(&router, b"a", None), [1]);
    router.remove(b"a.#.#.#", &none, b"", 1);
    assert_eq!(found(&router, b"a.b", None), []);
}

#[test]
fn keys_need_not_be_text() {
    let mut router = Router::topic();
    router.insert(b"#", &Default::default(), b"", 1);
    router.insert(b"*", &Default::default(), b"", 2);
    assert_eq!(found(&router, b"\xff\xfe", None), [1, 2]);
}
