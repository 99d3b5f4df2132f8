//! What a flag, a key of the file and a default come to.

use super::*;
use crate::config::{DiskFreeLimit, MemoryWatermark};
use clap::Parser;

fn flags(arguments: &[&str]) -> Flags {
    Flags::parse_from(std::iter::once(&"haremq").chain(arguments))
}

/// A file that is gone when the test is.
struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn file(name: &str, text: &str) -> Written {
    let path = format!("haremq-config-{}-{name}.toml", std::process::id());
    let written = Written(std::env::temp_dir().join(path));
    std::fs::write(&written.0, text).unwrap();
    written
}

#[test]
fn defaults_apply_when_nothing_is_said() {
    let settings = Settings::resolve(flags(&[])).unwrap();
    assert_eq!(settings.listen, ["127.0.0.1:5672".parse().unwrap()]);
    assert_eq!(settings.listen_if_there, ["[::1]:5672".parse().unwrap()]);
    assert_eq!(settings.management, "127.0.0.1:15672".parse().unwrap());
    assert_eq!(settings.data_dir, PathBuf::from("./haremq-data"));
    assert_eq!(settings.limits, NodeLimits::default());
    assert_eq!(settings.load_definitions, None);
    assert_eq!(settings.shards, None);
    assert_eq!(settings.pin, Pin::Auto);
    assert_eq!(settings.spin_us, 0);
    assert_eq!(settings.segment_bytes, 32 << 20);
    assert_eq!(settings.index_memory_bytes, 32 << 20);
    assert_eq!(settings.log_level, LogLevel::Info);
    assert_eq!(settings.consumer_timeout_ms, 1_800_000);
    assert_eq!(settings.watermarks.memory, MemoryWatermark::Relative(0.4));
    assert_eq!(settings.watermarks.paging_ratio, 0.5);
    assert_eq!(settings.watermarks.disk_free, DiskFreeLimit::Absolute(50_000_000));
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let path = file(
        "precedence",
        "listen = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\nshards = 3\npin = \"off\"\n\
         management = \"127.0.0.1:3\"\ndata-dir = \"/x\"\nlog-level = \"debug\"\n",
    );
    let path = path.0.to_str().unwrap();
    let settings =
        Settings::resolve(flags(&["--config", path, "--shards", "2", "--pin", "on"])).unwrap();
    assert_eq!(settings.listen, ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()]);
    assert_eq!(settings.listen_if_there, [], "who names addresses gets these alone");
    assert_eq!(settings.shards, Some(2));
    assert_eq!(settings.pin, Pin::On);
    assert_eq!(settings.management, "127.0.0.1:3".parse().unwrap());
    assert_eq!(settings.data_dir, PathBuf::from("/x"));
    assert_eq!(settings.log_level, LogLevel::Debug);
    assert!(settings.config_file.is_some());
}

#[test]
fn an_error_in_the_file_names_its_line() {
    for (name, text, line, what) in [
        ("unknown", "# a comment\nshards = 1\nlistem = 1\n", 3, "listem"),
        ("address", "shards = 1\nlisten = [\n \"127.0.0.1:1\",\n \"here\"]\n", 4, "IP address"),
        ("empty", "listen = []", 1, "at least one"),
        ("zero", "\nshards = 0\n", 2, "1 to 256"),
        ("type", "\n\nshards = \"2\"\n", 3, "invalid type"),
        ("pin", "pin = \"yes\"", 1, "auto, on, off"),
        ("spin", "\nspin-us = 101", 2, "0 to 100"),
        ("segment", "\nsegment-bytes = 1048577", 2, "multiple of 4096"),
        ("segments", "segment-bytes = 4096", 1, "from 1048576"),
        ("index", "index-memory-bytes = 1024", 1, "from 65536"),
        ("level", "log-level = \"loud\"", 1, "error, warn"),
        ("memory", "\nvm-memory-high-watermark = 1.5\n", 2, "part of the memory"),
        ("ratio", "vm-memory-high-watermark-paging-ratio = 0", 1, "above 0"),
        ("acks", "consumer-timeout = \"long\"", 1, "number of milliseconds"),
        ("disk", "disk-free-limit = \"much\"", 1, "number of octets"),
        ("both", "\ndisk_free_limit = { relative = 1, absolute = 1 }", 2, "number of octets"),
        ("half", "vm_memory_high_watermark.absolute = 0.5", 1, "part of the memory"),
        ("queues", "\ncluster-queue-limit = -1", 2, "number"),
        ("syntax", "shards = \n", 1, ""),
    ] {
        let path = file(name, text);
        let error = Settings::resolve(flags(&["--config", path.0.to_str().unwrap()])).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(&format!("{}:{line}: ", path.0.display())), "{name}: {shown}");
        assert!(shown.contains(what), "{name}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{name}: {shown}");
    }
}

