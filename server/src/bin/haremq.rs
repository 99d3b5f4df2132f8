//! The broker.

use std::process::ExitCode;

use clap::Parser;
use haremq::config::{CheckFlags, Flags, LogLevel, Settings};
use haremq::runtime::{self, StartError};
use tracing::level_filters::LevelFilter;

/// Shards allocate and free on their own threads, which this allocator is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Of `haremq check`, if there is damage.
const DAMAGED: u8 = 1;
/// Of `haremq check`, if it could not be made.
const NOT_CHECKED: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "check") {
        return check(&CheckFlags::parse_from(&words[1..]));
    }
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("haremq: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(flags: &CheckFlags) -> ExitCode {
    match runtime::check(&flags.data_dir, &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DAMAGED),
        Err(error) => {
            eprintln!("haremq check: {error}");
            ExitCode::from(NOT_CHECKED)
        }
    }
}

fn start() -> Result<(), StartError> {
    let settings = Settings::resolve(Flags::parse())?;
    let level = match settings.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .init();
    runtime::run(&settings)
}
