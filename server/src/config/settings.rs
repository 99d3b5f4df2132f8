//! The settings that result from flags, file and defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use haremq_engine::stamp::Stamps;

use super::file::FileKeys;
use super::stamps;
use super::tls::{self, Lacking, TlsKeys};
use super::watermarks::{
    index_memory, paging_ratio, Watermarks, INDEX_MEMORY_DEFAULT_BYTES, PAGING_RATIO_DEFAULT,
};
use super::{ConfigError, Flags};
use crate::config::{AuthSettings, NodeLimits, TlsSettings};

/// More shards than this have no use on any machine this was thought out for.
pub const SHARDS_MAX: u16 = 256;

pub(super) const LISTEN_DEFAULT: &str = "127.0.0.1:5672";
/// Programs that are told `localhost` may try this one first, and some try no other.
pub(super) const LISTEN_DEFAULT_IF_THERE: &str = "[::1]:5672";
pub(super) const MANAGEMENT_DEFAULT: &str = "127.0.0.1:15672";
pub(super) const DATA_DIR_DEFAULT: &str = "./haremq-data";

/// A shard that looks for work longer than this before it sleeps only takes the core from others.
const SPIN_MAX_US: u8 = 100;

const SEGMENT_DEFAULT_BYTES: u64 = 32 << 20;
/// Smaller segments would be sealed by a single batch of messages, larger ones take long to create.
const SEGMENT_RANGE_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(1 << 30);
/// Segments consist of whole pages.
const SEGMENT_STEP_BYTES: u64 = 4096;

/// Whether each shard's thread is tied to one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    /// The broker decides. It never pins: whether the cores are its own cannot be seen from
    /// inside, and a pinned shard that shares its core with a client loses half its throughput,
    /// while an unpinned one on an idle machine is left where it is by the scheduler.
    Auto,
    On,
    Off,
}

impl FromStr for Pin {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Pin::Auto),
            "on" => Ok(Pin::On),
            "off" => Ok(Pin::Off),
            _ => Err("must be one of auto, on, off".into()),
        }
    }
}

/// How much the broker says on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl FromStr for LogLevel {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "error" => Ok(LogLevel::Error),
            "warn" | "warning" => Ok(LogLevel::Warn),
            "info" => Ok(LogLevel::Info),
            "debug" => Ok(LogLevel::Debug),
            "trace" => Ok(LogLevel::Trace),
            _ => Err("must be one of error, warn, info, debug, trace".into()),
        }
    }
}

/// A switch.
pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".into()),
    }
}

/// Half an hour, as RabbitMQ.
const CONSUMER_TIMEOUT_DEFAULT_MS: u64 = 1_800_000;

/// What the broker runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// AMQP listeners; at least one. Port 0 means a free one.
    pub listen: Vec<SocketAddr>,
    /// Further AMQP listeners, on addresses that the machine need not have.
    pub listen_if_there: Vec<SocketAddr>,
    /// AMQP listeners with TLS.
    pub listen_ssl: Vec<SocketAddr>,
    /// Certificate and key; there if there is anything to use them for.
    pub tls: Option<TlsSettings>,
    pub auth: AuthSettings,
    /// Connections to AMQP listeners begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The management HTTP listener.
    pub management: SocketAddr,
    pub data_dir: PathBuf,
    /// `None`: as many as the data directory has, or one per usable core for a new one.
    pub shards: Option<u16>,
    pub pin: Pin,
    /// How long a shard with nothing to do looks for work before it sleeps, in microseconds.
    pub spin_us: u8,
    /// Size of every segment file of the log, in octets.
    pub segment_bytes: u64,
    /// Octets of memory of each shard for what its queues know of their messages.
    pub index_memory_bytes: usize,
    pub watermarks: Watermarks,
    /// There is an event exchange (behaviour C12).
    pub event_exchange: bool,
    /// How long a delivery may wait for its acknowledgement (behaviour B18); 0: for ever.
    pub consumer_timeout_ms: u64,
    /// How much there may be of everything, in the whole broker.
    pub limits: NodeLimits,
    /// Headers that the broker puts into messages (behaviour B12).
    pub stamps: Stamps,
    /// Definitions to be read in at each start, before anybody is served.
    pub load_definitions: Option<PathBuf>,
    pub log_level: LogLevel,
    /// Damage in the data directory is put aside and the rest is served. Only a flag: whoever asks
    /// for it has looked at the damage.
    pub quarantine_damage: bool,
    /// The file the settings came from, if one was named.
    pub config_file: Option<PathBuf>,
}

