//! `relay`: the floor that no broker can get under. Three threads on loopback: one writes the octets of
//! publishes, one copies them from its one socket to its other and understands nothing, one reads them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::args::RelayArgs;
use crate::clock::thread_cpu_ns;
use crate::command::Ending;
use crate::error::{PerfError, Result};
use crate::producer::image::{Image, Shape, Target};
use crate::report::{json, text};
use crate::wire::table::Table;

/// Octets that the writer writes at once.
const WRITE_OCTETS: usize = 128 * 1024;

/// The floor for one size.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RelayFigures {
    /// Octets of body.
    pub(crate) size: usize,
    /// Octets on the wire per message.
    pub(crate) wire_octets: f64,
    /// Messages per second.
    pub(crate) per_s: f64,
    /// CPU microseconds of the relay per message.
    pub(crate) relay_us: f64,
    /// CPU microseconds of the writer per message.
    pub(crate) writer_us: f64,
    /// CPU microseconds of the reader per message.
    pub(crate) reader_us: f64,
}

/// Measures one size with reads and writes of `buffer_octets` in the relay.
pub(crate) fn measure(
    size: usize,
    duration: Duration,
    buffer_octets: usize,
) -> Result<RelayFigures> {
    let mut image = messages(size);
    let per_batch = image.room();
    let range = image.stamp(per_batch, |_| 0);
    let batch = image.octets(range);
    let io = |source| PerfError::Io { doing: "relaying over loopback", source };
    let (writer_end, relay_in) = pair().map_err(io)?;
    let (relay_out, reader_end) = pair().map_err(io)?;
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let (written, relayed, read) = thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(writer_end, batch, &stop));
        let relay = scope.spawn(|| copy(relay_in, Some(relay_out), buffer_octets));
        let reader = scope.spawn(|| copy(reader_end, None, 256 * 1024));
        thread::sleep(duration);
        stop.store(true, Ordering::Relaxed);
        (join(writer), join(relay), join(reader))
    });
    let seconds = begun.elapsed().as_secs_f64();
    let (writer_ns, _) = written.map_err(io)?;
    let (relay_ns, _) = relayed.map_err(io)?;
    let (reader_ns, octets) = read.map_err(io)?;
    let wire_octets = batch.len() as f64 / per_batch as f64;
    let count = octets as f64 / wire_octets;
    let us = |cpu_ns: u64| cpu_ns as f64 / 1e3 / count.max(1.0);
    Ok(RelayFigures {
        size,
        wire_octets,
        per_s: count / seconds,
        relay_us: us(relay_ns),
        writer_us: us(writer_ns),
        reader_us: us(reader_ns),
    })
}

fn messages(size: usize) -> Image {
    let target = Target {
        stream: 0,
        exchange: String::new(),
        key: "haremq-perf-relay-0".to_owned(),
        headers: Table::default(),
    };
    let shape = Shape {
        sizes: vec![size],
        persistent: false,
        mandatory: false,
        frame_max: 131_072,
        batch_octets: WRITE_OCTETS,
    };
    Image::new(&[target], &shape)
}

fn pair() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let one = TcpStream::connect(listener.local_addr()?)?;
    let (other, _) = listener.accept()?;
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((one, other))
}

/// CPU nanoseconds of the thread, and octets that passed.
type Passed = std::io::Result<(u64, u64)>;

fn join(thread: ScopedJoinHandle<'_, Passed>) -> Passed {
    match thread.join() {
        Ok(passed) => passed,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn write_until(mut stream: TcpStream, batch: &[u8], stop: &AtomicBool) -> Passed {
    let mut octets = 0;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(batch)?;
        octets += batch.len() as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    Ok((thread_cpu_ns(), octets))
}

fn copy(mut from: TcpStream, mut to: Option<TcpStream>, buffer_octets: usize) -> Passed {
    let mut buffer = vec![0; buffer_octets.max(1)];
    let mut octets = 0;
    loop {
        let length = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        octets += length as u64;
        if let Some(to) = &mut to {
            to.write_all(&buffer[..length])?;
        }
    }
    Ok((thread_cpu_ns(), octets))
}

/// The subcommand.
pub(crate) fn relay(args: &RelayArgs) -> Result<Ending> {
    println!("    body   on wire     messages/s   relay us  writer us  reader us");
    let mut all = Vec::new();
    for size in &args.size {
        let figures = measure(*size, args.duration, args.buffer)?;
        println!(
            "{:>8} {:>9.0} {:>14} {:>10.3} {:>10.3} {:>10.3}",
            figures.size,
            figures.wire_octets,
            text::count(figures.per_s as u64),
            figures.relay_us,
            figures.writer_us,
            figures.reader_us
        );
        all.push(figures);
    }
    if let Some(path) = &args.json {
        json::write(path, "relay", &args.size, &all)?;
    }
    Ok(Ending::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_written_comes_out_at_the_other_end() {
        let (mut writer, relay_in) = pair().unwrap();
        let (relay_out, reader) = pair().unwrap();
        let relay = thread::spawn(move || copy(relay_in, Some(relay_out), 1000));
        let sink = thread::spawn(move || copy(reader, None, 777));
        writer.write_all(&[7; 100_000]).unwrap();
        drop(writer);
        assert_eq!(relay.join().unwrap().unwrap().1, 100_000);
        assert_eq!(sink.join().unwrap().unwrap().1, 100_000);
    }
}
