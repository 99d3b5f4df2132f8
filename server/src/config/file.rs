//! The TOML file. Its keys are the flags' names; every complaint names file and line.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use haremq_engine::stamp::Existing;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::auth::{certificate_name, handshake_timeout, mechanisms};
use super::settings::{address, count, milliseconds, on_or_off, segment_size, shard_count, spin};
use super::stamps::stamp;
use super::tls::{verify, versions, TlsKeys};
use super::watermarks::{index_memory, paging_ratio};
use super::{CertificateName, ConfigError, DiskFreeLimit, LogLevel, MemoryWatermark, Pin};
use crate::sasl::Mechanism;

/// The file's values, judged.
#[derive(Debug, Default)]
pub(super) struct FileKeys {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) listen_ssl: Vec<SocketAddr>,
    pub(super) tls: TlsKeys,
    pub(super) ssl_cert_login_from: Option<CertificateName>,
    pub(super) auth_mechanisms: Option<Vec<Mechanism>>,
    pub(super) anonymous_login_user: Option<String>,
    pub(super) handshake_timeout: Option<u64>,
    pub(super) proxy_protocol: Option<bool>,
    pub(super) management: Option<SocketAddr>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) shards: Option<u16>,
    pub(super) pin: Option<Pin>,
    pub(super) spin_us: Option<u8>,
    pub(super) segment_bytes: Option<u64>,
    pub(super) index_memory_bytes: Option<usize>,
    pub(super) vm_memory_high_watermark: Option<MemoryWatermark>,
    pub(super) vm_memory_high_watermark_paging_ratio: Option<f64>,
    pub(super) disk_free_limit: Option<DiskFreeLimit>,
    pub(super) event_exchange: Option<bool>,
    pub(super) consumer_timeout: Option<u64>,
    pub(super) connection_max: Option<u64>,
    pub(super) channel_max_per_node: Option<u64>,
    pub(super) consumer_max_per_channel: Option<u64>,
    pub(super) vhost_max: Option<u64>,
    pub(super) cluster_queue_limit: Option<u64>,
    pub(super) cluster_exchange_limit: Option<u64>,
    pub(super) incoming_timestamp: Option<Option<Existing>>,
    pub(super) incoming_routing_node: Option<Option<Existing>>,
    pub(super) outgoing_timestamp: Option<bool>,
    pub(super) load_definitions: Option<PathBuf>,
    pub(super) log_level: Option<LogLevel>,
}

/// As written, with the place of each value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    listen: Option<Spanned<Addresses>>,
    listen_ssl: Option<Spanned<Addresses>>,
    ssl_options_certfile: Option<PathBuf>,
    ssl_options_keyfile: Option<PathBuf>,
    ssl_options_cacertfile: Option<PathBuf>,
    ssl_options_verify: Option<Spanned<toml::Value>>,
    ssl_options_fail_if_no_peer_cert: Option<Spanned<toml::Value>>,
    ssl_options_versions: Option<Spanned<toml::Value>>,
    ssl_cert_login_from: Option<Spanned<toml::Value>>,
    auth_mechanisms: Option<Spanned<toml::Value>>,
    anonymous_login_user: Option<String>,
    handshake_timeout: Option<Spanned<toml::Value>>,
    proxy_protocol: Option<Spanned<toml::Value>>,
    management: Option<Spanned<String>>,
    data_dir: Option<PathBuf>,
    shards: Option<Spanned<i64>>,
    pin: Option<Spanned<String>>,
    spin_us: Option<Spanned<i64>>,
    segment_bytes: Option<Spanned<i64>>,
    index_memory_bytes: Option<Spanned<toml::Value>>,
    #[serde(alias = "vm_memory_high_watermark")]
    vm_memory_high_watermark: Option<Spanned<toml::Value>>,
    #[serde(alias = "vm_memory_high_watermark_paging_ratio")]
    vm_memory_high_watermark_paging_ratio: Option<Spanned<toml::Value>>,
    #[serde(alias = "disk_free_limit")]
    disk_free_limit: Option<Spanned<toml::Value>>,
    event_exchange: Option<Spanned<String>>,
    consumer_timeout: Option<Spanned<toml::Value>>,
    connection_max: Option<Spanned<toml::Value>>,
    channel_max_per_node: Option<Spanned<toml::Value>>,
    consumer_max_per_channel: Option<Spanned<toml::Value>>,
    vhost_max: Option<Spanned<toml::Value>>,
    cluster_queue_limit: Option<Spanned<toml::Value>>,
    cluster_exchange_limit: Option<Spanned<toml::Value>>,
    incoming_timestamp: Option<Spanned<String>>,
    incoming_routing_node: Option<Spanned<String>>,
    outgoing_timestamp: Option<Spanned<String>>,
    load_definitions: Option<PathBuf>,
    log_level: Option<Spanned<String>>,
}

