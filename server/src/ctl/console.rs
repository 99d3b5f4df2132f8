//! Where a call prints to and asks from; buffers in tests.

use std::io::{BufRead, Write};

/// Standard output, standard error, and a way to be told a secret.
pub struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Reads one line without showing it. `None`: there is nobody to ask.
    secret: &'a mut dyn FnMut() -> Option<String>,
}

impl<'a> Console<'a> {
    pub fn new(
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        secret: &'a mut dyn FnMut() -> Option<String>,
    ) -> Self {
        Console { out, err, secret }
    }

    /// A reader that has gone away (`| head`) is no error of ours.
    pub(super) fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    pub(super) fn error(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
        let _ = self.err.flush();
    }

    pub(super) fn ask_secret(&mut self, prompt: &str) -> Option<String> {
        self.print(prompt);
        let answer = (self.secret)();
        self.print("\n");
        answer
    }
}

/// One line of standard input, not shown while it is typed if that is a terminal.
pub fn read_secret() -> Option<String> {
    use rustix::termios::{tcgetattr, tcsetattr, LocalModes, OptionalActions};

    let input = std::io::stdin();
    let shown = tcgetattr(&input).ok();
    if let Some(shown) = &shown {
        let mut hidden = shown.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&input, OptionalActions::Flush, &hidden);
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    if let Some(shown) = &shown {
        let _ = tcsetattr(&input, OptionalActions::Now, shown);
    }
    match read {
        Ok(octets) if octets > 0 => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
        _ => None,
    }
}
