//! The operator's token: who can read the data directory is the operator.
//!
//! RabbitMQ's command line needs no password because it shares a cookie file with the broker;
//! this is the same idea. At every start the broker writes fresh random octets to a file that
//! only its own user can read. Whoever sends them from a loopback address is an administrator.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::Engine;

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "operator.token";

/// Random octets in a token, before encoding.
const TOKEN_BYTES: usize = 32;

/// The secret of one run of the broker. `Debug` does not show it.
#[derive(Clone)]
pub struct OperatorToken(String);

impl OperatorToken {
    /// Draws a new token without writing it anywhere.
    ///
    /// # Errors
    /// The operating system gives no random octets.
    pub fn random() -> io::Result<Self> {
        let mut octets = [0_u8; TOKEN_BYTES];
        getrandom::fill(&mut octets).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(OperatorToken(URL_SAFE_NO_PAD.encode(octets)))
    }

    /// Whether `candidate` is this token; takes the same time for every candidate of its length.
    pub fn matches(&self, candidate: &str) -> bool {
        let (own, other) = (self.0.as_bytes(), candidate.as_bytes());
        let mut difference = u8::from(own.len() != other.len());
        for (index, octet) in own.iter().enumerate() {
            difference |= octet ^ other.get(index).copied().unwrap_or(0);
        }
        std::hint::black_box(difference) == 0
    }

    /// The text of the file and of the `Authorization: Bearer` header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(..)")
    }
}

/// Where the token of the broker with that data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// Draws a token and writes it to `data_dir`, readable by its owner only.
///
/// The file appears complete or not at all, and an older one of whatever mode is replaced. Call
/// with the data directory locked. On a full disk the token of the last start stays, if there is one:
/// the broker must be able to start there, and be asked, to be drained.
///
/// # Errors
/// No random octets, or the directory cannot be written.
pub fn create(data_dir: &Path) -> io::Result<OperatorToken> {
    let fresh = data_dir.join(format!("{FILE_NAME}.new"));
    match write_new(data_dir, &fresh) {
        Err(error) if is_out_of_space(&error) => {
            let _ = std::fs::remove_file(&fresh);
            read(data_dir).map_err(|_| error)
        }
        outcome => outcome,
    }
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn write_new(data_dir: &Path, fresh: &Path) -> io::Result<OperatorToken> {
    let token = OperatorToken::random()?;
    match std::fs::remove_file(fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
    file.write_all(token.0.as_bytes())?;
    file.write_all(b"\n")?;
    drop(file);
    std::fs::rename(fresh, path(data_dir))?;
    Ok(token)
}

/// Reads the token of the broker with that data directory.
///
/// # Errors
/// There is none, or it is not for this user to read.
pub fn read(data_dir: &Path) -> io::Result<OperatorToken> {
    let text = std::fs::read_to_string(path(data_dir))?;
    Ok(OperatorToken(text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let name = OperatorToken::random().expect("random octets");
            let path = std::env::temp_dir().join(format!("haremq-token-{}", name.expose()));
            std::fs::create_dir(&path).expect("temporary directory");
            Directory(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn token_file_is_for_its_owner_only_even_if_an_open_one_was_there() {
        let directory = Directory::new();
        std::fs::write(path(&directory.0), "old").expect("old token");
        let loose = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(path(&directory.0), loose).expect("mode");
        let token = create(&directory.0).expect("token");
        let mode = std::fs::metadata(path(&directory.0)).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(read(&directory.0).expect("read back").matches(token.expose()));
    }

    #[test]
    fn every_start_makes_another_token() {
        let directory = Directory::new();
        let first = create(&directory.0).expect("token");
        let second = create(&directory.0).expect("token");
        assert!(!first.matches(second.expose()));
    }

    #[test]
    fn only_the_whole_token_matches() {
        let token = OperatorToken::random().expect("token");
        let text = token.expose().to_owned();
        assert!(token.matches(&text));
        assert!(!token.matches(""));
        assert!(!token.matches(&text[..text.len() - 1]));
        assert!(!token.matches(&format!("{text}x")));
        assert!(!format!("{token:?}").contains(&text));
    }
}
