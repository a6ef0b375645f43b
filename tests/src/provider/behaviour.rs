//! The grammar of behaviours: how a model's name, or a control request, says what to do wrong.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// What the provider does with one request.
///
/// # Grammar
///
/// A model's name is `[LABEL@]BEHAVIOUR`; the label is free (it tells deployments apart). A behaviour
/// is one or more parts joined by `+`: any of the shaping parts and at most one fault. `N`, `S`, `M`
/// are whole numbers; `D` is a duration such as `20ms` or `2s`.
///
/// | part | meaning |
/// |---|---|
/// | `ok` | shape: 8 chunks (words), no gaps |
/// | `ok-N` | shape: N chunks, no gaps |
/// | `ok-NxD` | shape: N chunks, the pause D before each (a unary reply waits N × D as a whole) |
/// | `slow-first-D` | shape: wait D before the head of the reply |
/// | `status-C` | fault: HTTP status C (400–599) with an OpenAI-shaped error body |
/// | `status-C-retry-S` | the same with `retry-after: S` (seconds) |
/// | `hang` | fault: never answer |
/// | `hang-after-N` | fault: N chunks (unary: half of the body), then silence |
/// | `reset` | fault: TCP reset instead of an answer |
/// | `reset-after-N` | fault: N chunks (unary: half of the body), then TCP reset |
/// | `close` | fault: orderly TCP close instead of an answer |
/// | `close-after-N` | fault: N chunks (unary: half of the body), then TCP close inside the HTTP body |
/// | `truncate-after-N` | fault: N chunks (unary: half of the body), then a well-formed end of the HTTP body, with no finish reason |
/// | `error-in-stream-N` | fault: N chunks, then an `error` event (unary: status 200 with an error body) |
/// | `no-done` | oddity: a complete stream without its `[DONE]` |
/// | `no-usage` | oddity: reports no usage |
/// | `dup-usage` | oddity: the usage event is sent twice |
/// | `usage-lies` | oddity: reports ten times the completion tokens and 1 prompt token |
/// | `malformed-line` | oddity: one broken event after the first chunk; the stream goes on (unary: same as `ok`) |
/// | `comments` | oddity: SSE comments between events |
/// | `crlf` | oddity: SSE lines end with CR LF |
/// | `split-utf8` | oddity: chunks end in `é🦀 ` and TCP writes split the crab's four bytes |
/// | `trickle-D` | fault: the body byte by byte, the pause D between bytes |
/// | `bad-json` | fault: status 200 with a body (or events) that is no JSON |
/// | `html` | fault: status 200 with an HTML page |
/// | `redirect` | fault: status 307 to `/_redirected`, whose visits are counted |
/// | `giant-line-M` | fault: one event (unary: one body) with M MiB of content |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// Chunks, and words of a unary reply, before `max_tokens` cuts them.
    pub chunks: u32,
    /// Pause before each chunk.
    pub gap: Duration,
    /// Pause before the head of the reply.
    pub first: Duration,
    /// What goes wrong.
    pub fault: Fault,
}

/// The one thing that goes wrong; see the grammar at [`Behaviour`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is a row of the table at `Behaviour`"
)]
pub enum Fault {
    None,
    Status { code: u16, retry_after: Option<u32> },
    Hang,
    Reset,
    Close,
    Cut { after: u32, how: Cut },
    ErrorInStream { after: u32 },
    NoDone,
    NoUsage,
    DupUsage,
    UsageLies,
    MalformedLine,
    Comments,
    Crlf,
    SplitUtf8,
    Trickle(Duration),
    BadJson,
    Html,
    Redirect,
    GiantLine { mebibytes: u32 },
}

/// How a reply is cut in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is a row of the table at `Behaviour`"
)]
pub enum Cut {
    Hang,
    Reset,
    Close,
    Truncate,
}

/// One name of every behaviour, for `GET /v1/models` and for a test that wants them all.
pub const EXAMPLES: &[&str] = &[
    "ok",
    "ok-50",
    "ok-50x20ms",
    "slow-first-500ms",
    "status-500",
    "status-429-retry-2",
    "hang",
    "hang-after-3",
    "reset",
    "reset-after-3",
    "close",
    "close-after-3",
    "truncate-after-3",
    "error-in-stream-3",
    "no-done",
    "no-usage",
    "dup-usage",
    "usage-lies",
    "malformed-line",
    "comments",
    "crlf",
    "split-utf8",
    "trickle-1ms",
    "bad-json",
    "html",
    "redirect",
    "giant-line-64",
];

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            chunks: 8,
            gap: Duration::ZERO,
            first: Duration::ZERO,
            fault: Fault::None,
        }
    }
}

impl Behaviour {
    /// Reads the behaviour out of a model's name, which is what follows its last `@`.
    pub fn of_model(model: &str) -> anyhow::Result<Self> {
        let behaviour = model.rsplit_once('@').map_or(model, |(_, tail)| tail);
        behaviour.parse()
    }

    fn apply(&mut self, part: &str) -> anyhow::Result<()> {
        if part == "ok" {
            return Ok(());
        }
        if let Some(shape) = part.strip_prefix("ok-") {
            let (chunks, gap) = shape.split_once('x').unwrap_or((shape, "0ms"));
            self.chunks = chunks.parse().context("N of ok-N is a whole number")?;
            self.gap = parse_duration(gap)?;
        } else if let Some(first) = part.strip_prefix("slow-first-") {
            self.first = parse_duration(first)?;
        } else {
            ensure!(self.fault == Fault::None, "at most one fault");
            self.fault = parse_fault(part)?;
        }
        Ok(())
    }
}

