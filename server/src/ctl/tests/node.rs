//! The broker as a whole, and what programs read.

use super::*;

#[test]
fn status_has_the_sections_that_there_are_facts_for() {
    let broker = demo();
    let outcome = call(&broker, "status");
    assert_eq!(outcome.exit, 0, "{}", outcome.err);
    let sections: Vec<&str> = outcome
        .out
        .lines()
        .filter_map(|line| line.strip_prefix("\x1b[1m")?.strip_suffix("\x1b[0m"))
        .collect();
    assert_eq!(
        sections,
        [
            "Runtime",
            "Data directory",
            "Config files",
            "Alarms",
            "Memory",
            "File Descriptors",
            "Free Disk Space",
            "Totals",
            "Listeners"
        ]
    );
    for line in [
        "Status of node haremq@localhost ...",
        "Node name: haremq@localhost",
        "Log segments: 0.1 gb",
        "(none)",
        "Connection count: 1",
        "Queue count: 1",
        "Virtual host count: 1",
        "Interface: 127.0.0.1, port: 5672, protocol: amqp, purpose: AMQP 0-9-1",
    ] {
        assert!(outcome.out.lines().any(|one| one == line), "{line}\n{}", outcome.out);
    }
    let bytes = call(&broker, "status -q --unit bytes").out;
    assert!(bytes.contains("\nLog segments: 100000000 bytes\n"), "{bytes}");
    let json = call(&broker, "status --formatter json").out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(json["totals"]["queue_count"], 1);
}

#[test]
fn answers_to_programs_carry_no_announcements() {
    let broker = demo();
    let json = r#"{"node":"haremq@localhost","result":"ok"}"#;
    assert_eq!(call(&broker, "purge_queue demo --formatter json").out, format!("{json}\n"));
    let said = call(&broker, "authenticate_user guest guest --formatter json").out;
    assert_eq!(said, "{\"message\":\"Success\"}\n");
    let csv = call(&broker, "list_queues --formatter csv name messages").out;
    assert_eq!(csv, "\"name\",\"messages\"\n\"demo\",\"2\"\n");
    assert_eq!(call(&broker, "ping -q").out, "Ping succeeded\n");
}
