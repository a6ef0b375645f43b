//! The files of a policy, named one by one or by directory.

use std::path::{Path, PathBuf};

use tollgate_policy::yaml::{self, Source};
use tollgate_proto::policy::v1::Policy;

use crate::error::{Error, at};

/// Endings of the files taken from a directory.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// Where a policy is.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyFiles {
    /// File of the policy, or a directory of *.yaml, *.yml and *.json files; several are merged
    #[arg(
        short = 'f',
        long = "file",
        env = "TOLLGATE_FILE",
        value_name = "FILE|DIR",
        value_delimiter = ',',
        num_args = 1..,
        required = true
    )]
    files: Vec<PathBuf>,
}

impl PolicyFiles {
    /// Reads and validates the policy.
    ///
    /// # Errors
    /// [`Error::File`] for what cannot be read, [`Error::Faults`] with every fault of the policy.
    pub(crate) fn load(&self) -> Result<Policy, Error> {
        load(&self.files)
    }

    /// The same, with what is legal in it but probably not meant, and where that stands.
    ///
    /// # Errors
    /// As of `load`.
    pub(crate) fn load_warned(&self) -> Result<(Policy, Vec<String>), Error> {
        let texts = read(&self.files)?;
        let policy = parse(&texts)?;
        let warnings = yaml::locate(tollgate_policy::warnings(&policy), &sources(&texts));
        let warnings = warnings.iter().map(ToString::to_string).collect();
        Ok((policy, warnings))
    }
}

/// Reads and validates the policy of these files and directories.
///
/// # Errors
/// [`Error::File`] for what cannot be read, [`Error::Faults`] with every fault of the policy.
pub(crate) fn load(files: &[PathBuf]) -> Result<Policy, Error> {
    parse(&read(files)?)
}

fn parse(texts: &[(String, Vec<u8>)]) -> Result<Policy, Error> {
    let policy = yaml::load(&sources(texts));
    policy.map_err(|faults| Error::Faults(faults.iter().map(ToString::to_string).collect()))
}

fn sources(texts: &[(String, Vec<u8>)]) -> Vec<Source<'_>> {
    let sources = texts.iter();
    sources.map(|(name, text)| Source { name, text }).collect()
}

fn read(files: &[PathBuf]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut texts = Vec::new();
    for path in files {
        for file in expand(path)? {
            let text = std::fs::read(&file).map_err(at(&file))?;
            texts.push((file.display().to_string(), text));
        }
    }
    Ok(texts)
}

/// A file as it is; a directory as its policy files in the order of their names.
fn expand(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !std::fs::metadata(path).map_err(at(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(at(path))? {
        let file = entry.map_err(at(path))?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::Failed(format!(
            "{}: no *.yaml, *.yml or *.json file in this directory",
            path.display()
        )));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_policy_files_in_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "notes.txt", "c.json"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let files = expand(dir.path()).unwrap();
        let names: Vec<_> = files.iter().filter_map(|file| file.file_name()).collect();
        assert_eq!(names, ["a.yml", "b.yaml", "c.json"]);
    }

    #[test]
    fn warnings_say_where_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p.yaml");
        std::fs::write(&file, "providers:\n  lonely: { kind: simulated }\n").unwrap();
        let files = PolicyFiles {
            files: vec![file.clone()],
        };
        let (policy, warnings) = files.load_warned().unwrap();
        assert_eq!(policy.providers.len(), 1);
        let warning = "providers.lonely: is not used by any deployment";
        assert_eq!(warnings, [format!("{}:2:3: {warning}", file.display())]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let empty = expand(dir.path()).unwrap_err().to_string();
        assert!(empty.contains("no *.yaml"), "{empty}");
        let missing = expand(Path::new("no/such/file")).unwrap_err().to_string();
        assert!(missing.starts_with("no/such/file: "), "{missing}");
    }
}
