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
/// | `think-N` | shape: N words of thinking before the content, where the format has a place for them |
/// | `calls-N` | shape: N calls of the tool `lookup` after the content, each with the argument `n` |
/// | `cached-N` | shape: reports that N of the prompt tokens were read from a cache |
/// | `goes-on` | shape: where the last message is the assistant's, the content goes on after its words |
/// | `spoken` | shape: the content is spoken, in formats that have sound: its words are the transcript, and the bytes of the sound |
/// | `searched` | shape: a tool of the provider's own before the content, in formats that tell of one |
/// | `usage-unasked` | shape: a stream reports usage though the request does not ask for it, where the format lets it ask |
/// | `thinking-in-parts` | shape: thinking is a signed part of the content, as Mistral tells it, in OpenAI's format |
/// | `obliging` | shape: calls the tool `lookup` where the request has tools and no result yet, and answers JSON where it has a schema |
/// | `strange` | shape: the answer has a field `strange` that no provider has, and where OpenAI's says when it was made, it does in words |
/// | `percent-P` | shape: the fault befalls P of a hundred requests, by lot |
/// | `refuse-WHY` | fault: the format's own error for WHY: see [`Refusal`] |
/// | `status-C` | fault: HTTP status C (400–599) with an error body of the format |
/// | `status-C-retry-S` | the same with `retry-after: S` (seconds) |
/// | `hang` | fault: never answer |
/// | `hang-after-N` | fault: N chunks (unary: half of the body), then silence |
/// | `reset` | fault: TCP reset instead of an answer |
/// | `reset-after-N` | fault: N chunks (unary: half of the body), then TCP reset |
/// | `close` | fault: orderly TCP close instead of an answer |
/// | `close-after-N` | fault: N chunks (unary: half of the body), then TCP close inside the HTTP body |
/// | `truncate-after-N` | fault: N chunks (unary: half of the body), then a well-formed end of the HTTP body, with no finish reason |
/// | `truncate-at-B` | fault: the first B bytes of the body, then a well-formed end of the HTTP body |
/// | `error-in-stream-N` | fault: N chunks, then the format's error event (unary: status 200 with an error body) |
/// | `filtered` | fault: a filter stops the answer after its chunks (`ok-0`: before any), in formats that have a word for it |
/// | `no-done` | oddity: a complete stream without the sentinel that may follow its end, such as `[DONE]` |
/// | `no-usage` | oddity: reports no usage |
/// | `dup-usage` | oddity: the usage event is sent twice |
/// | `usage-lies` | oddity: reports ten times the completion tokens and 1 prompt token |
/// | `usage-nonsense` | oddity: reports less than no tokens |
/// | `malformed-line` | oddity: one broken event after the first chunk; the stream goes on (unary: same as `ok`) |
/// | `comments` | oddity: SSE comments between events (in a binary stream: same as `ok`) |
/// | `crlf` | oddity: SSE lines end with CR LF (in a binary stream: same as `ok`) |
/// | `split-utf8` | oddity: chunks end in `é🦀 ` and TCP writes split the crab's four bytes |
/// | `trickle-D` | fault: the body byte by byte, the pause D between bytes |
/// | `bad-json` | fault: status 200 with a body (or events) that is no JSON |
/// | `html` | fault: status 200 with an HTML page |
/// | `wrong-type` | oddity: the answer is whole, but its content type is `text/plain` |
/// | `redirect` | fault: status 307 to `/_redirected`, whose visits are counted |
/// | `says-gzip` | fault: the answer is whole, but it says that it is compressed |
/// | `says-identity` | oddity: the answer says that it is not compressed |
/// | `gzip-bomb-M` | fault: a compressed body, though nobody asked for one, that unfolds into M MiB |
/// | `giant-line-M` | fault: one event (unary: one body) with M MiB of content |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// Chunks, and words of a unary reply, before `max_tokens` cuts them.
    pub chunks: u32,
    /// Pause before each chunk.
    pub gap: Duration,
    /// Pause before the head of the reply.
    pub first: Duration,
    /// Words of thinking before the content.
    pub thinking: u32,
    /// Calls of a tool after the content.
    pub calls: u32,
    /// Prompt tokens reported as read from a cache.
    pub cached: u32,
    /// Whether it goes on after the words of a last message that is the assistant's.
    pub goes_on: bool,
    /// Whether the content is spoken.
    pub spoken: bool,
    /// Whether a tool of the provider's own comes before the content.
    pub searched: bool,
    /// Whether streams report usage though they were not asked to.
    pub unasked_usage: bool,
    /// Whether OpenAI's format tells thinking as a part of the content.
    pub thinking_in_parts: bool,
    /// Whether it calls tools and answers JSON where the request has tools or a schema.
    pub obliging: bool,
    /// Whether the answer has a field that no provider has, and one of another type.
    pub strange: bool,
    /// Requests of a hundred that meet the fault.
    pub percent: u64,
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
    Status {
        code: u16,
        retry_after: Option<u32>,
    },
    Refuse(Refusal),
    Hang,
    Reset,
    Close,
    Cut {
        after: u32,
        how: Cut,
    },
    TruncateAt {
        bytes: usize,
    },
    ErrorInStream {
        after: u32,
    },
    Filtered,
    NoDone,
    NoUsage,
    DupUsage,
    UsageLies,
    UsageNonsense,
    MalformedLine,
    Comments,
    Crlf,
    SplitUtf8,
    Trickle(Duration),
    BadJson,
    Html,
    WrongType,
    /// The answer names this coding, and is not coded.
    Coding(&'static str),
    Redirect,
    GzipBomb {
        mebibytes: u32,
    },
    GiantLine {
        mebibytes: u32,
    },
}

