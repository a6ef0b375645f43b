//! The last good policy and the known keys on disk, so that a node starts and serves while the control plane
//! is away.
//!
//! A file is `magic, version, length, BLAKE3 of the rest, message`. It is written whole to a temporary name,
//! flushed, and renamed over the old one, which stays as `snapshot.previous`. What cannot be read, for
//! whatever reason, is reported and passed over: first the previous file is tried, then the node starts
//! without a policy and says that it is not ready. Of keys, only hashes are kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use prost::Message;
use tollgate_proto::node::v1::{KeyUpdate, PolicyUpdate};

const MAGIC: &[u8; 8] = b"tollsnap";
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 8 + 32;
const CURRENT: &str = "snapshot";
const PREVIOUS: &str = "snapshot.previous";
const TEMPORARY: &str = "snapshot.tmp";

/// What a node needs to serve.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Snapshot {
    /// The policy and its revision.
    #[prost(message, optional, tag = "1")]
    pub(crate) policy: Option<PolicyUpdate>,
    /// The keys by their hashes.
    #[prost(message, repeated, tag = "2")]
    pub(crate) keys: Vec<KeyUpdate>,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("read the file")]
    Read(#[from] io::Error),
    #[error("the file is cut short or not a snapshot")]
    Malformed,
    #[error("the file has format version {0}, this node reads version {VERSION}")]
    Version(u32),
    #[error("the checksum does not match")]
    Checksum,
    #[error("decode the message")]
    Decode(#[from] prost::DecodeError),
}

/// Writes a snapshot so that a crash at any moment leaves a whole one.
///
/// # Errors
/// The first step that failed. The old snapshot is then still there.
pub(crate) fn write(folder: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let body = snapshot.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(blake3::hash(&body).as_bytes());
    bytes.extend_from_slice(&body);

    let temporary = folder.join(TEMPORARY);
    let current = folder.join(CURRENT);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    match fs::rename(&current, folder.join(PREVIOUS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(&temporary, &current)?;
    // The names are in the folder: without this, the renames may be lost with the power.
    File::open(folder)?.sync_all()
}

/// Reads the newest snapshot that is whole, if any. Faults are logged and passed over.
pub(crate) fn read(folder: &Path) -> Option<Snapshot> {
    [CURRENT, PREVIOUS]
        .into_iter()
        .map(|name| folder.join(name))
        .find_map(|path| read_or_report(&path))
}

fn read_or_report(path: &Path) -> Option<Snapshot> {
    match read_file(path) {
        Ok(snapshot) => Some(snapshot),
        Err(Unusable::Read(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(path = %path.display(), %error, cause, "passing over a snapshot");
            None
        }
    }
}

fn read_file(path: &Path) -> Result<Snapshot, Unusable> {
    let bytes = fs::read(path)?;
    let (header, body) = bytes.split_at_checked(HEADER).ok_or(Unusable::Malformed)?;
    let (magic, rest) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(Unusable::Malformed);
    }
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(Unusable::Malformed)?;
    let version = u32::from_le_bytes(*version);
    if version != VERSION {
        return Err(Unusable::Version(version));
    }
    let (length, checksum) = rest.split_first_chunk::<8>().ok_or(Unusable::Malformed)?;
    if u64::from_le_bytes(*length) != body.len() as u64 {
        return Err(Unusable::Malformed);
    }
    if blake3::hash(body).as_bytes().as_slice() != checksum {
        return Err(Unusable::Checksum);
    }
    Ok(Snapshot::decode(body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_revision(revision: u64) -> Snapshot {
        Snapshot {
            policy: Some(PolicyUpdate {
                revision,
                policy: Some(tollgate_proto::policy::v1::Policy::default()),
            }),
            keys: vec![KeyUpdate {
                hash: bytes::Bytes::from_static(&[7; 32]),
                key: Some(tollgate_proto::node::v1::Key {
                    id: "k1".into(),
                    subject: "acme/search/ada".into(),
                    ..Default::default()
                }),
            }],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        write(folder.path(), &of_revision(1)).unwrap();
        assert_eq!(read(folder.path()), Some(of_revision(1)));
        write(folder.path(), &of_revision(2)).unwrap();
        assert_eq!(read(folder.path()), Some(of_revision(2)));
    }

    /// One way to damage a file.
    type Damage = fn(&mut Vec<u8>);

    #[test]
    fn a_damaged_snapshot_gives_way_to_the_previous_one() {
        let damages: [(&str, Damage); 7] = [
            ("emptied", Vec::clear),
            ("cut in the header", |bytes| bytes.truncate(20)),
            ("cut in the message", |bytes| {
                bytes.truncate(bytes.len() - 1);
            }),
            ("a byte of the message flipped", |bytes| {
                *bytes.last_mut().unwrap() ^= 1;
            }),
            ("a byte of the checksum flipped", |bytes| bytes[25] ^= 1),
            ("of a later version", |bytes| bytes[8] = 9),
            ("something else", |bytes| {
                *bytes = b"hello, this is not a snapshot at all, but it is longer than a header"
                    .to_vec();
            }),
        ];
        for (what, damage) in damages {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), &of_revision(1)).unwrap();
            write(folder.path(), &of_revision(2)).unwrap();
            let path = folder.path().join(CURRENT);
            let mut bytes = fs::read(&path).unwrap();
            damage(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(folder.path()), Some(of_revision(1)), "{what}");
            fs::write(folder.path().join(PREVIOUS), &bytes).unwrap();
            assert_eq!(read(folder.path()), None, "{what}");
        }
    }

    #[test]
    fn every_single_flipped_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &of_revision(3)).unwrap();
        let path = folder.path().join(CURRENT);
        let whole = fs::read(&path).unwrap();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x40;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(read(folder.path()), None, "byte {position}");
        }
    }

    #[test]
    fn a_crash_between_the_renames_leaves_the_previous_one() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &of_revision(1)).unwrap();
        fs::rename(folder.path().join(CURRENT), folder.path().join(PREVIOUS)).unwrap();
        assert_eq!(read(folder.path()), Some(of_revision(1)));
    }

    #[test]
    fn others_cannot_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &of_revision(1)).unwrap();
        let mode = fs::metadata(folder.path().join(CURRENT))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
