//! How much memory a node may use: what it is told, or a part of what the machine or its control group has.

use std::fs;
use std::path::Path;
use std::str::FromStr;

/// The part of the memory that is there which a node takes as its budget, as numerator and denominator. The rest is for
/// the kernel's buffers of its connections, and for whoever else is on the machine.
const PART: (u64, u64) = (3, 4);
/// The budget where nobody can tell how much memory there is.
const UNKNOWN: u64 = 1 << 30;

/// An amount of memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    /// Reads `512MiB`, `2GiB` or a number of bytes.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim() {
            "" | "B" => Some(0),
            "KiB" => Some(10),
            "MiB" => Some(20),
            "GiB" => Some(30),
            _ => None,
        };
        let number: Option<u64> = number.parse().ok();
        let bytes = number
            .zip(shift)
            .and_then(|(number, shift)| number.checked_mul(1 << shift));
        bytes
            .map(Self)
            .ok_or_else(|| "expected an amount of memory such as 512MiB or 2GiB".to_owned())
    }
}

/// The budget of a node that is told none.
pub(crate) fn budget() -> Bytes {
    let (part, of) = PART;
    let there = available(Path::new("/")).map_or(UNKNOWN, |there| there / of * part);
    Bytes(there)
}

/// What the machine has, or the process's control group is allowed, whichever is less. None where neither can be read,
/// as on systems other than Linux.
fn available(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").as_deref().and_then(total);
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files);
    // A container may see its own group at the root, whatever it is called outside.
    let roots = [
        "sys/fs/cgroup/memory.max",
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limits = limits.chain(roots.map(str::to_owned));
    let limits = limits.filter_map(|path| read(&path)?.trim().parse().ok());
    limits.chain(machine).min()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files that limit the memory of the group in a line of `/proc/self/cgroup` and of those above it, by either version
/// of control groups. A file that is not there, or says `max`, limits nothing.
fn limit_files(line: &str) -> Vec<String> {
    let mut fields = line.splitn(3, ':');
    let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
    else {
        return Vec::new();
    };
    let (folder, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|it| it == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let groups = Path::new(path).ancestors();
    let of = |group: &Path| {
        format!(
            "{folder}{}/{file}",
            group.display().to_string().trim_end_matches('/')
        )
    };
    groups.map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system with these files.
    fn there(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        available(root.path())
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:        2097152 kB\nMemFree: 1 kB\n",
    );

    #[test]
    fn the_least_of_machine_and_groups_holds() {
        const GIB: u64 = 1 << 30;
        assert_eq!(there(&[]), None);
        assert_eq!(there(&[MEMINFO]), Some(2 * GIB));
        let group = ("proc/self/cgroup", "0::/a.slice/b.service\n");
        let above = ("sys/fs/cgroup/a.slice/memory.max", "1073741824\n");
        let own = ("sys/fs/cgroup/a.slice/b.service/memory.max", "max\n");
        assert_eq!(there(&[MEMINFO, group, own]), Some(2 * GIB));
        assert_eq!(there(&[MEMINFO, group, own, above]), Some(GIB));
        let old = ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/1\n");
        let own = (
            "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
            "536870912\n",
        );
        assert_eq!(there(&[MEMINFO, old, own]), Some(GIB / 2));
        let root = ("sys/fs/cgroup/memory.max", "268435456\n");
        assert_eq!(there(&[MEMINFO, root]), Some(GIB / 4));
    }

    #[test]
    fn amounts_have_units() {
        assert_eq!("512MiB".parse(), Ok(Bytes(512 << 20)));
        assert_eq!("2GiB".parse(), Ok(Bytes(2 << 30)));
        assert_eq!("1048576".parse(), Ok(Bytes(1 << 20)));
        for wrong in ["", "MiB", "-1GiB", "1.5GiB", "1GB", "99999999999GiB"] {
            assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
        }
    }
}
