//! What the verbs that call models share: where the node is, who asks, and how to answer.

use std::io::Read;
use std::time::Duration;

use tollgate_proto::completion::v1::{Cost, RouteTaken, Usage};

use crate::duration;
use crate::error::Error;
use crate::output::Format;
use crate::remote::{NODE, Remote};
use crate::secret::Secret;
use crate::table::visible;

/// Flags of every verb that calls models.
#[derive(Debug, clap::Args)]
pub(crate) struct Caller {
    /// Address of a node; of several, separated by commas, the first that answers
    #[arg(
        long,
        env = "TOLLGATE_NODE",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8080"
    )]
    node: Vec<String>,
    /// Key to call with
    #[arg(long, env = "TOLLGATE_KEY", hide_env_values = true)]
    key: Option<Secret>,
    /// Form of the output; table is for people
    #[arg(long, short, env = "TOLLGATE_OUTPUT", value_name = "FORM")]
    output: Option<Format>,
}

impl Caller {
    /// Form of the output.
    pub(crate) fn output(&self) -> Format {
        self.output.unwrap_or_default()
    }

    /// Connects to a node.
    ///
    /// # Errors
    /// Why none can be reached, and what to set.
    pub(crate) async fn connect(&self) -> Result<Remote, Error> {
        Remote::connect(&NODE, &self.node, self.key.as_ref()).await
    }
}

/// A text of the command line, or standard input where it says `-`.
///
/// # Errors
/// Standard input cannot be read, or is no text.
pub(crate) fn text(argument: &str) -> Result<String, Error> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|error| Error::Failed(format!("cannot read standard input: {error}")))?;
    Ok(text)
}

/// Usage, cost and route in one line. Vectors have no output.
pub(crate) fn summary(
    usage: Option<&Usage>,
    cost: Option<&Cost>,
    route_taken: Option<&RouteTaken>,
    took: Duration,
) -> String {
    let (input, output) = usage.map_or((0, 0), |it| (it.input_tokens, it.output_tokens));
    let cost = cost.and_then(|cost| cost.nano_usd);
    let cost = cost.map_or("cost unknown".to_owned(), dollars);
    let route = route_taken.map(route).unwrap_or_default();
    format!(
        "{input} input + {output} output tokens, {cost}, {route}, {}",
        duration::show(took)
    )
}

fn route(route: &RouteTaken) -> String {
    let attempts = match route.attempts.len() {
        0 | 1 => String::new(),
        several => format!(" after {several} attempts"),
    };
    let place = format!("{}/{}", route.provider, route.deployment);
    format!("by {}{attempts}", visible(&place))
}

/// Billionths of a dollar as a decimal with no needless zeros.
pub(crate) fn dollars(nanos: i64) -> String {
    let (whole, part) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let part = format!("{part:09}");
    let part = part.trim_end_matches('0');
    match part {
        "" => format!("${whole}"),
        part => format!("${whole}.{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        assert_eq!(dollars(0), "$0");
        assert_eq!(dollars(1), "$0.000000001");
        assert_eq!(dollars(2_500_000_000), "$2.5");
    }
}
