//! What a child process prints, collected line by line as it comes, and waited for by event.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
struct Collected {
    lines: Vec<String>,
    open_streams: usize,
}

/// The collected lines of one or more streams of a child process.
#[derive(Debug, Clone, Default)]
pub struct Output {
    shared: Arc<(Mutex<Collected>, Condvar)>,
}

impl Output {
    /// Starts to collect `stream`; the thread ends with the stream.
    pub fn collect(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        self.lock().open_streams += 1;
        let output = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text =
                    String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_string();
                output.lock().lines.push(text);
                output.shared.1.notify_all();
                line.clear();
            }
            output.lock().open_streams -= 1;
            output.shared.1.notify_all();
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Collected> {
        self.shared.0.lock().expect("no holder of the output lock panics")
    }

    /// How many lines have come so far: a place to wait from.
    pub fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Whether nothing has been printed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    /// Everything so far, line by line.
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits until `pick` finds what it wants in the lines from `start` on.
    ///
    /// Gives None when the streams have ended or `limit` has passed without it.
    pub fn wait_for<T>(
        &self,
        start: usize,
        limit: Duration,
        mut pick: impl FnMut(&[String]) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut collected = self.lock();
        loop {
            if let Some(found) = pick(collected.lines.get(start..).unwrap_or(&[])) {
                return Some(found);
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if collected.open_streams == 0 || remaining.is_zero() {
                return None;
            }
            collected = self
                .shared
                .1
                .wait_timeout(collected, remaining)
                .expect("no holder of the output lock panics")
                .0;
        }
    }

    /// Waits until all streams have ended, which a process does to them when it ends.
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        self.wait_for(0, limit, |_| None::<()>);
        self.lock().open_streams == 0
    }

    /// Waits for the first line from `start` on that contains `part`.
    pub fn wait_for_line(&self, start: usize, part: &str, limit: Duration) -> Option<String> {
        self.wait_for(start, limit, |lines| lines.iter().find(|line| line.contains(part)).cloned())
    }
}
