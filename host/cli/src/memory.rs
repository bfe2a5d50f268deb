//! The memory of this process and of its machine, as Linux tells it.

use std::fs::read_to_string;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tollgate_runtime::Runtime;

/// How often a host looks at its memory.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Bytes that this process may come to use: what its control group gives it, or else what the machine has.
pub(crate) fn available() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_limit(&groups, |path| read_to_string(path).ok());
    let machine = read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, "MemTotal:"));
    [group, machine].into_iter().flatten().min()
}

/// The least limit of a process's control group and of those that it is in, in either version of control groups.
fn group_limit(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            named if named.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        let ends = path.match_indices('/').map(|(slash, _)| slash).chain([path.len()]);
        let limits = ends.filter_map(|end| {
            let folder = path.get(..end)?.trim_end_matches('/');
            read(&format!("{root}{folder}/{file}"))?.trim().parse::<u64>().ok()
        });
        limits.min()
    };
    groups.lines().filter_map(of_line).min()
}

/// The bytes that a line of one of the system's texts tells.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 10)
}

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    field(&read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Has the runtime know how much memory is in use, as long as it lives.
pub(crate) async fn watch(runtime: Weak<Runtime>) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(runtime) = runtime.upgrade() else { return };
        // Where it can't be told, the other limits have to do.
        if let Some(resident) = resident() {
            runtime.memory_in_use(resident);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_some_memory_and_no_more_than_there_is() {
        let (resident, available) = (resident().unwrap(), available().unwrap());
        assert!(0 < resident && resident < available, "{resident} of {available}");
    }

    #[test]
    fn the_least_limit_of_a_group_and_its_parents_counts() {
        let read = |path: &str| match path {
            "/sys/fs/cgroup/system.slice/tollgate.service/memory.max" => Some("max\n".to_owned()),
            "/sys/fs/cgroup/system.slice/memory.max" => Some("2000\n".to_owned()),
            "/sys/fs/cgroup/memory/box/memory.limit_in_bytes" => Some("1000\n".to_owned()),
            _ => None,
        };
        assert_eq!(group_limit("0::/system.slice/tollgate.service\n", read), Some(2_000));
        assert_eq!(group_limit("5:cpu:/box\n4:hugetlb,memory:/box\n", read), Some(1_000));
        assert_eq!(group_limit("0::/\n", read), None);
    }

    #[test]
    fn a_field_is_read_in_bytes() {
        assert_eq!(field("MemTotal:       2 kB\nMemFree:  1 kB\n", "MemTotal:"), Some(2_048));
        assert_eq!(field("MemFree:  1 kB\n", "MemTotal:"), None);
    }
}