impl Settings {
    /// Flags win over the file they name, the file over the defaults.
    pub fn resolve(flags: Flags) -> Result<Settings, ConfigError> {
        let file = match &flags.config {
            Some(path) => FileKeys::read(path)?,
            None => FileKeys::default(),
        };
        let auth = AuthSettings::resolve(&flags, &file)?;
        let stamps = stamps::resolve(&flags, &file)?;
        let proxy_protocol = match &flags.proxy_protocol {
            Some(text) => flag("--proxy-protocol", text, on_or_off(text))?,
            None => file.proxy_protocol.unwrap_or(false),
        };
        let listen_ssl = match flags.listen_ssl.is_empty() {
            true => file.listen_ssl,
            false => {
                let parse = |text: &String| flag("--listen-ssl", text, address(text));
                flags.listen_ssl.iter().map(parse).collect::<Result<_, _>>()?
            }
        };
        let needs_tls = (!listen_ssl.is_empty()).then_some("--listen-ssl");
        let tls = tls_keys(&flags)?.or(file.tls).judge(needs_tls);
        let tls = tls.map_err(|Lacking { flag, lacks }| ConfigError::Lacking { flag, lacks })?;
        let mut listen_if_there = Vec::new();
        let listen = if !flags.listen.is_empty() {
            let parse = |text: &String| flag("--listen", text, address(text));
            flags.listen.iter().map(parse).collect::<Result<_, _>>()?
        } else if !file.listen.is_empty() {
            file.listen
        } else {
            listen_if_there.push(address(LISTEN_DEFAULT_IF_THERE).expect("the default parses"));
            vec![address(LISTEN_DEFAULT).expect("the default parses")]
        };
        let management = match &flags.management {
            Some(text) => flag("--management", text, address(text))?,
            None => file
                .management
                .unwrap_or_else(|| address(MANAGEMENT_DEFAULT).expect("the default parses")),
        };
        let shards = match &flags.shards {
            Some(text) => Some(flag("--shards", text, shard_count(text))?),
            None => file.shards,
        };
        let pin = match &flags.pin {
            Some(text) => flag("--pin", text, text.parse())?,
            None => file.pin.unwrap_or(Pin::Auto),
        };
        let spin_us = match &flags.spin_us {
            Some(text) => flag("--spin-us", text, spin(text))?,
            None => file.spin_us.unwrap_or(0),
        };
        let segment_bytes = match &flags.segment_bytes {
            Some(text) => flag("--segment-bytes", text, segment_size(text))?,
            None => file.segment_bytes.unwrap_or(SEGMENT_DEFAULT_BYTES),
        };
        let index_memory_bytes = match &flags.index_memory_bytes {
            Some(text) => flag("--index-memory-bytes", text, index_memory(text))?,
            None => file.index_memory_bytes.unwrap_or(INDEX_MEMORY_DEFAULT_BYTES),
        };
        let memory = match &flags.vm_memory_high_watermark {
            Some(text) => flag("--vm-memory-high-watermark", text, text.parse())?,
            None => file.vm_memory_high_watermark.unwrap_or_default(),
        };
        let paging_ratio = match &flags.vm_memory_high_watermark_paging_ratio {
            Some(text) => {
                flag("--vm-memory-high-watermark-paging-ratio", text, paging_ratio(text))?
            }
            None => file.vm_memory_high_watermark_paging_ratio.unwrap_or(PAGING_RATIO_DEFAULT),
        };
        let disk_free = match &flags.disk_free_limit {
            Some(text) => flag("--disk-free-limit", text, text.parse())?,
            None => file.disk_free_limit.unwrap_or_default(),
        };
        let watermarks = Watermarks { memory, paging_ratio, disk_free };
        let event_exchange = match &flags.event_exchange {
            Some(text) => flag("--event-exchange", text, on_or_off(text))?,
            None => file.event_exchange.unwrap_or(false),
        };
        let consumer_timeout_ms = match &flags.consumer_timeout {
            Some(text) => flag("--consumer-timeout", text, milliseconds(text))?,
            None => file.consumer_timeout.unwrap_or(CONSUMER_TIMEOUT_DEFAULT_MS),
        };
        let limit = |name, text: &Option<String>, of_file: Option<u64>| match text {
            Some(text) => flag(name, text, count(text)).map(Some),
            None => Ok(of_file),
        };
        let limits = NodeLimits {
            connections: limit("--connection-max", &flags.connection_max, file.connection_max)?,
            channels: limit(
                "--channel-max-per-node",
                &flags.channel_max_per_node,
                file.channel_max_per_node,
            )?,
            consumers_per_channel: limit(
                "--consumer-max-per-channel",
                &flags.consumer_max_per_channel,
                file.consumer_max_per_channel,
            )?,
            vhosts: limit("--vhost-max", &flags.vhost_max, file.vhost_max)?,
            queues: limit(
                "--cluster-queue-limit",
                &flags.cluster_queue_limit,
                file.cluster_queue_limit,
            )?,
            exchanges: limit(
                "--cluster-exchange-limit",
                &flags.cluster_exchange_limit,
                file.cluster_exchange_limit,
            )?,
        };
        let log_level = match &flags.log_level {
            Some(text) => flag("--log-level", text, text.parse())?,
            None => file.log_level.unwrap_or(LogLevel::Info),
        };
        let data_dir = flags.data_dir.or(file.data_dir).unwrap_or_else(|| DATA_DIR_DEFAULT.into());
        let load_definitions = flags.load_definitions.or(file.load_definitions);
        let config_file = flags.config;
        Ok(Settings {
            listen,
            listen_if_there,
            listen_ssl,
            tls,
            auth,
            proxy_protocol,
            management,
            data_dir,
            shards,
            pin,
            spin_us,
            segment_bytes,
            index_memory_bytes,
            watermarks,
            event_exchange,
            consumer_timeout_ms,
            limits,
            stamps,
            load_definitions,
            log_level,
            quarantine_damage: flags.quarantine_damage,
            config_file,
        })
    }
}

