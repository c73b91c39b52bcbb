//! How much memory there is: that of the machine, and what this process may have of it.
//!
//! A process over the limit of its control group is killed without a word, so that a node has to know of
//! it before.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::limits::MEMORY_BESIDE_BYTES;

/// What of memory this process may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    machine: Option<u64>,
    /// The least limit of a control group that this process is in, and where that is said.
    group: Option<(u64, PathBuf)>,
}

impl Room {
    /// That of this process. What the system does not say is not known.
    pub(super) fn of_this_process() -> Self {
        Self::under(Path::new("/"))
    }

    fn under(root: &Path) -> Self {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let limits = groups.lines().filter_map(limit_files).flat_map(|(mount, path, file)| {
            // Within a container the path may be the one outside of it, and its group the mount itself.
            let dirs: Vec<_> = Path::new(&path).ancestors().map(Path::to_path_buf).collect();
            dirs.into_iter().map(move |dir| {
                let dir = dir.strip_prefix("/").unwrap_or(&dir).to_path_buf();
                Path::new(mount).join(dir).join(file)
            })
        });
        let limit = |file: PathBuf| {
            let text = fs::read_to_string(root.join(&file)).ok()?;
            // Without a limit the second version says `max`, and the first a number beyond all memory.
            let bytes = text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)?;
            Some((bytes, Path::new("/").join(file)))
        };
        Self { machine: machine(root), group: limits.filter_map(limit).min() }
    }

    /// Bytes this process may have; `None` if nothing is known.
    pub(super) fn bytes(&self) -> Option<u64> {
        let group = self.group.as_ref().map(|(bytes, _)| *bytes);
        group.into_iter().chain(self.machine).min()
    }

    /// What is to be said of a node that may cache `memory_bytes`; `None` if that fits.
    pub(super) fn warning(&self, memory_bytes: usize) -> Option<String> {
        let needed = memory_bytes as u64 + MEMORY_BESIDE_BYTES;
        self.bytes().filter(|there| *there < needed)?;
        Some(format!(
            "memory = {} and {} beside it are more than the {self}: the system may end this node \
             without a word; allowed: less --memory, as a share 60%",
            ByteSize(memory_bytes as u64),
            ByteSize(MEMORY_BESIDE_BYTES),
        ))
    }
}

/// What the first version of control groups says where there is no limit: 2^63 less a page.
const NO_LIMIT: u64 = 1 << 62;

/// Where the limit of a group is said, of a line of `/proc/self/cgroup`: the mount, the path, the file.
fn limit_files(line: &str) -> Option<(&'static str, String, &'static str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?.to_owned());
    match controllers {
        "" => Some(("sys/fs/cgroup", path, "memory.max")),
        names if names.split(',').any(|name| name == "memory") => {
            Some(("sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
        }
        _ => None,
    }
}

fn machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.group, self.machine) {
            (Some((bytes, file)), machine) if machine.is_none_or(|all| *bytes <= all) => {
                write!(f, "{} of {}", ByteSize(*bytes), file.display())
            }
            (_, Some(machine)) => write!(f, "{} of this machine", ByteSize(machine)),
            (_, None) => f.write_str("memory there is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system with these files.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let v2 = system(&[
            MACHINE,
            ("proc/self/cgroup", "0::/a.slice/b.service\n"),
            ("sys/fs/cgroup/a.slice/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n"),
        ]);
        let room = Room::under(v2.path());
        assert_eq!(room.bytes(), Some(1 << 30));
        assert_eq!(room.to_string(), "1.0 GiB of /sys/fs/cgroup/a.slice/memory.max");
        // In a container its own group is the mount, whatever the path says.
        let v1 = system(&[
            MACHINE,
            ("proc/self/cgroup", "5:cpu:/x\n9:memory:/docker/abc\n0::/docker/abc\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"),
        ]);
        assert_eq!(Room::under(v1.path()).bytes(), Some(512 << 20));
    }

    #[test]
    fn without_a_limit_the_machine_counts_and_without_anything_nothing_is_said() {
        let no_limit = "9223372036854771712\n";
        let system = system(&[
            MACHINE,
            ("proc/self/cgroup", "9:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", no_limit),
        ]);
        let room = Room::under(system.path());
        assert_eq!(room.bytes(), Some(8 << 30));
        assert_eq!(room.warning(7 << 30), None);
        let warning = room.warning(8 << 30).unwrap();
        assert!(
            warning.contains("memory = 8.0 GiB") && warning.contains("8.0 GiB of this machine")
        );
        let unknown = Room::under(Path::new("/nonexistent"));
        assert_eq!((unknown.bytes(), unknown.warning(1 << 40)), (None, None));
    }
}