/// One address, or a list of them.
enum Addresses {
    One(String),
    Many(Vec<Spanned<String>>),
}

impl FileKeys {
    pub(super) fn read(path: &Path) -> Result<FileKeys, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let complain = |span: Option<Range<usize>>, what: String| ConfigError::File {
            path: path.to_owned(),
            line: line_of(&text, span.map_or(0, |span| span.start)),
            what,
        };
        let written: Written = toml::from_str(&text)
            .map_err(|error| complain(error.span(), one_line(error.message())))?;
        let judge = |value: &Spanned<String>| {
            address(value.get_ref()).map_err(|what| quoted(complain, value, what))
        };

        let limit = |value: Option<Spanned<toml::Value>>| {
            let judge = |value: Spanned<String>| {
                count(value.get_ref()).map_err(|what| quoted(complain, &value, what))
            };
            value.map(plain).map(judge).transpose()
        };

        let stamped = |value: Option<Spanned<String>>| {
            let judge = |value: Spanned<String>| {
                stamp(value.get_ref()).map_err(|what| quoted(complain, &value, what))
            };
            value.map(judge).transpose()
        };

        let mut keys = FileKeys {
            incoming_timestamp: stamped(written.incoming_timestamp)?,
            incoming_routing_node: stamped(written.incoming_routing_node)?,
            data_dir: written.data_dir,
            load_definitions: written.load_definitions,
            connection_max: limit(written.connection_max)?,
            channel_max_per_node: limit(written.channel_max_per_node)?,
            consumer_max_per_channel: limit(written.consumer_max_per_channel)?,
            vhost_max: limit(written.vhost_max)?,
            cluster_queue_limit: limit(written.cluster_queue_limit)?,
            cluster_exchange_limit: limit(written.cluster_exchange_limit)?,
            ..FileKeys::default()
        };
        let addresses = |key: &str, listen: Option<Spanned<Addresses>>| {
            let Some(listen) = listen else { return Ok(Vec::new()) };
            let span = listen.span();
            match listen.into_inner() {
                Addresses::One(text) => Ok(vec![judge(&Spanned::new(span, text))?]),
                Addresses::Many(list) if list.is_empty() => {
                    Err(complain(Some(span), format!("{key}: must name at least one")))
                }
                Addresses::Many(list) => list.iter().map(judge).collect(),
            }
        };
        keys.listen = addresses("listen", written.listen)?;
        keys.listen_ssl = addresses("listen-ssl", written.listen_ssl)?;
        keys.tls = TlsKeys {
            certfile: written.ssl_options_certfile,
            keyfile: written.ssl_options_keyfile,
            cacertfile: written.ssl_options_cacertfile,
            verify_peer: judged(complain, written.ssl_options_verify, verify)?,
            fail_if_no_peer_cert: judged(
                complain,
                written.ssl_options_fail_if_no_peer_cert,
                on_or_off,
            )?,
            versions: judged(complain, written.ssl_options_versions, versions)?,
        };
        keys.ssl_cert_login_from = judged(complain, written.ssl_cert_login_from, certificate_name)?;
        keys.auth_mechanisms = judged(complain, written.auth_mechanisms, mechanisms)?;
        keys.anonymous_login_user = written.anonymous_login_user;
        keys.handshake_timeout = judged(complain, written.handshake_timeout, handshake_timeout)?;
        keys.proxy_protocol = judged(complain, written.proxy_protocol, on_or_off)?;
        keys.management = written.management.as_ref().map(judge).transpose()?;
        if let Some(shards) = written.shards {
            let judged = shard_count(&shards.get_ref().to_string());
            keys.shards = Some(judged.map_err(|what| quoted(complain, &shards, what))?);
        }
        if let Some(pin) = written.pin {
            let judged = pin.get_ref().parse();
            keys.pin = Some(judged.map_err(|what| quoted(complain, &pin, what))?);
        }
        if let Some(spin_us) = written.spin_us {
            let judged = spin(&spin_us.get_ref().to_string());
            keys.spin_us = Some(judged.map_err(|what| quoted(complain, &spin_us, what))?);
        }
        if let Some(bytes) = written.segment_bytes {
            let judged = segment_size(&bytes.get_ref().to_string());
            keys.segment_bytes = Some(judged.map_err(|what| quoted(complain, &bytes, what))?);
        }
        keys.index_memory_bytes = judged(complain, written.index_memory_bytes, index_memory)?;
        keys.vm_memory_high_watermark =
            judged(complain, written.vm_memory_high_watermark.map(chosen), str::parse)?;
        keys.vm_memory_high_watermark_paging_ratio =
            judged(complain, written.vm_memory_high_watermark_paging_ratio, paging_ratio)?;
        keys.disk_free_limit = judged(complain, written.disk_free_limit.map(chosen), str::parse)?;
        if let Some(events) = written.event_exchange {
            let judged = on_or_off(events.get_ref());
            keys.event_exchange = Some(judged.map_err(|what| quoted(complain, &events, what))?);
        }
        if let Some(sent) = written.outgoing_timestamp {
            let judged = on_or_off(sent.get_ref());
            keys.outgoing_timestamp = Some(judged.map_err(|what| quoted(complain, &sent, what))?);
        }
        if let Some(timeout) = written.consumer_timeout.map(plain) {
            let judged = milliseconds(timeout.get_ref());
            keys.consumer_timeout = Some(judged.map_err(|what| quoted(complain, &timeout, what))?);
        }
        if let Some(level) = written.log_level {
            let judged = level.get_ref().parse();
            keys.log_level = Some(judged.map_err(|what| quoted(complain, &level, what))?);
        }
        Ok(keys)
    }
}