fn tls_keys(flags: &Flags) -> Result<TlsKeys, ConfigError> {
    let verify = |text| flag("--ssl-options-verify", text, tls::verify(text));
    let fails = |text| flag("--ssl-options-fail-if-no-peer-cert", text, on_or_off(text));
    let versions = |text| flag("--ssl-options-versions", text, tls::versions(text));
    Ok(TlsKeys {
        certfile: flags.ssl_options_certfile.clone(),
        keyfile: flags.ssl_options_keyfile.clone(),
        cacertfile: flags.ssl_options_cacertfile.clone(),
        verify_peer: flags.ssl_options_verify.as_deref().map(verify).transpose()?,
        fail_if_no_peer_cert: flags
            .ssl_options_fail_if_no_peer_cert
            .as_deref()
            .map(fails)
            .transpose()?,
        versions: flags.ssl_options_versions.as_deref().map(versions).transpose()?,
    })
}

pub(super) fn flag<T>(
    flag: &'static str,
    value: &str,
    parsed: Result<T, String>,
) -> Result<T, ConfigError> {
    parsed.map_err(|what| ConfigError::Flag { flag, value: value.to_owned(), what })
}

/// Numbers only: a name could mean several addresses, and different ones tomorrow.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an IP address and a port, like 127.0.0.1:5672, 0.0.0.0:5672 or [::]:5672".into()
    })
}

pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a number of milliseconds".into())
}

pub(super) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a number".into())
}

pub(super) fn shard_count(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(count) if (1..=SHARDS_MAX).contains(&count) => Ok(count),
        _ => Err(format!("must be a number from 1 to {SHARDS_MAX}")),
    }
}

pub(super) fn spin(text: &str) -> Result<u8, String> {
    match text.parse::<u8>() {
        Ok(spin_us) if spin_us <= SPIN_MAX_US => Ok(spin_us),
        _ => Err(format!("must be a number of microseconds from 0 to {SPIN_MAX_US}")),
    }
}

pub(super) fn segment_size(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(bytes)
            if SEGMENT_RANGE_BYTES.contains(&bytes) && bytes.is_multiple_of(SEGMENT_STEP_BYTES) =>
        {
            Ok(bytes)
        }
        _ => Err(format!(
            "must be a multiple of {SEGMENT_STEP_BYTES} from {} to {} octets",
            SEGMENT_RANGE_BYTES.start(),
            SEGMENT_RANGE_BYTES.end()
        )),
    }
}

#[cfg(test)]
mod tests;
