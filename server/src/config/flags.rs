//! The command line.

use std::path::PathBuf;

/// HareMQ, a message broker for AMQP 0-9-1 clients.
///
/// Values are taken as text here and judged in one place, [`super::Settings::resolve`], so that
/// a flag and the same key in a file are refused in the same words.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(
    name = "haremq",
    version,
    about = "HareMQ, a message broker for AMQP 0-9-1 clients",
    long_about = None,
    after_help = "A flag wins over the same key in the configuration file, the file over the default.\n\
                  SIGINT or SIGTERM stops the broker cleanly; a second one stops it at once.\n\
                  `haremq check --data-dir DIR` reads everything in a data directory and says what is damaged."
)]
pub struct Flags {
    /// Address and port to take AMQP connections on; may be given several times [default: 127.0.0.1:5672]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<String>,
    /// Address and port to take AMQP connections with TLS on, by convention 5671; may be given several
    /// times [default: none]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen_ssl: Vec<String>,
    /// PEM file with this broker's certificate, and after it those that lead to its authority
    #[arg(long, value_name = "FILE")]
    pub ssl_options_certfile: Option<PathBuf>,
    /// PEM file with the private key of --ssl-options-certfile
    #[arg(long, value_name = "FILE")]
    pub ssl_options_keyfile: Option<PathBuf>,
    /// PEM file with the authorities that clients' certificates may come from
    #[arg(long, value_name = "FILE")]
    pub ssl_options_cacertfile: Option<PathBuf>,
    /// Whether clients are asked for a certificate, which is then checked: verify_peer or verify_none
    /// [default: verify_none]
    #[arg(long, value_name = "verify_peer|verify_none")]
    pub ssl_options_verify: Option<String>,
    /// Whether a client without a certificate is refused: on or off [default: off]
    #[arg(long, value_name = "on|off")]
    pub ssl_options_fail_if_no_peer_cert: Option<String>,
    /// Versions of TLS: tlsv1.3, tlsv1.2, or both with a comma [default: tlsv1.3,tlsv1.2]
    #[arg(long, value_name = "VERSIONS")]
    pub ssl_options_versions: Option<String>,
    /// Where the mechanism EXTERNAL finds the user in a client's certificate: distinguished_name,
    /// common_name, or subject_alternative_name, with :dns, :email or :uri [default: distinguished_name]
    #[arg(long, value_name = "PART")]
    pub ssl_cert_login_from: Option<String>,
    /// Ways to log in, in the order in which clients see them: PLAIN, AMQPLAIN, EXTERNAL (by certificate,
    /// with TLS only), RABBIT-CR-DEMO, ANONYMOUS [default: PLAIN AMQPLAIN]
    #[arg(long, value_name = "NAMES")]
    pub auth_mechanisms: Option<String>,
    /// User whom a client is taken for that logs in by ANONYMOUS; none: nobody [default: guest]
    #[arg(long, value_name = "USER")]
    pub anonymous_login_user: Option<String>,
    /// Milliseconds from a client's connection, TLS included, until it must have opened a virtual
    /// host [default: 10000]
    #[arg(long, value_name = "MS")]
    pub handshake_timeout: Option<String>,
    /// Whether every AMQP connection begins with a header of the PROXY protocol, version 1 or 2, which
    /// says where the client is: on or off. Only for ports that nobody but the proxy can reach [default: off]
    #[arg(long, value_name = "on|off")]
    pub proxy_protocol: Option<String>,
    /// Address and port of the management HTTP interface [default: 127.0.0.1:15672]
    #[arg(long, value_name = "ADDR:PORT")]
    pub management: Option<String>,
    /// Directory for everything that must survive a restart [default: ./haremq-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Number of shards, each a thread with a log of its own; may grow from one start to the next
    /// but not shrink [default: what the data directory has, else one per usable core]
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
    /// Tie each shard to a core: on, off, or auto, which does not, because cores shared with
    /// other programs make a pinned shard slower [default: auto]
    #[arg(long, value_name = "auto|on|off")]
    pub pin: Option<String>,
    /// Microseconds, up to 100, for which a shard with nothing to do looks for work before it sleeps: less latency for
    /// more CPU [default: 0]
    #[arg(long, value_name = "N")]
    pub spin_us: Option<String>,
    /// Size of the files the log is kept in, in octets: a multiple of 4096 from 1048576 to 1073741824,
    /// and the same for as long as the data directory lives [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    pub segment_bytes: Option<String>,
    /// Memory in which each shard keeps what its queues know of their messages, in octets, from 65536 on; what is
    /// beyond goes to a scratch file in the data directory [default: 33554432]
    #[arg(long, value_name = "BYTES")]
    pub index_memory_bytes: Option<String>,
    /// Messages kept in memory that block publishers: a part of the machine's memory, or octets, like 2GB; 0: nobody
    /// may publish [default: 0.4]
    #[arg(long, value_name = "PART|BYTES")]
    pub vm_memory_high_watermark: Option<String>,
    /// Part of --vm-memory-high-watermark that messages may take before those that are held in
    /// memory alone go to disk; shards have equal shares of it [default: 0.5]
    #[arg(long, value_name = "PART")]
    pub vm_memory_high_watermark_paging_ratio: Option<String>,
    /// Free disk space below which publishers are blocked: octets, like 1GB, or, with a point, a multiple of the
    /// machine's memory, like 1.0 [default: 50MB]
    #[arg(long, value_name = "BYTES|TIMES")]
    pub disk_free_limit: Option<String>,
    /// Have an exchange amq.rabbitmq.event in vhost / that tells of what happens in the broker:
    /// on or off [default: off]
    #[arg(long, value_name = "on|off")]
    pub event_exchange: Option<String>,
    /// How long a consumer may keep a message without acknowledging it, in milliseconds; a queue
    /// or its policy may say less. 0: for ever [default: 1800000]
    #[arg(long, value_name = "MS")]
    pub consumer_timeout: Option<String>,
    /// AMQP connections at most [default: any number]
    #[arg(long, value_name = "N")]
    pub connection_max: Option<String>,
    /// Channels of all connections at most [default: any number]
    #[arg(long, value_name = "N")]
    pub channel_max_per_node: Option<String>,
    /// Consumers of one channel at most [default: any number]
    #[arg(long, value_name = "N")]
    pub consumer_max_per_channel: Option<String>,
    /// Virtual hosts at most [default: any number]
    #[arg(long, value_name = "N")]
    pub vhost_max: Option<String>,
    /// Queues of all virtual hosts at most [default: any number]
    #[arg(long, value_name = "N")]
    pub cluster_queue_limit: Option<String>,
    /// Exchanges of all virtual hosts at most, with those that every virtual host has
    /// [default: any number]
    #[arg(long, value_name = "N")]
    pub cluster_exchange_limit: Option<String>,
    /// Have each message say when it was published, by header timestamp_in_ms and property
    /// timestamp: off, keep (unless it says so itself) or overwrite [default: off]
    #[arg(long, value_name = "off|keep|overwrite")]
    pub incoming_timestamp: Option<String>,
    /// Have each message say which node has routed it, by header x-routed-by: off, keep or
    /// overwrite [default: off]
    #[arg(long, value_name = "off|keep|overwrite")]
    pub incoming_routing_node: Option<String>,
    /// Have each delivery say when it was sent, by header x-opt-rabbitmq-sent-time: on or off
    /// [default: off]
    #[arg(long, value_name = "on|off")]
    pub outgoing_timestamp: Option<String>,
    /// JSON document of definitions, such as haremqctl export_definitions writes, to be read in at
    /// every start before anybody is served; nothing is removed [default: none]
    #[arg(long, value_name = "FILE")]
    pub load_definitions: Option<PathBuf>,
    /// If the data directory is damaged, put the damaged octets aside (in its directory
    /// "quarantine", with a list of the messages that are lost), and serve the rest. Reads
    /// everything first
    #[arg(long)]
    pub quarantine_damage: bool,
    /// What to report on standard error: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// TOML file with the same keys as these flags, without the dashes in front [default: none]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `haremq check`: looks for damage in a data directory that no broker is using.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "haremq check",
    version,
    about = "Reads every block of the logs in a data directory and says what is damaged, and which messages were there",
    long_about = None,
    after_help = "Changes nothing. Refuses while a broker uses the directory. Exit code: 0 if all is well, 1 if there is\n\
                  damage, 2 if the check could not be made."
)]
pub struct CheckFlags {
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "./haremq-data")]
    pub data_dir: PathBuf,
}
