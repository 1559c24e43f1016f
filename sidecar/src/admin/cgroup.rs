//! The memory limit that the kernel enforces on this process, from cgroup v1 or v2.

use std::fs;
use std::path::{Path, PathBuf};

/// A v1 limit above this means none: the kernel writes the largest page-aligned `i64`.
const V1_NONE: u64 = 1 << 60;

/// Memory of this process's group.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Group {
    /// The tightest limit of the group and those above it, in bytes. None: no limit.
    pub(super) limit_bytes: Option<u64>,
    /// What the group uses now, page cache included, in bytes.
    pub(super) used_bytes: Option<u64>,
}

/// Reads this process's group.
pub(super) fn read() -> Group {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    read_under(Path::new("/sys/fs/cgroup"), &own)
}

fn read_under(mount: &Path, own: &str) -> Group {
    // In a cgroup v1 hierarchy memory has a line of its own; in v2 the one line is `0::<path>`.
    for (line, files) in [
        (
            "memory",
            ["memory/", "memory.limit_in_bytes", "memory.usage_in_bytes"],
        ),
        ("", ["", "memory.max", "memory.current"]),
    ] {
        let Some(path) = path_of(own, line) else {
            continue;
        };
        let [root, limit, used] = files;
        let root = mount.join(root);
        let groups = upwards(&root, path);
        let group = Group {
            limit_bytes: groups
                .iter()
                .filter_map(|group| number(&group.join(limit)))
                .filter(|limit| *limit < V1_NONE)
                .min(),
            used_bytes: groups.iter().find_map(|group| number(&group.join(used))),
        };
        if group != Group::default() {
            return group;
        }
    }
    Group::default()
}

/// The group's path in the hierarchy that has this controller, from `/proc/self/cgroup`.
fn path_of<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers
            .split(',')
            .any(|c| c == controller)
            .then_some(path)
    })
}

/// The group and those above it. A container sees its own group as the root, though its path may be
/// that of the host: then only the root exists here.
fn upwards(root: &Path, path: &str) -> Vec<PathBuf> {
    let path = root.join(path.trim_start_matches('/'));
    path.ancestors()
        .take_while(|group| group.starts_with(root))
        .map(Path::to_path_buf)
        .collect()
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Files, `/proc/self/cgroup`, expected limit and use.
    type Case = (
        &'static [(&'static str, &'static str)],
        &'static str,
        Option<u64>,
        Option<u64>,
    );

    #[test]
    fn reads_both_versions() {
        let cases: [Case; 6] = [
            (
                &[("memory.max", "1048576\n"), ("memory.current", "4096\n")],
                "0::/\n",
                Some(MIB),
                Some(4096),
            ),
            (
                &[
                    ("a/memory.max", "1048576"),
                    ("a/b/memory.max", "max"),
                    ("a/b/memory.current", "7"),
                ],
                "0::/a/b\n",
                Some(MIB),
                Some(7),
            ),
            (
                &[
                    ("memory/memory.limit_in_bytes", "1048576"),
                    ("memory/memory.usage_in_bytes", "8"),
                ],
                "12:cpu,cpuacct:/x\n11:memory:/kubepods/pod1/c\n0::/\n",
                Some(MIB),
                Some(8),
            ),
            (
                &[
                    ("memory/memory.limit_in_bytes", "9223372036854771712"),
                    ("memory/memory.usage_in_bytes", "8"),
                ],
                "11:memory:/\n",
                None,
                Some(8),
            ),
            (
                &[("memory.max", "5"), ("memory.current", "4")],
                "1:name=systemd:/\n0::/host/path\n",
                Some(5),
                Some(4),
            ),
            (&[], "", None, None),
        ];
        for (files, own, limit_bytes, used_bytes) in cases {
            let mount = std::env::temp_dir().join(format!("wse-cgroup-{}", uuid::Uuid::now_v7()));
            fs::create_dir(&mount).unwrap();
            for (name, text) in files {
                let file = mount.join(name);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            let expected = Group {
                limit_bytes,
                used_bytes,
            };
            assert_eq!(read_under(&mount, own), expected, "{own}");
            fs::remove_dir_all(&mount).unwrap();
        }
    }
}
