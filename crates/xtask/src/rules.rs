//! House rules about files that no other tool checks.
//!
//! Sizes: a Rust file has at most 500 lines, and nine in ten have at most 400. Names: no `mod.rs`, no folder
//! or file named for what everything could be, nothing new at the top level. Words: no unfinished code, no
//! test that is switched off, no registry's address, no HTTP client outside the node.

use anyhow::{Context, Result, bail};

use crate::check::Outcome;
use crate::workspace::Workspace;

const LONGEST_FILE: usize = 500;
const NINE_IN_TEN: usize = 400;
/// How many of the longest files are shown.
const SHOWN: usize = 10;

/// What the top level holds; files whose name begins with a dot may be added.
const TOP_LEVEL: [&str; 9] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "buf.yaml",
    "crates",
    "deploy",
    "proto",
    "tests",
];

/// Names that say nothing about what is inside, so that everything ends up there.
const NAMELESS: [&str; 9] = [
    "base", "common", "helper", "helpers", "impl", "manager", "misc", "util", "utils",
];

/// Words that Rust code must not hold, and why. Each is put together here so that this file holds none.
const UNFINISHED: [(&str, &str); 3] = [
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unimplemented", "!("), "unfinished code"),
    (
        concat!("#[", "ignore"),
        "a test that is switched off; mend it or take it away",
    ),
];

/// The paths of hyper's clients, and the folders whose code may name them: providers are called from the
/// node alone, and the tests are callers themselves.
const HTTP_CLIENTS: [&str; 2] = [concat!("hyper::", "client"), concat!("client::", "legacy")];
const HTTP_CALLERS: [&str; 2] = ["crates/node/", "tests/"];

/// Addresses of registries: which one, or which mirror of it, a machine uses is that machine's configuration.
const REGISTRIES: [&str; 8] = [
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("crates.io", "-index"),
    concat!("registry.", "npmjs.org"),
    concat!("files.", "pythonhosted.org"),
    concat!("pypi", ".org"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

/// Prints each file that breaks a rule; fails when there is one.
pub(crate) fn check(workspace: &Workspace) -> Result<Outcome> {
    let mut files = Vec::new();
    for path in workspace.files()? {
        let bytes = std::fs::read(workspace.root().join(&path))
            .with_context(|| format!("cannot read {path}"))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        files.push(File { path, text });
    }
    let lengths = lengths(&files);
    print_lengths(&lengths);
    let mut faults: Vec<String> = files.iter().flat_map(faults_of).collect();
    faults.extend(faults_of_lengths(&lengths));
    if faults.is_empty() {
        return Ok(Outcome::Passed);
    }
    for fault in &faults {
        println!("{fault}");
    }
    bail!(
        "{} faults; the rules are in crates/xtask/src/rules.rs",
        faults.len()
    )
}

/// One file of the project.
#[derive(Debug)]
struct File {
    /// From the root, with forward slashes.
    path: String,
    text: String,
}

/// The lines of each Rust file, the longest first.
fn lengths(files: &[File]) -> Vec<(usize, &str)> {
    let mut lengths: Vec<_> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| (file.text.lines().count(), file.path.as_str()))
        .collect();
    lengths.sort_by(|a, b| b.cmp(a));
    lengths
}

/// The length that nine in ten files do not exceed.
fn nine_in_ten(lengths: &[(usize, &str)]) -> usize {
    lengths
        .get(lengths.len() / 10)
        .map_or(0, |(lines, _)| *lines)
}

fn print_lengths(lengths: &[(usize, &str)]) {
    println!(
        "{} Rust files, nine in ten of them up to {} lines; the longest:",
        lengths.len(),
        nine_in_ten(lengths)
    );
    for (lines, path) in lengths.iter().take(SHOWN) {
        println!("{lines:>6} {path}");
    }
}

fn faults_of_lengths(lengths: &[(usize, &str)]) -> Vec<String> {
    let mut faults: Vec<String> = lengths
        .iter()
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, path)| format!("{path}: {lines} lines, more than {LONGEST_FILE}"))
        .collect();
    if nine_in_ten(lengths) > NINE_IN_TEN {
        faults.push(format!(
            "more than one Rust file in ten has over {NINE_IN_TEN} lines"
        ));
    }
    faults
}

