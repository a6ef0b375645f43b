//! Shows what each kind of provider would be sent for one request, given as a caller of the compatible edge
//! writes it.
//!
//! ```text
//! cargo run -p tollgate-provider --example encode [KIND [MODEL]] < request.json
//! ```
//!
//! No network is involved, and no credential.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::io::Read as _;

use tollgate_provider::openai::parse_request;
use tollgate_provider::{Codec, Error, Kind, Target};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let kinds = match arguments.next() {
        Some(name) => vec![Kind::parse(&name).ok_or(format!("there is no kind `{name}`"))?],
        None => Kind::ALL.to_vec(),
    };
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body)?;
    let asked = parse_request(&body)?;
    let model = arguments.next().unwrap_or(asked.request.model.clone());
    for kind in kinds {
        match Codec::new(kind).encode(&asked.request, &Target::of(&model), asked.stream) {
            Ok(sent) => println!(
                "{} {}\n{}\n",
                sent.method,
                sent.path,
                String::from_utf8_lossy(&sent.body)
            ),
            Err(error @ (Error::Unsupported { .. } | Error::Invalid { .. })) => {
                println!("{}: {error}\n", kind.as_str());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
