//! The machine that a report was made on: figures of different machines must not be compared. From /proc.

use std::fs;

use serde::Serialize;

/// Processor, memory, kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Machine {
    /// Name of the processor.
    pub(crate) processor: String,
    /// Processors online for this process.
    pub(crate) processors: usize,
    /// Memory in octets.
    pub(crate) memory_octets: u64,
    /// Name and release of the kernel.
    pub(crate) kernel: String,
    /// PRETTY_NAME of /etc/os-release.
    pub(crate) system: String,
}

impl Machine {
    /// Reads what can be read; the rest says unknown.
    pub(crate) fn read() -> Machine {
        let file = |path| fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let uname = rustix::system::uname();
        let memory_kib = field(&file("/proc/meminfo"), "MemTotal", ':')
            .and_then(|text| text.split_ascii_whitespace().next()?.parse::<u64>().ok());
        Machine {
            processor: field(&file("/proc/cpuinfo"), "model name", ':').unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_octets: memory_kib.unwrap_or(0) * 1024,
            kernel: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            system: field(&file("/etc/os-release"), "PRETTY_NAME", '=').unwrap_or_else(unknown),
        }
    }
}

/// The value after the first `name`, whatever blanks and quotes are around it.
fn field(text: &str, name: &str, separator: char) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_is_around_them() {
        let text = "vendor_id\t: x\nmodel name\t: Some CPU @ 2 GHz\n";
        assert_eq!(field(text, "model name", ':').as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(field("PRETTY_NAME=\"Debian 12\"", "PRETTY_NAME", '=').unwrap(), "Debian 12");
        assert_eq!(field(text, "flags", ':'), None);
    }
}
