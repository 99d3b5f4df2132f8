//! The rules of the architecture that no compiler checks: who may name whom, and what may not stand anywhere.

use haremq_tests::source_tree::{code_only, files, rust_files, SourceFile};
use regex::Regex;

/// Places in the code of `files` where `pattern` matches.
fn places(files: &[SourceFile], pattern: &str) -> Vec<String> {
    let pattern = Regex::new(pattern).expect("a valid pattern");
    let mut found = Vec::new();
    for file in files {
        for (number, line) in code_only(&file.text).lines().enumerate() {
            if pattern.is_match(line) {
                found.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    found
}

#[track_caller]
fn assert_nowhere(files: &[SourceFile], pattern: &str, rule: &str) {
    let found = places(files, pattern);
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

/// Files below `directory` without those below any of `exceptions`.
fn rust_files_except(directory: &str, exceptions: &[&str]) -> Vec<SourceFile> {
    let mut found = rust_files(directory);
    found.retain(|file| !exceptions.iter().any(|exception| file.path.starts_with(exception)));
    found
}

#[test]
fn the_engine_knows_no_outer_world() {
    assert_nowhere(
        &rust_files("engine/src"),
        r"\b(glommio|tokio|axum|rtrb|rand|getrandom|mimalloc|futures_lite|async fn|\.await)\b|\bstd::(net|fs|thread|process|env)\b|\b(Instant|SystemTime)\b",
        "the engine is deterministic: no sockets, files, clock, randomness, threads or async",
    );
}

#[test]
fn log_and_queue_meet_only_in_the_shard() {
    let rule = "log and queue do not know each other";
    assert_nowhere(&rust_files("engine/src/log"), r"\b(crate|super)::(\w+::)*queue\b", rule);
    assert_nowhere(&rust_files("engine/src/queue"), r"\b(crate|super)::(\w+::)*log\b", rule);
    let shard = "log and queue do not know the shard";
    assert_nowhere(&rust_files("engine/src/log"), r"\bcrate::(shard|\{[^}]*shard)", shard);
    assert_nowhere(&rust_files("engine/src/queue"), r"\bcrate::(shard|\{[^}]*shard)", shard);
}

#[test]
fn amqp_is_octets_in_and_octets_out() {
    assert_nowhere(
        &rust_files("server/src/amqp"),
        r"\b(glommio|tokio|axum|rtrb|async fn|\.await)\b|\bcrate::(runtime|ring|management|config)\b|\bstd::(fs|thread|process|env)\b|\b(Tcp\w+|Udp\w+|ToSocketAddrs|Instant|SystemTime)\b",
        "the AMQP layer does no input or output",
    );
}

#[test]
fn management_only_sends_messages_to_shards() {
    assert_nowhere(
        &rust_files("server/src/management"),
        r"\bglommio\b|\bcrate::(runtime|amqp|ring)\b|\bharemq_engine::(shard|log)\b",
        "management never reaches into a shard",
    );
}

#[test]
fn only_the_runtime_names_glommio() {
    let mut others = rust_files_except("server/src", &["server/src/runtime/"]);
    others.extend(rust_files("engine/src"));
    others.extend(rust_files("bench/"));
    assert_nowhere(&others, r"\bglommio\b", "only the runtime knows glommio");
}

#[test]
fn there_is_no_unsafe_code() {
    assert_nowhere(&rust_files(""), r"\bunsafe\b", "unsafe code is not written by hand");
    for layer in ["engine/src/lib.rs", "server/src/amqp/mod.rs"] {
        let file = rust_files(layer).remove(0);
        let forbids = file.text.contains("#![forbid(unsafe_code)]");
        assert!(forbids, "{layer} does not forbid unsafe code");
    }
}

#[test]
fn files_stay_small_enough_to_know() {
    let too_long = |file: &SourceFile| {
        let limit = if file.path.starts_with("tests/") { 800 } else { 500 };
        let lines = file.text.lines().count();
        (lines > limit).then(|| format!("{}: {lines} lines, {limit} are allowed", file.path))
    };
    let found: Vec<String> = rust_files("").iter().filter_map(too_long).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent = |file: &SourceFile| {
        let head =
            file.text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
        (!head.is_some_and(|line| line.starts_with("//!"))).then(|| file.path.clone())
    };
    // Modules of unit tests are explained by what they test.
    let is_test =
        |file: &&SourceFile| file.path.ends_with("/tests.rs") || file.path.contains("/tests/");
    let found: Vec<String> =
        rust_files("").iter().filter(|file| !is_test(file)).filter_map(silent).collect();
    assert!(found.is_empty(), "no //! at the head of: {}", found.join(", "));
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo!", "unimplemented!", "dbg!"].map(|mark| format!(r"\b{mark}"));
    assert_nowhere(&rust_files(""), &marks.join("|"), "unfinished or forgotten code");
    let comments = ["FIX", "TO", "XX"].iter().zip(["ME", "DO", "X"]);
    let words: Vec<String> = comments.map(|(head, tail)| format!(r"\b{head}{tail}\b")).collect();
    let pattern = Regex::new(&words.join("|")).expect("a valid pattern");
    for file in files() {
        for (number, line) in file.text.lines().enumerate() {
            assert!(!pattern.is_match(line), "{}:{}: {line}", file.path, number + 1);
        }
    }
}

#[test]
fn no_test_is_switched_off() {
    assert_nowhere(&rust_files(""), r"#\[ignore", "every test runs");
}

#[test]
fn the_tree_names_no_registry() {
    // Put together here, so that this file does not name them either.
    let hosts: Vec<String> = [
        ("crates", "io"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("proxy.golang", "org"),
        ("maven", "org"),
        ("docker", "io"),
    ]
    .iter()
    .map(|(name, domain)| regex::escape(&format!("{name}.{domain}")))
    .collect();
    let pattern = Regex::new(&hosts.join("|")).expect("a valid pattern");
    // Cargo writes its lock files itself.
    for file in files().iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        for (number, line) in file.text.lines().enumerate() {
            assert!(!pattern.is_match(line), "{}:{}: {line}", file.path, number + 1);
        }
    }
}

#[test]
fn only_loopback_addresses_are_named() {
    let address = Regex::new(r"\b(\d{1,3})\.\d{1,3}\.\d{1,3}\.\d{1,3}\b").expect("a valid pattern");
    let allowed = |first: &str| matches!(first, "127" | "0");
    // Recorded answers hold versions of four parts.
    let of_ours = |file: &&SourceFile| {
        !file.path.ends_with("Cargo.lock") && !file.path.starts_with("tests/probe/")
    };
    for file in files().iter().filter(of_ours) {
        for (number, line) in file.text.lines().enumerate() {
            for found in address.captures_iter(line) {
                let fine = allowed(&found[1]) || is_documentation(&found[0]);
                assert!(fine, "{}:{}: {line}", file.path, number + 1);
            }
        }
    }
}

/// Addresses set aside for examples and private networks, and numbers that only look like addresses.
fn is_documentation(address: &str) -> bool {
    ["192.0.2.", "198.51.100.", "203.0.113.", "10.0.0."]
        .iter()
        .any(|prefix| address.starts_with(prefix))
        || address.split('.').any(|part| part.parse::<u16>().is_ok_and(|number| number > 255))
}

#[test]
fn the_confirm_is_made_in_one_place() {
    let made = places(&rust_files("engine/src"), r"Notice::Confirmed\s*\{");
    // Not where it is only looked at.
    let looks = |place: &&String| place.contains("=>") || place.contains("..");
    let made: Vec<&String> = made.iter().filter(|place| !looks(place)).collect();
    assert_eq!(made.len(), 1, "Notice::Confirmed is made in: {made:#?}");
}

/// Every row of that section of docs/testing.md names tests in its last column, and they exist.
fn every_row_has_its_test(heading: &str) {
    let text = include_str!("../../docs/testing.md");
    let (_, section) = text.split_once(heading).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "the table is there");
    let files = rust_files("");
    for row in rows {
        // In backticks, in the last column: every second piece.
        let tests: Vec<&str> = row.rsplit(" | ").next().expect("a column").split('`').collect();
        let named: Vec<&&str> = tests.iter().skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test is named: {row}");
        for name in named {
            let test = format!("#[test]\nfn {name}(");
            let inner = format!("#[test]\n    fn {name}(");
            let exists =
                files.iter().any(|file| file.text.contains(&test) || file.text.contains(&inner));
            assert!(exists, "there is no test {name}: {row}");
        }
    }
}

/// docs/testing.md names a test for each detail that is easily got wrong.
#[test]
fn every_detail_of_the_table_has_its_test() {
    every_row_has_its_test("## Details that are easily got wrong");
}

/// docs/testing.md names tests for what docs/guarantees.md promises.
#[test]
fn every_promise_of_the_table_has_its_test() {
    every_row_has_its_test("## Promises and their tests");
}
