//! How much memory the process may have: what the machine has, or less if a control group of the kernel, as containers
//! have one, says so. Asked once, at the start, by the main thread.

use std::fs;
use std::path::Path;

/// Octets. Watermarks are parts of it.
pub(super) fn memory_bytes() -> u64 {
    let machine = rustix::system::sysinfo().totalram;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let read = |path: &Path| fs::read_to_string(path).ok();
    group_limit(&groups, read).map_or(machine, |limit| limit.min(machine))
}

/// The lowest limit of the groups that `groups` (/proc/self/cgroup) names and of those above them. A container may see
/// its own group at the top of the tree and not where its name says.
fn group_limit(groups: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let mut lowest = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(name)) = (fields.next(), fields.next()) else { continue };
        let (top, file) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let top = Path::new(top);
        let group = top.join(name.trim_start_matches('/'));
        for above in group.ancestors().take_while(|above| above.starts_with(top)) {
            // "max" is no number, and no limit.
            let limit = read(&above.join(file)).and_then(|text| text.trim().parse().ok());
            lowest = [lowest, limit].into_iter().flatten().min();
        }
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        group_limit(groups, |path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_lowest_limit_on_the_way_to_the_top_counts() {
        let groups = "12:cpu,cpuacct:/a\n7:memory:/a/b\n1:name=systemd:/a\n0::/a\n";
        let files = [
            ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "268435456\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/a/memory.max", "max\n"),
        ];
        assert_eq!(limit(groups, &files), Some(268_435_456));
    }

    #[test]
    fn a_container_that_sees_only_its_own_group_is_limited_by_it() {
        let files = [("/sys/fs/cgroup/memory.max", "1000000\n")];
        assert_eq!(limit("0::/../../kubepods/pod1\n", &files), Some(1_000_000));
        assert_eq!(limit("0::/docker/abc\n", &files), Some(1_000_000));
    }

    #[test]
    fn without_a_group_there_is_no_limit() {
        assert_eq!(limit("", &[]), None);
        assert_eq!(limit("0::/\n", &[("/sys/fs/cgroup/memory.max", "max\n")]), None);
        assert_eq!(limit("nonsense", &[]), None);
    }
}