impl FromStr for Behaviour {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut behaviour = Self::default();
        for part in text.split('+') {
            behaviour
                .apply(part)
                .with_context(|| format!("`{text}` is no behaviour of the fake provider"))?;
        }
        Ok(behaviour)
    }
}

fn parse_fault(part: &str) -> anyhow::Result<Fault> {
    if let Some(fault) = bare_fault(part) {
        return Ok(fault);
    }
    let number = |text: &str| -> anyhow::Result<u32> {
        text.parse()
            .with_context(|| format!("`{text}` in `{part}` is no whole number"))
    };
    let cut = |after: &str, how: Cut| -> anyhow::Result<Fault> {
        let after = number(after)?;
        Ok(Fault::Cut { after, how })
    };
    if let Some(status) = part.strip_prefix("status-") {
        parse_status(status)
    } else if let Some(after) = part.strip_prefix("hang-after-") {
        cut(after, Cut::Hang)
    } else if let Some(after) = part.strip_prefix("reset-after-") {
        cut(after, Cut::Reset)
    } else if let Some(after) = part.strip_prefix("close-after-") {
        cut(after, Cut::Close)
    } else if let Some(after) = part.strip_prefix("truncate-after-") {
        cut(after, Cut::Truncate)
    } else if let Some(after) = part.strip_prefix("error-in-stream-") {
        let after = number(after)?;
        Ok(Fault::ErrorInStream { after })
    } else if let Some(pause) = part.strip_prefix("trickle-") {
        Ok(Fault::Trickle(parse_duration(pause)?))
    } else if let Some(mebibytes) = part.strip_prefix("giant-line-") {
        let mebibytes = number(mebibytes)?;
        Ok(Fault::GiantLine { mebibytes })
    } else {
        bail!("unknown part `{part}`")
    }
}

fn bare_fault(part: &str) -> Option<Fault> {
    Some(match part {
        "hang" => Fault::Hang,
        "reset" => Fault::Reset,
        "close" => Fault::Close,
        "no-done" => Fault::NoDone,
        "no-usage" => Fault::NoUsage,
        "dup-usage" => Fault::DupUsage,
        "usage-lies" => Fault::UsageLies,
        "malformed-line" => Fault::MalformedLine,
        "comments" => Fault::Comments,
        "crlf" => Fault::Crlf,
        "split-utf8" => Fault::SplitUtf8,
        "bad-json" => Fault::BadJson,
        "html" => Fault::Html,
        "redirect" => Fault::Redirect,
        _ => return None,
    })
}

fn parse_status(text: &str) -> anyhow::Result<Fault> {
    let (code, retry_after) = match text.split_once("-retry-") {
        Some((code, seconds)) => (
            code,
            Some(seconds.parse().context("S of -retry-S is in seconds")?),
        ),
        None => (text, None),
    };
    let code = code.parse().context("C of status-C is a number")?;
    ensure!(
        (400..600).contains(&code),
        "C of status-C is from 400 to 599"
    );
    Ok(Fault::Status { code, retry_after })
}

/// Reads `250ms`, `10s` or `2m`.
pub fn parse_duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .with_context(|| format!("`{text}` is no duration such as 250ms, 10s or 2m"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => bail!("`{text}` is no duration such as 250ms, 10s or 2m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &Behaviour) {
        assert_eq!(&Behaviour::of_model(name).unwrap(), expected, "{name}");
    }

    fn fault(fault: Fault) -> Behaviour {
        Behaviour {
            fault,
            ..Behaviour::default()
        }
    }

    #[test]
    fn names_map_to_behaviours() {
        let ms = Duration::from_millis;
        let default = Behaviour::default;
        check("ok", &default());
        check(
            "ok-50",
            &Behaviour {
                chunks: 50,
                ..default()
            },
        );
        check(
            "ok-50x20ms",
            &Behaviour {
                chunks: 50,
                gap: ms(20),
                ..default()
            },
        );
        check(
            "gpt-4o@slow-first-500ms",
            &Behaviour {
                first: ms(500),
                ..default()
            },
        );
        check(
            "status-500",
            &fault(Fault::Status {
                code: 500,
                retry_after: None,
            }),
        );
        check(
            "a@b@status-429-retry-2",
            &fault(Fault::Status {
                code: 429,
                retry_after: Some(2),
            }),
        );
        check(
            "hang-after-3",
            &fault(Fault::Cut {
                after: 3,
                how: Cut::Hang,
            }),
        );
        check(
            "error-in-stream-2",
            &fault(Fault::ErrorInStream { after: 2 }),
        );
        check("trickle-5ms", &fault(Fault::Trickle(ms(5))));
        check("giant-line-64", &fault(Fault::GiantLine { mebibytes: 64 }));
        let both = Behaviour {
            chunks: 5,
            gap: ms(1000),
            ..fault(Fault::NoUsage)
        };
        check("east@no-usage+ok-5x1s", &both);
    }

    #[test]
    fn every_example_is_a_behaviour() {
        for name in EXAMPLES {
            Behaviour::of_model(name).unwrap();
        }
    }

    #[test]
    fn a_typing_error_is_named_rather_than_taken_for_ok() {
        for name in [
            "",
            "okay",
            "gpt-4o",
            "hang+reset",
            "status-200",
            "ok-x20ms",
            "trickle",
            "ok-5x3h",
        ] {
            let error = Behaviour::of_model(name).unwrap_err();
            assert!(
                error.to_string().contains("no behaviour"),
                "{name}: {error}"
            );
        }
    }
}
