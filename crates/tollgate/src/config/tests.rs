//! The configuration file as defaults of the flags.

use super::*;

fn parsed(verb: &str, file: &str, more: &[&str]) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tollgate.toml");
    std::fs::write(&path, file).unwrap();
    let path = path.display().to_string();
    let arguments = ["tollgate", verb, "--config", &path];
    let arguments = arguments.iter().chain(more).map(OsString::from);
    match parse(arguments) {
        Ok(cli) => Ok(format!("{:?}", cli.verb)),
        Err(Error::Usage(error)) => Err(error.to_string()),
        Err(Error::File(error)) => Err(error),
    }
}

#[test]
fn the_file_gives_what_flags_do_not() {
    let file = "store = \"embedded:/tmp/x\"\nlisten = \"127.0.0.1:1111\"\nops_listen = \"127.0.0.1:2222\"\n";
    let shown = parsed("control", file, &["--listen", "127.0.0.1:3333"]).unwrap();
    for part in ["embedded:/tmp/x", "127.0.0.1:3333", "127.0.0.1:2222"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("1111"), "{shown}");
}

#[test]
fn lists_are_lists() {
    let file = "control = [\"http://a:1\", \"http://b:2\"]\ndata-dir = \"/tmp/x\"\n";
    let shown = parsed("node", file, &[]).unwrap();
    assert!(
        shown.contains("[\"http://a:1\", \"http://b:2\"]"),
        "{shown}"
    );
}

#[test]
fn every_flag_of_a_service_is_an_environment_variable() {
    let command = Cli::command();
    for verb in ["dev", "control", "node"] {
        let verb = command.find_subcommand(verb).unwrap();
        for flag in flags_of(verb) {
            let id = id_of(verb, flag).unwrap();
            let mut arguments = verb.get_arguments();
            let argument = arguments.find(|argument| *argument.get_id() == id).unwrap();
            let variable = argument.get_env().and_then(|name| name.to_str());
            let expected = format!("TOLLGATE_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(variable, Some(expected.as_str()));
        }
    }
}

#[test]
fn a_token_is_not_shown() {
    let shown = parsed("control", "store = \"embedded:x\"\ntoken = \"hush\"\n", &[]).unwrap();
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn faults_of_the_file_name_the_file_and_the_line() {
    let unknown = parsed("node", "lisen = \"127.0.0.1:1\"\n", &[]).unwrap_err();
    assert!(
        unknown.contains("tollgate.toml: there is no setting `lisen`"),
        "{unknown}"
    );
    assert!(unknown.contains("listen, ops-listen"), "{unknown}");
    let value = parsed("node", "listen = \"nowhere\"\n", &[]).unwrap_err();
    assert!(
        value.contains("tollgate.toml: invalid value 'nowhere'"),
        "{value}"
    );
    let kind = parsed("node", "listen = { a = 1 }\n", &[]).unwrap_err();
    assert!(kind.contains("`listen` is a text"), "{kind}");
    let syntax = parsed("node", "listen =\n", &[]).unwrap_err();
    assert!(syntax.contains("tollgate.toml: "), "{syntax}");
    let missing = parsed("node", "", &[]).unwrap_err();
    assert!(missing.contains("--control"), "{missing}");
}