#[test]
fn watermarks_may_be_written_as_in_a_file_of_rabbitmqs() {
    use DiskFreeLimit::{Absolute, Relative};
    for (text, memory, disk) in [
        (
            "vm_memory_high_watermark.relative = 0.6\ndisk_free_limit.relative = 1.0",
            MemoryWatermark::Relative(0.6),
            Relative(1.0),
        ),
        (
            "vm_memory_high_watermark.absolute = \"2GiB\"\ndisk_free_limit.absolute = \"50MB\"",
            MemoryWatermark::Absolute(2 << 30),
            Absolute(50_000_000),
        ),
        (
            "vm-memory-high-watermark = 0.0\ndisk-free-limit.relative = 2",
            MemoryWatermark::Relative(0.0),
            Relative(2.0),
        ),
        (
            "vm-memory-high-watermark = \"1G\"\ndisk-free-limit = 1.0",
            MemoryWatermark::Absolute(1 << 30),
            Relative(1.0),
        ),
    ] {
        let path = file("watermarks", text);
        let settings = Settings::resolve(flags(&["--config", path.0.to_str().unwrap()])).unwrap();
        let watermarks = settings.watermarks;
        assert_eq!((watermarks.memory, watermarks.disk_free), (memory, disk), "{text}");
    }
}

#[test]
fn a_bad_flag_value_is_named_with_its_flag() {
    for (arguments, flag) in [
        (["--listen", "localhost"], "--listen localhost"),
        (["--shards", "999"], "--shards 999"),
        (["--pin", "maybe"], "--pin maybe"),
        (["--spin-us", "1000"], "--spin-us 1000"),
        (["--log-level", "loud"], "--log-level loud"),
        (["--vm-memory-high-watermark", "1.1"], "--vm-memory-high-watermark 1.1"),
        (
            ["--vm-memory-high-watermark-paging-ratio", "half"],
            "--vm-memory-high-watermark-paging-ratio half",
        ),
        (["--disk-free-limit", "much"], "--disk-free-limit much"),
        (["--connection-max", "all"], "--connection-max all"),
    ] {
        let error = Settings::resolve(flags(&arguments)).unwrap_err().to_string();
        assert!(error.starts_with(flag), "{error}");
    }
}

#[test]
fn limits_and_definitions_come_from_flags_and_file() {
    let path =
        file("limits", "connection-max = 5\nvhost-max = 7\nload-definitions = \"/d.json\"\n");
    let arguments =
        ["--config", path.0.to_str().unwrap(), "--vhost-max", "8", "--cluster-queue-limit", "0"];
    let settings = Settings::resolve(flags(&arguments)).unwrap();
    let limits = NodeLimits {
        connections: Some(5),
        vhosts: Some(8),
        queues: Some(0),
        ..NodeLimits::default()
    };
    assert_eq!(settings.limits, limits);
    assert_eq!(settings.load_definitions, Some("/d.json".into()));
}

#[test]
fn a_single_listener_may_be_written_without_brackets() {
    let path = file("single", "listen = \"[::1]:7\"\n");
    let settings = Settings::resolve(flags(&["--config", path.0.to_str().unwrap()])).unwrap();
    assert_eq!(settings.listen, ["[::1]:7".parse().unwrap()]);
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let error = Settings::resolve(flags(&["--config", "/nonexistent/haremq.toml"]));
    assert!(error.unwrap_err().to_string().contains("/nonexistent/haremq.toml"));
}