/// A sentence for each rule that one file breaks, whatever the others are.
fn faults_of(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("{}: {what}", file.path));
    let mut parts = file.path.split('/').peekable();
    let top = parts.peek().copied().unwrap_or_default();
    if !top.starts_with('.') && !TOP_LEVEL.contains(&top) {
        fault("not one of the entries that the top level has".to_owned());
    }
    if file.path.ends_with("/mod.rs") {
        fault("name it for its folder, and put it beside the folder".to_owned());
    }
    for part in parts {
        let stem = part.split('.').next().unwrap_or_default();
        if NAMELESS.contains(&stem) {
            fault(format!("`{stem}` does not say what is inside"));
        }
    }
    for (number, line) in file.text.lines().enumerate() {
        for (word, why) in words_of(&file.path).filter(|(word, _)| line.contains(word)) {
            fault(format!("line {}: `{word}`: {why}", number + 1));
        }
    }
    faults
}

/// The words that the file at `path` must not hold, each with the reason.
fn words_of(path: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rust = path.ends_with(".rs");
    let caller = HTTP_CALLERS.iter().any(|folder| path.starts_with(folder));
    // Cargo writes its registry into the lock file, whatever that is replaced with.
    let lock = path == "Cargo.lock";
    let unfinished = UNFINISHED.iter().filter(move |_| rust);
    let clients = HTTP_CLIENTS.iter().filter(move |_| rust && !caller);
    let registries = REGISTRIES.iter().filter(move |_| !lock);
    unfinished
        .copied()
        .chain(clients.map(|word| (*word, "only the node calls out over HTTP")))
        .chain(registries.map(|word| (*word, "the address of a registry")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let file = File {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let faults = faults_of(&file);
        let matches = faults.len() == expected.len()
            && faults
                .iter()
                .zip(expected)
                .all(|(fault, part)| fault.contains(part));
        assert!(matches, "{path}: {faults:?}");
    }

    #[test]
    fn names() {
        check("crates/node/src/dispatch.rs", "", &[]);
        check(".clippy.toml", "", &[]);
        check(".cargo/config.toml", "", &[]);
        check("Makefile", "", &["top level"]);
        check("docs/design.md", "", &["top level"]);
        check("crates/node/src/http/mod.rs", "", &["put it beside"]);
        check("crates/common/src/lib.rs", "", &["`common`"]);
        check("tests/src/helpers.rs", "", &["`helpers`"]);
        check("crates/node/src/common_ancestor.rs", "", &[]);
    }

    #[test]
    fn words() {
        check(
            "tests/e2e.rs",
            &format!("fn f() {{\n    {}) }}", UNFINISHED[0].0),
            &["line 2"],
        );
        check(
            "tests/e2e.rs",
            &format!("{}]", UNFINISHED[2].0),
            &["switched off"],
        );
        check(
            "crates/control/src/app.rs",
            HTTP_CLIENTS[0],
            &["only the node"],
        );
        check("crates/node/src/upstream.rs", HTTP_CLIENTS[0], &[]);
        check("tests/README.md", UNFINISHED[0].0, &[]);
        check(
            "README.md",
            &format!("see https://{}/", REGISTRIES[0]),
            &["the address of a registry"],
        );
        check("Cargo.lock", REGISTRIES[2], &[]);
    }

    #[test]
    fn sizes() {
        let of = |lines: &[usize]| -> Vec<String> {
            let files: Vec<File> = lines
                .iter()
                .map(|lines| File {
                    path: format!("crates/{lines}.rs"),
                    text: "\n".repeat(*lines),
                })
                .collect();
            faults_of_lengths(&lengths(&files))
        };
        assert!(of(&[500, 400, 10, 10, 10, 10, 10, 10, 10, 10]).is_empty());
        assert_eq!(
            of(&[501, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
            ["crates/501.rs: 501 lines, more than 500"]
        );
        assert_eq!(
            of(&[401, 401]),
            ["more than one Rust file in ten has over 400 lines"]
        );
        assert!(of(&[]).is_empty());
    }
}
