//! Where `dev` keeps its state: a directory of the user's choice, or one that goes with the process.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, at};
use crate::secret::Secret;

/// The directory.
#[derive(Debug)]
pub(super) enum Home {
    /// Removed at the end.
    Temporary(TempDir),
    /// Kept.
    Kept(PathBuf),
}

impl Home {
    /// Makes the directory where it is missing; a temporary one where none is named.
    ///
    /// # Errors
    /// [`Error::File`] if that is not possible.
    pub(super) fn open(chosen: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = chosen else {
            let temporary = tempfile::Builder::new().prefix("tollgate-dev-").tempdir();
            let directory = temporary.map_err(at(&std::env::temp_dir()))?;
            return Ok(Self::Temporary(directory));
        };
        fs::create_dir_all(path).map_err(at(path))?;
        // Commands that are printed must work from any directory.
        let path = path.canonicalize().map_err(at(path))?;
        Ok(Self::Kept(path))
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }

    /// Whether it outlives the process.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    /// The file that holds the policy `dev` started with, for the user to change and apply.
    pub(super) fn policy_file(&self) -> PathBuf {
        self.path().join("policy.yaml")
    }

    /// Writes that file.
    ///
    /// # Errors
    /// [`Error::File`] if that is not possible.
    pub(super) fn write_policy(&self, text: &str) -> Result<(), Error> {
        let path = self.policy_file();
        fs::write(&path, text).map_err(at(&path))
    }

    fn key_file(&self) -> PathBuf {
        self.path().join("demo-key")
    }

    /// The demo key of an earlier start, if there was one.
    ///
    /// # Errors
    /// [`Error::File`] if its file is there but cannot be read.
    pub(super) fn read_key(&self) -> Result<Option<Secret>, Error> {
        let path = self.key_file();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::from(text.trim().to_owned()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Keeps the demo key for the next start, readable by the user alone.
    ///
    /// # Errors
    /// [`Error::File`] if that is not possible.
    pub(super) fn write_key(&self, key: &Secret) -> Result<(), Error> {
        let path = self.key_file();
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&path).map_err(at(&path))?;
        writeln!(file, "{}", key.expose()).map_err(at(&path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_key_is_kept_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(Some(&dir.path().join("new/dir"))).unwrap();
        assert_eq!(home.read_key().unwrap(), None);
        let key = Secret::from("tg_demo".to_owned());
        home.write_key(&key).unwrap();
        assert_eq!(home.read_key().unwrap(), Some(key));
        let mode = fs::metadata(home.key_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
