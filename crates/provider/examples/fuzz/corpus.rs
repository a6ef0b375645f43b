//! What the inputs are made of to begin with.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use serde_json::value::RawValue;

/// An answer of one kind of provider, as the golden files hold it.
#[derive(serde::Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    whole: &'a RawValue,
    #[serde(borrow)]
    stream: Vec<&'a RawValue>,
}

/// The samples of this crate, and the answers whose golden files hold what callers get of them.
pub(crate) fn samples() -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = Vec::new();
    read_all(&folder.join("samples"), &mut out)?;
    let mut golden = Vec::new();
    read_all(&folder.join("../node/golden/answers"), &mut golden)?;
    for file in golden {
        // The others say what comes of them.
        if let Ok(answers) = serde_json::from_slice::<BTreeMap<String, Answer<'_>>>(&file) {
            for (kind, answer) in answers {
                out.push(answer.whole.get().as_bytes().to_vec());
                out.push(streamed(&kind, &answer.stream)?.into_bytes());
            }
        }
    }
    Ok(out)
}

/// Events as text; what Bedrock frames is an object of one field, the event's name.
fn streamed(kind: &str, events: &[&RawValue]) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    for event in events {
        if kind == "bedrock" {
            let event: BTreeMap<String, &RawValue> = serde_json::from_str(event.get())?;
            for (name, payload) in event {
                out.push_str(&format!("event: {name}\ndata: {}\n\n", payload.get()));
            }
        } else {
            out.push_str(&format!("data: {}\n\n", event.get()));
        }
    }
    Ok(out)
}

fn read_all(folder: &Path, out: &mut Vec<Vec<u8>>) -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    // Else the order, and with it every input, would depend on the file system.
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_all(&path, out)?;
        } else {
            out.push(std::fs::read(path)?);
        }
    }
    Ok(())
}
