//! What `dev` prints when all of it works: where it is, and commands to paste, each working as printed.

use std::net::SocketAddr;
use std::path::Path;

use crate::verbs::dev::home::Home;
use crate::verbs::dev::prepare::Prepared;

/// Where things are.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) node: SocketAddr,
    pub(super) control: SocketAddr,
    pub(super) ops: SocketAddr,
}

/// The text.
pub(super) fn text(facts: &Facts, home: &Home, prepared: &Prepared) -> String {
    let Facts { node, control, ops } = facts;
    let key = prepared.key.expose();
    let models = prepared.models.join(", ");
    let state = match (home.is_kept(), home.path().display()) {
        (true, path) => format!("{path}"),
        (false, path) => format!("{path}, removed at the end; keep it with --data-dir DIR"),
    };
    let commands = commands(facts, home, prepared);
    format!(
        "Tollgate is ready at http://{node} (gRPC and OpenAI's HTTP API). NOT FOR PRODUCTION.

  demo key    {key}
  models      {models}
  operators   http://{control}
  metrics     http://{ops}/metrics
  state       {state}

Paste any of these into another terminal:

{commands}
Stop with Ctrl-C."
    )
}

fn commands(facts: &Facts, home: &Home, prepared: &Prepared) -> String {
    let node = facts.node;
    let key = prepared.key.expose();
    // The simulated model if it is still there: it answers without anybody's key.
    let demo = |name: &&String| *name == "demo";
    let model = prepared.models.iter().find(demo);
    let model = model.or(prepared.models.first());
    let model = model.map_or("demo", String::as_str);
    let program = program();
    let policy = home.policy_file();
    let policy = quoted(&policy.display().to_string());
    let (at_node, at_control) = (
        flag("--node", node, 8080),
        flag("--control", facts.control, 8081),
    );
    let say = r#""messages": [{"role": "user", "content": "Say hello."}]"#;
    format!(
        "# One answer, over HTTP
curl -sS http://{node}/v1/chat/completions -H 'authorization: Bearer {key}' \\
  -H 'content-type: application/json' -d '{{\"model\": \"{model}\", {say}}}'

# The same as a stream
curl -sSN http://{node}/v1/chat/completions -H 'authorization: Bearer {key}' \\
  -H 'content-type: application/json' -d '{{\"model\": \"{model}\", \"stream\": true, {say}}}'

# Over gRPC
{program} complete --key {key}{at_node} {model} 'Say hello.'

# With OpenAI's own SDK (pip install openai)
python3 - <<'PYTHON'
from openai import OpenAI
client = OpenAI(base_url=\"http://{node}/v1\", api_key=\"{key}\")
answer = client.chat.completions.create(model=\"{model}\", {keywords})
print(answer.choices[0].message.content)
PYTHON

# As an operator: change the policy, see the nodes and what is left of the limits
{program} apply{at_control} --wait -f {policy}

{program} nodes{at_control}

{program} limits{at_control}
",
        keywords = r#"messages=[{"role": "user", "content": "Say hello."}]"#,
    )
}

/// A flag where the address is not the default.
fn flag(name: &str, address: SocketAddr, default_port: u16) -> String {
    if address == SocketAddr::from(([127, 0, 0, 1], default_port)) {
        return String::new();
    }
    format!(" {name} http://{address}")
}

/// How to call this program: by its name where a shell finds it by that, else by its path.
fn program() -> String {
    let Ok(this) = std::env::current_exe() else {
        return "tollgate".to_owned();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&path)
        .map(|directory| directory.join("tollgate"))
        .find(|candidate| candidate.is_file());
    let found = first.is_some_and(|first| same(&first, &this));
    match found {
        true => "tollgate".to_owned(),
        false => quoted(&this.display().to_string()),
    }
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_safe_to_paste() {
        assert_eq!(quoted("/tmp/a-b.yaml"), "/tmp/a-b.yaml");
        assert_eq!(quoted("/my dir/it's"), r"'/my dir/it'\''s'");
    }

    #[test]
    fn only_what_is_not_the_default_is_said() {
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(flag("--node", default, 8080), "");
        assert_eq!(
            flag("--control", default, 8081),
            " --control http://127.0.0.1:8080"
        );
    }
}