/// Why a provider refuses, told in the words of each format. A format that does not tell two of them apart has one
/// answer for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// `rate`: over a limit that time will lift; asks for two seconds where the format can.
    Rate,
    /// `quota`: out of money or allowance; waiting does not help.
    Quota,
    /// `ramp`: traffic grew too fast.
    Ramp,
    /// `overload`: no capacity just now.
    Overload,
    /// `context`: the conversation is longer than the model's window.
    Context,
    /// `filter`: the prompt is not allowed.
    Filter,
    /// `key`: the credential is wrong.
    Key,
}

impl Refusal {
    /// Every one, by its name in the grammar.
    pub const ALL: [(&str, Self); 7] = [
        ("rate", Self::Rate),
        ("quota", Self::Quota),
        ("ramp", Self::Ramp),
        ("overload", Self::Overload),
        ("context", Self::Context),
        ("filter", Self::Filter),
        ("key", Self::Key),
    ];
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
    "think-2+calls-1+cached-3",
    "goes-on",
    "ok-2+spoken",
    "ok-2+searched",
    "ok-2+obliging",
    "ok-2+strange",
    "refuse-rate",
    "refuse-quota",
    "status-500",
    "status-429-retry-2",
    "percent-50+status-500",
    "hang",
    "hang-after-3",
    "reset",
    "reset-after-3",
    "close",
    "close-after-3",
    "truncate-after-3",
    "truncate-at-100",
    "error-in-stream-3",
    "filtered",
    "no-done",
    "no-usage",
    "dup-usage",
    "usage-lies",
    "usage-nonsense",
    "malformed-line",
    "comments",
    "crlf",
    "split-utf8",
    "trickle-1ms",
    "bad-json",
    "html",
    "wrong-type",
    "says-gzip",
    "says-identity",
    "redirect",
    "gzip-bomb-64",
    "giant-line-64",
];

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            chunks: 8,
            gap: Duration::ZERO,
            first: Duration::ZERO,
            thinking: 0,
            calls: 0,
            cached: 0,
            goes_on: false,
            spoken: false,
            searched: false,
            unasked_usage: false,
            thinking_in_parts: false,
            obliging: false,
            strange: false,
            percent: 100,
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

    /// What becomes of the request of this number: the fault befalls some.
    pub(super) fn of_request(self, seq: u64) -> Self {
        // The upper bits of a product with an odd number are spread evenly, and repeat for nobody's convenience.
        let lot = seq.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let fault = if lot % 100 < self.percent {
            self.fault
        } else {
            Fault::None
        };
        Self { fault, ..self }
    }

    fn apply(&mut self, part: &str) -> anyhow::Result<()> {
        let habit = match part {
            "ok" => return Ok(()),
            "goes-on" => Some(&mut self.goes_on),
            "spoken" => Some(&mut self.spoken),
            "searched" => Some(&mut self.searched),
            "usage-unasked" => Some(&mut self.unasked_usage),
            "thinking-in-parts" => Some(&mut self.thinking_in_parts),
            "obliging" => Some(&mut self.obliging),
            "strange" => Some(&mut self.strange),
            _ => None,
        };
        if let Some(habit) = habit {
            *habit = true;
            return Ok(());
        }
        if let Some(shape) = part.strip_prefix("ok-") {
            let (chunks, gap) = shape.split_once('x').unwrap_or((shape, "0ms"));
            self.chunks = chunks.parse().context("N of ok-N is a whole number")?;
            self.gap = parse_duration(gap)?;
        } else if let Some(first) = part.strip_prefix("slow-first-") {
            self.first = parse_duration(first)?;
        } else if let Some(number) = part.strip_prefix("think-") {
            self.thinking = whole(number, part)?;
        } else if let Some(number) = part.strip_prefix("calls-") {
            self.calls = whole(number, part)?;
        } else if let Some(number) = part.strip_prefix("percent-") {
            self.percent = whole(number, part)?;
        } else if let Some(number) = part.strip_prefix("cached-") {
            self.cached = whole(number, part)?;
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

/// Reads the number in a part.
fn whole<N: FromStr>(text: &str, part: &str) -> anyhow::Result<N> {
    text.parse()
        .map_err(|_| anyhow::anyhow!("`{text}` in `{part}` is no whole number"))
}

fn parse_fault(part: &str) -> anyhow::Result<Fault> {
    if let Some(fault) = bare_fault(part) {
        return Ok(fault);
    }
    let cut = |after: &str, how: Cut| -> anyhow::Result<Fault> {
        let after = whole(after, part)?;
        Ok(Fault::Cut { after, how })
    };
    if let Some(why) = part.strip_prefix("refuse-") {
        let found = Refusal::ALL.into_iter().find(|(name, _)| *name == why);
        let (_, refusal) = found.with_context(|| format!("nothing is refused for `{why}`"))?;
        Ok(Fault::Refuse(refusal))
    } else if let Some(status) = part.strip_prefix("status-") {
        parse_status(status)
    } else if let Some(after) = part.strip_prefix("hang-after-") {
        cut(after, Cut::Hang)
    } else if let Some(after) = part.strip_prefix("reset-after-") {
        cut(after, Cut::Reset)
    } else if let Some(after) = part.strip_prefix("close-after-") {
        cut(after, Cut::Close)
    } else if let Some(after) = part.strip_prefix("truncate-after-") {
        cut(after, Cut::Truncate)
    } else if let Some(bytes) = part.strip_prefix("truncate-at-") {
        let bytes = whole(bytes, part)?;
        Ok(Fault::TruncateAt { bytes })
    } else if let Some(after) = part.strip_prefix("error-in-stream-") {
        let after = whole(after, part)?;
        Ok(Fault::ErrorInStream { after })
    } else if let Some(pause) = part.strip_prefix("trickle-") {
        Ok(Fault::Trickle(parse_duration(pause)?))
    } else if let Some(mebibytes) = part.strip_prefix("gzip-bomb-") {
        let mebibytes = whole(mebibytes, part)?;
        Ok(Fault::GzipBomb { mebibytes })
    } else if let Some(mebibytes) = part.strip_prefix("giant-line-") {
        let mebibytes = whole(mebibytes, part)?;
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
        "filtered" => Fault::Filtered,
        "no-done" => Fault::NoDone,
        "no-usage" => Fault::NoUsage,
        "dup-usage" => Fault::DupUsage,
        "usage-lies" => Fault::UsageLies,
        "usage-nonsense" => Fault::UsageNonsense,
        "malformed-line" => Fault::MalformedLine,
        "comments" => Fault::Comments,
        "crlf" => Fault::Crlf,
        "split-utf8" => Fault::SplitUtf8,
        "bad-json" => Fault::BadJson,
        "html" => Fault::Html,
        "wrong-type" => Fault::WrongType,
        "says-gzip" => Fault::Coding("gzip"),
        "says-identity" => Fault::Coding("identity"),
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
mod tests;
