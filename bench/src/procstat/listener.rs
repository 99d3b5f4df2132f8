//! Which process listens on a TCP port of this machine: socket inode from /proc/net, owner from /proc/PID/fd.

use std::fs;

use crate::error::{PerfError, Result};

/// Finds the process that listens on `port`. Works for processes of the same user, or as root.
pub(crate) fn pid_of_listener(port: u16) -> Result<i32> {
    let inodes = listening_sockets(port);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| owns_one_of(*pid, &inodes)).ok_or(PerfError::NoListener(port))
}

/// Somebody listens on `port`. Unlike a connection attempt, asking cannot get in the way of who is about to:
/// a connection to a free port of the ephemeral range can be given that very port as its own.
pub(crate) fn is_listening(port: u16) -> bool {
    !listening_sockets(port).is_empty()
}

/// As the links in /proc/PID/fd name them.
fn listening_sockets(port: u16) -> Vec<String> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| listening_inodes(&text, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect()
}

fn listening_inodes(text: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let of_line = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let local_port = fields.get(1)?.rsplit_once(':')?.1;
        let wanted =
            u16::from_str_radix(local_port, 16) == Ok(port) && fields.get(3) == Some(&LISTEN);
        wanted.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    };
    text.lines().skip(1).filter_map(of_line).collect()
}

fn owns_one_of(pid: i32, inodes: &[String]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| inodes.iter().any(|inode| target.as_os_str() == inode.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_of_a_port_is_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(pid_of_listener(port).unwrap(), std::process::id() as i32);
        assert!(is_listening(port));
        drop(listener);
        assert!(matches!(pid_of_listener(port), Err(PerfError::NoListener(_))));
    }

    #[test]
    fn connections_to_the_port_are_not_listeners() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
                    0: 0100007F:1628 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 111 1\n\
                    1: 0100007F:1628 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  0  0 222 1\n";
        assert_eq!(listening_inodes(text, 5672), ["111"]);
    }
}
