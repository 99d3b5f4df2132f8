//! The broker itself: status, ping; and this program: version, help.

use serde_json::{json, Value};

use super::super::help;
use super::{Context, Failure, Reply};
use crate::ctl::client::BrokerError;
use crate::ctl::exit::Exit;

pub(super) fn help(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let text = match context.line.words.first() {
        None => help::overview(),
        Some(name) => help::on(name).ok_or_else(|| {
            Failure::refused(Exit::Usage, format!("\nCommand '{name}' not found."))
        })?,
    };
    let text = text.trim_end_matches('\n').to_owned();
    Ok(Reply::Report { value: json!({"help": text}), text })
}

pub(super) fn version(_: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    Ok(Reply::Report { text: version.to_owned(), value: json!({"version": version}) })
}

pub(super) fn ping(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let (url, timeout) = (context.client.url().to_owned(), context.client.timeout().as_millis());
    context.announce(&format!(
        "Will ping {url}. This only checks if the broker's management port answers. Timeout: \
         {timeout} ms."
    ));
    context.get(&["whoami"], "").map_err(|failure| match failure {
        Failure::Broker(error @ (BrokerError::Unreachable { .. } | BrokerError::Late { .. })) => {
            Failure::refused(Exit::Unavailable, error.to_string())
        }
        other => other,
    })?;
    Ok(Reply::Said("Ping succeeded".to_owned()))
}

/// Octets of one unit, and its name.
struct Unit(f64, &'static str);

impl Unit {
    fn named(name: Option<&str>) -> Result<Self, Failure> {
        match name.map(str::to_lowercase).as_deref() {
            None | Some("gb") => Ok(Unit(1e9, "gb")),
            Some("mb") => Ok(Unit(1e6, "mb")),
            Some("kb") => Ok(Unit(1e3, "kb")),
            Some("bytes") => Ok(Unit(1.0, "bytes")),
            Some(other) => Err(Failure::validation(format!(
                "unit '{other}' is not supported. Please use one of: bytes, kb, mb, gb"
            ))),
        }
    }

    /// `0.1656 gb`; whole octets.
    fn show(&self, octets: &Value) -> String {
        let octets = octets.as_f64().unwrap_or(0.0);
        let Unit(size, name) = self;
        if *size <= 1.0 {
            return format!("{octets:.0} {name}");
        }
        format!("{:?} {name}", (octets / size * 10_000.0).round() / 10_000.0)
    }
}

pub(super) fn status(context: &mut Context<'_, '_>) -> Result<Reply, Failure> {
    let unit = Unit::named(context.line.text("unit"))?;
    let value = context.get(&["haremq", "status"], "")?;
    context.announce(&format!("Status of node {} ...", plain(&value["node"])));
    Ok(Reply::Report { text: describe(&value, &unit), value })
}

/// Text without its quotes; anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn describe(status: &Value, unit: &Unit) -> String {
    let sections = [
        ("Runtime", runtime(status)),
        ("Data directory", data(status, unit)),
        ("Config files", bullets(&status["config_files"])),
        ("Alarms", bullets(&status["alarms"])),
        ("Memory", memory(status, unit)),
        ("File Descriptors", descriptors(status)),
        ("Free Disk Space", format!("Free disk space: {}", unit.show(&status["disk_free"]))),
        ("Totals", totals(status)),
        ("Listeners", listeners(status)),
    ];
    let sections = sections.iter().map(|(title, text)| format!("\x1b[1m{title}\x1b[0m\n\n{text}"));
    sections.collect::<Vec<_>>().join("\n\n")
}

fn runtime(status: &Value) -> String {
    [
        format!("OS PID: {}", plain(&status["pid"])),
        format!("OS: {}", plain(&status["os"])),
        format!("Uptime (seconds): {}", plain(&status["uptime"])),
        format!("HareMQ version: {}", plain(&status["version"])),
        format!("Node name: {}", plain(&status["node"])),
        format!("Shards: {}", plain(&status["shards"])),
    ]
    .join("\n")
}

fn data(status: &Value, unit: &Unit) -> String {
    format!(
        "Node data directory: {}\nLog segments: {}\nIndex pages: {}",
        plain(&status["data_directory"]),
        unit.show(&status["disk_used"]),
        unit.show(&status["disk_index"])
    )
}

/// ` * one` for each, or `(none)`.
fn bullets(items: &Value) -> String {
    let items: Vec<String> =
        items.as_array().into_iter().flatten().map(|item| format!(" * {}", plain(item))).collect();
    if items.is_empty() {
        return "(none)".to_owned();
    }
    items.join("\n")
}

fn memory(status: &Value, unit: &Unit) -> String {
    let memory = &status["memory"];
    let total = memory["total"].as_f64().unwrap_or(0.0);
    let messages = memory["messages"].as_f64().unwrap_or(0.0);
    let share = if total > 0.0 { (messages / total * 10_000.0).round() / 100.0 } else { 0.0 };
    format!(
        "Total memory used: {}\nCalculation strategy: {}\n\nmessages: {} ({share:?} %)\nindex: {}",
        unit.show(&memory["total"]),
        plain(&memory["strategy"]),
        unit.show(&memory["messages"]),
        unit.show(&memory["index"]),
    )
}

fn descriptors(status: &Value) -> String {
    let descriptors = &status["file_descriptors"];
    format!(
        "Total: {}, limit: {}\nSockets: {}",
        plain(&descriptors["total_used"]),
        match &descriptors["total_limit"] {
            Value::Null => "none".to_owned(),
            limit => plain(limit),
        },
        plain(&descriptors["sockets_used"])
    )
}

fn totals(status: &Value) -> String {
    let totals = &status["totals"];
    format!(
        "Connection count: {}\nQueue count: {}\nVirtual host count: {}",
        plain(&totals["connection_count"]),
        plain(&totals["queue_count"]),
        plain(&totals["virtual_host_count"])
    )
}

fn listeners(status: &Value) -> String {
    let listeners = status["listeners"].as_array().into_iter().flatten();
    let lines: Vec<String> = listeners
        .map(|listener| {
            let address = plain(&listener["ip_address"]);
            let interface = if address.contains(':') { format!("[{address}]") } else { address };
            let protocol = plain(&listener["protocol"]);
            let purpose = match protocol.as_str() {
                "amqp" => "AMQP 0-9-1",
                "amqp/ssl" => "AMQP 0-9-1 over TLS",
                "http" => "HTTP API",
                other => other,
            };
            let port = plain(&listener["port"]);
            format!(
                "Interface: {interface}, port: {port}, protocol: {protocol}, purpose: {purpose}"
            )
        })
        .collect();
    lines.join("\n")
}