/// A value as the flag would have it, judged.
fn judged<T>(
    complain: impl Fn(Option<Range<usize>>, String) -> ConfigError + Copy,
    value: Option<Spanned<toml::Value>>,
    judge: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let judge = |value: Spanned<String>| {
        judge(value.get_ref()).map_err(|what| quoted(complain, &value, what))
    };
    value.map(plain).map(judge).transpose()
}

/// What RabbitMQ's files say of a limit, `.relative` or `.absolute`, is a table to TOML; this is what the flag would have.
fn chosen(value: Spanned<toml::Value>) -> Spanned<toml::Value> {
    use toml::Value::{Float, Integer, Table};
    let (span, value) = (value.span(), value.into_inner());
    let chosen = match &value {
        Table(table) if table.len() == 1 => match (table.get("relative"), table.get("absolute")) {
            (Some(Integer(times)), None) => Some(Float(*times as f64)),
            (Some(Float(times)), None) => Some(Float(*times)),
            (None, Some(bytes)) if !bytes.is_float() => Some(bytes.clone()),
            _ => None,
        },
        _ => None,
    };
    Spanned::new(span, chosen.unwrap_or(value))
}

/// A number as the flag would have it, or the text of a string; a list of strings with
/// spaces between them.
fn plain(value: Spanned<toml::Value>) -> Spanned<String> {
    let text = match value.get_ref() {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        // With its point, also if nothing follows: that makes it no number of octets.
        toml::Value::Float(number) => format!("{number:?}"),
        toml::Value::Boolean(true) => "on".to_owned(),
        toml::Value::Boolean(false) => "off".to_owned(),
        toml::Value::Array(words) if words.iter().all(|word| word.is_str()) => {
            words.iter().filter_map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
        }
        other => other.type_str().to_owned(),
    };
    Spanned::new(value.span(), text)
}

fn quoted<T: fmt::Display>(
    complain: impl Fn(Option<Range<usize>>, String) -> ConfigError,
    value: &Spanned<T>,
    what: String,
) -> ConfigError {
    complain(Some(value.span()), format!("{}: {what}", value.get_ref()))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|octet| **octet == b'\n').count()
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressesVisitor;
        impl<'de> Visitor<'de> for AddressesVisitor {
            type Value = Addresses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address and port, or a list of them")
            }
            fn visit_str<E>(self, text: &str) -> Result<Addresses, E> {
                Ok(Addresses::One(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Addresses, A::Error> {
                let mut found = Vec::new();
                while let Some(address) = list.next_element::<Spanned<String>>()? {
                    found.push(address);
                }
                Ok(Addresses::Many(found))
            }
        }
        deserializer.deserialize_any(AddressesVisitor)
    }
}
