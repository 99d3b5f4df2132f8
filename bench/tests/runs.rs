//! Whole runs of the program against a mirror: what it counts, what it notices, how it ends.

mod front;
mod mirror;

use std::fs;
use std::process::{Command, Output};

use front::Front;
use mirror::{Mirror, Mischief};
use serde_json::Value;

/// A run of haremq-perf: exit code, what it said, and its JSON report.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    report: Value,
}

fn run(mirror: &Mirror, arguments: &str) -> Run {
    run_at(&format!("amqp://127.0.0.1:{}", mirror.port), mirror.port, arguments)
}

fn run_at(uri: &str, port: u16, arguments: &str) -> Run {
    let process = std::process::id();
    let json = std::env::temp_dir().join(format!("haremq-perf-test-{process}-{port}.json"));
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_haremq-perf"))
        .args(arguments.split(' '))
        .args(["--uri", uri])
        .arg("--json")
        .arg(&json)
        .output()
        .expect("the program starts");
    let report = fs::read(&json).unwrap_or_default();
    // There is none if the run could not be carried out.
    let _ = fs::remove_file(&json);
    Run {
        code: status.code(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        report: serde_json::from_slice(&report).unwrap_or(Value::Null),
    }
}

/// `count` messages after no warm-up.
fn throughput(mischief: Mischief, more: &str) -> (Run, Mirror) {
    let mirror = Mirror::start(0, mischief);
    let arguments = format!(
        "throughput --warm-up 0s --duration 60s --count 5000 --drain-timeout 300ms{}{more}",
        if more.is_empty() { "" } else { " " }
    );
    (run(&mirror, &arguments), mirror)
}

#[track_caller]
fn assert_clean(run: &Run) {
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    assert_eq!(run.report["results"]["faults"], Value::Array(Vec::new()));
}

#[test]
fn all_messages_are_counted_and_the_queue_is_deleted() {
    let (run, mirror) = throughput(Mischief::default(), "");
    assert_clean(&run);
    let results = &run.report["results"];
    assert_eq!(results["published"], 5000);
    assert_eq!(results["consumed"], 5000);
    assert_eq!(results["consumed_octets"], 5000 * 16);
    assert_eq!(results["end_to_end"]["count"], 5000);
    assert_eq!(results["identity"]["product"], "Mirror");
    assert!(run.stdout.contains("every message arrived exactly once"), "{}", run.stdout);
    assert!(mirror.queues().is_empty(), "{:?}", mirror.queues());
}

#[test]
fn kept_queues_stay() {
    let (run, mirror) = throughput(Mischief::default(), "--keep --prefix kept --queues 2 -y 2");
    assert_clean(&run);
    let mut queues = mirror.queues();
    queues.sort();
    assert_eq!(queues, ["kept-0", "kept-1"]);
}

#[test]
fn a_warm_up_is_not_counted() {
    let mirror = Mirror::start(0, Mischief::default());
    let run = run(&mirror, "throughput --warm-up 200ms --duration 60s --count 1000");
    assert_clean(&run);
    assert_eq!(run.report["results"]["published"], 1000);
    assert_eq!(run.report["results"]["end_to_end"]["count"], 1000);
}

#[test]
fn confirms_acks_sizes_and_several_of_each_are_all_accounted_for() {
    let options =
        "-x 3 -y 4 --queues 2 --size 16,100,200000 --confirm 50 --ack-every 7 --prefetch 20 \
                   --persistent --count 90";
    let mirror = Mirror::start(0, Mischief::default());
    let run = run(&mirror, &format!("throughput --warm-up 0s {options}"));
    assert_clean(&run);
    let results = &run.report["results"];
    assert_eq!(results["confirmed"], 90);
    assert_eq!(results["confirm"]["count"], 90);
    assert_eq!(results["consumed"], 90);
    assert_eq!(results["consumed_octets"], 30 * (16 + 100 + 200_000));
}

#[test]
fn fan_out_delivers_every_message_to_every_queue() {
    let (run, _mirror) = throughput(Mischief::default(), "--exchange fanout --queues 3 -y 3 -x 2");
    assert_clean(&run);
    assert_eq!(run.report["results"]["published"], 5000);
    assert_eq!(run.report["results"]["consumed"], 15_000);
}

#[test]
fn a_rate_is_kept_and_latency_counts_from_when_a_message_was_due() {
    let mirror = Mirror::start(0, Mischief::default());
    let run = run(&mirror, "latency --rate 2000 --warm-up 0s --duration 500ms");
    assert_clean(&run);
    let results = &run.report["results"];
    let published = results["published"].as_u64().unwrap();
    assert!((980..=1020).contains(&published), "{published}");
    assert_eq!(results["lag"]["count"], published);
    // A message cannot arrive before it was sent: late sending is part of its latency.
    let p50 = |name: &str| results[name]["p50_us"].as_f64().unwrap();
    assert!(p50("end_to_end") >= p50("lag"), "{} {}", p50("end_to_end"), p50("lag"));
    assert!(run.stdout.contains("End-to-end latency of"), "{}", run.stdout);
}

#[test]
fn a_lost_message_is_noticed() {
    let (run, _mirror) = throughput(Mischief { lose: Some(2345), ..Mischief::default() }, "");
    assert_eq!(run.code, Some(2), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("FAILED: 1 messages were lost"), "{}", run.stdout);
    assert_eq!(run.report["results"]["faults"][0]["lost"], 1);
}

#[test]
fn a_lost_message_is_no_fault_where_the_user_says_so() {
    let mischief = Mischief { lose: Some(2345), ..Mischief::default() };
    let (run, _mirror) = throughput(mischief, "--no-verify");
    assert_clean(&run);
    assert!(run.stdout.contains("no fault, but 1 did not arrive"), "{}", run.stdout);
}

#[test]
fn a_message_that_comes_twice_is_noticed_even_where_another_is_lost() {
    let mischief = Mischief { lose: Some(10), repeat: Some(20), ..Mischief::default() };
    let (run, _mirror) = throughput(mischief, "");
    assert_eq!(run.code, Some(2), "{}", run.stdout);
    assert_eq!(run.report["results"]["consumed"], 5000, "the counts agree");
    let fault = "1 messages were lost, 1 messages were delivered more than once";
    assert!(run.stdout.contains(fault), "{}", run.stdout);
}

#[test]
fn a_refused_publish_is_counted_and_need_not_arrive() {
    let mischief = Mischief { refuse: Some(77), ..Mischief::default() };
    let (run, _mirror) = throughput(mischief, "--confirm 100");
    assert_clean(&run);
    assert_eq!(run.report["results"]["nacked"], 1);
    assert_eq!(run.report["results"]["confirmed"], 4999);
}

#[test]
fn a_confirm_that_never_comes_is_noticed() {
    let mischief = Mischief { forget_confirm: Some(5000), ..Mischief::default() };
    let (run, _mirror) = throughput(mischief, "--confirm 100");
    assert_eq!(run.code, Some(2), "{}", run.stdout);
    assert!(run.stdout.contains("1 publishes were never confirmed"), "{}", run.stdout);
}

#[test]
fn the_reason_why_the_broker_closed_the_connection_is_told() {
    let (run, mirror) = throughput(Mischief { close_at: Some(3000), ..Mischief::default() }, "");
    assert_eq!(run.code, Some(1));
    let reason = "haremq-perf: the broker closed the connection: 541 INTERNAL_ERROR - told to\n";
    assert_eq!(run.stderr, reason);
    assert!(mirror.queues().is_empty(), "queues are deleted all the same");
}

#[test]
fn a_refused_login_is_one_sentence() {
    let (run, _mirror) = throughput(Mischief { refuse_login: true, ..Mischief::default() }, "");
    assert_eq!(run.code, Some(1));
    assert!(run
        .stderr
        .contains("refused the login of user 'guest' (403 ACCESS_REFUSED - told to)"));
    assert_eq!(run.stderr.lines().count(), 1);
}

#[test]
fn nobody_listening_is_one_sentence() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let output = Command::new(env!("CARGO_BIN_EXE_haremq-perf"))
        .args(["churn", "--uri", &format!("amqp://127.0.0.1:{port}")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.starts_with(&format!("haremq-perf: cannot connect to 127.0.0.1:{port}:")),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_backlog_is_published_and_drained_in_full() {
    let mirror = Mirror::start(0, Mischief::default());
    let run = run(&mirror, "backlog --messages 3000 --size 500 --ack-every 100 --prefetch 200");
    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
    let results = &run.report["results"];
    assert_eq!(results["publish"]["confirmed"], 3000);
    assert_eq!(results["publish"]["consumed"], 0);
    assert_eq!(results["drain"]["consumed"], 3000);
    assert_eq!(results["drain"]["audit"]["lost"], 0);
    assert!(mirror.queues().is_empty());
}

#[test]
fn connections_queues_and_churn_do_what_they_say() {
    let mirror = Mirror::start(0, Mischief::default());
    let opened = run(&mirror, "connections -n 20 --idle 10ms");
    assert_eq!(opened.code, Some(0), "{}", opened.stderr);
    assert_eq!(opened.report["results"]["connections"], 20);
    assert!(opened.report["results"]["broker"]["memory_open_octets"].as_u64().unwrap() > 0);
    let kept = run(&mirror, "queues -n 30 --keep");
    assert_eq!(kept.report["results"]["queues"], 30, "{}", kept.stderr);
    assert_eq!(mirror.queues().len(), 30);
    let gone = run(&mirror, "queues -n 30 --existing");
    assert!(gone.stdout.contains("all 30 queues are there"), "{}{}", gone.stdout, gone.stderr);
    assert!(mirror.queues().is_empty());
    let churned = run(&mirror, "churn --duration 100ms --channels 2 --parallel 2");
    assert_eq!(churned.code, Some(0), "{}", churned.stderr);
    assert!(churned.report["results"]["connections"].as_u64().unwrap() > 2);
}

#[test]
fn runs_with_tls_are_the_same_and_believe_whom_they_are_told_to() {
    let mirror = Mirror::start(0, Mischief::default());
    let front = Front::start(mirror.port);
    let (port, file) = (front.port, front.certificate.display());
    for uri in [
        format!("amqps://127.0.0.1:{port}?cacertfile={file}"),
        format!("amqps://localhost:{port}?cacertfile={file}"),
        format!("amqps://127.0.0.1:{port}/%2f?verify=verify_none"),
    ] {
        let options = "-x 2 -y 2 --queues 2 --size 16,200000 --confirm 50 --ack-every 7 \
                       --prefetch 20 --count 200";
        let run = run_at(&uri, port, &format!("throughput --warm-up 0s {options}"));
        assert_clean(&run);
        assert_eq!(run.report["results"]["consumed"], 200);
        assert_eq!(run.report["results"]["confirmed"], 200);
    }
    let churned = run_at(
        &format!("amqps://127.0.0.1:{port}?cacertfile={file}"),
        port,
        "churn --duration 200ms",
    );
    assert_eq!(churned.code, Some(0), "{}", churned.stderr);
    // Somebody else's authority, and a server without TLS.
    let stranger = Front::start(mirror.port);
    let wrong = format!("amqps://127.0.0.1:{port}?cacertfile={}", stranger.certificate.display());
    let plain = format!("amqps://127.0.0.1:{}?cacertfile={file}", mirror.port);
    for (uri, why) in [(wrong, "certificate"), (plain, "")] {
        let run = run_at(&uri, port, "throughput --count 1");
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("cannot connect to 127.0.0.1"), "{}", run.stderr);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
}

#[test]
fn the_suite_takes_turns_and_writes_medians_and_ratios() {
    let (one, other) =
        (Mirror::start(0, Mischief::default()), Mirror::start(0, Mischief::default()));
    let markdown =
        std::env::temp_dir().join(format!("haremq-perf-suite-{}.md", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_haremq-perf"))
        .args(["suite", "--row", "transient-1k,latency", "--repeat", "2"])
        .args(["--duration", "200ms", "--warm-up", "50ms"])
        .args(["--broker", &format!("one=amqp://127.0.0.1:{}", one.port)])
        .args(["--broker", &format!("other=amqp://127.0.0.1:{}", other.port)])
        .args(["--disk", &std::env::temp_dir().display().to_string(), "--markdown"])
        .arg(&markdown)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let turns: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("transient-1k "))
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(turns, ["1/2 one", "1/2 other", "2/2 one", "2/2 other"]);
    let report = fs::read_to_string(&markdown).unwrap();
    fs::remove_file(&markdown).unwrap();
    assert!(
        report.contains("| row | figure | one | other | other / one | floor | goal |"),
        "{report}"
    );
    assert!(report.contains("- one: Mirror 1.2"), "{report}");
    assert!(report.contains("fdatasync of 4 KiB"), "{report}");
    assert!(report.contains("| end-to-end p99 |"), "{report}");
}
