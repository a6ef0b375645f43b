//! The prices that come with the program.
//!
//! `catalog.jsonl` is made by `cargo xtask prices` from [genai-prices], which many hands maintain, and which carries
//! for each price where it was read. A model is found by its vendor and by patterns of names, so that dated snapshots
//! and other spellings find it too; the first that matches has it.
//!
//! [genai-prices]: https://github.com/pydantic/genai-prices

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::merge::fill;
use super::{Part, Price, Row, Service};
use crate::money;

/// What the file says, which never changes while the program runs.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::parse(include_str!("catalog.jsonl")));

/// The built-in prices.
#[derive(Debug)]
pub struct Catalog {
    revision: Arc<str>,
    since: &'static str,
    vendors: Vec<Vendor>,
}

/// Whoever serves models at prices of its own.
#[derive(Debug)]
struct Vendor {
    id: &'static str,
    /// Where it is reached, of those that speak the format of another.
    hosts: Vec<&'static str>,
    /// Vendors whose models it serves at their prices, where it names none itself.
    falls_back: Vec<&'static str>,
    models: Vec<Model>,
}

#[derive(Debug)]
struct Model {
    id: &'static str,
    names: Vec<&'static str>,
    /// Read when it is asked for. An empty list: the model is known, and not priced by tokens.
    prices: &'static RawValue,
}

/// A line of the file: the head, a vendor, or a model of the vendor before.
#[derive(Deserialize)]
struct Line {
    source: Option<&'static str>,
    version: Option<&'static str>,
    since: Option<&'static str>,
    vendor: Option<&'static str>,
    #[serde(default)]
    hosts: Vec<&'static str>,
    #[serde(default, rename = "else")]
    falls_back: Vec<&'static str>,
    model: Option<&'static str>,
    #[serde(default)]
    names: Vec<&'static str>,
    prices: Option<&'static RawValue>,
}

#[derive(Deserialize)]
struct WrittenRow {
    /// The first day, in UTC.
    from: Option<String>,
    service: Option<String>,
    #[serde(default)]
    above: u64,
    /// US dollars per million tokens.
    #[serde(flatten)]
    parts: BTreeMap<String, String>,
}

/// A model of the catalog, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The vendor's name in the catalog, such as `anthropic`.
    pub vendor: &'static str,
    /// The model's name there, such as `claude-haiku-4-5`.
    pub model: &'static str,
    /// What it costs.
    pub price: Price,
}

impl Catalog {
    /// Returns the catalog.
    #[must_use]
    pub fn built_in() -> &'static Self {
        &CATALOG
    }

    /// Returns where it comes from, such as `genai-prices-0.2.3`.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Returns the day of which its oldest prices are, such as `2026-11-26`.
    #[must_use]
    pub fn since(&self) -> &str {
        self.since
    }

    /// Returns the names of the vendors.
    pub fn vendors(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.vendors.iter().map(|vendor| vendor.id)
    }

    /// Returns all models that have a price, by vendor.
    pub fn models(&self) -> impl Iterator<Item = Listed> + '_ {
        let all = self
            .vendors
            .iter()
            .flat_map(|vendor| vendor.models.iter().map(move |model| (vendor, model)));
        all.filter_map(|(vendor, model)| self.listed(vendor, model))
    }

    /// Finds a model of a vendor by any of its names. None where it is not known, or not priced by tokens.
    #[must_use]
    pub fn find(&self, vendor: &str, model: &str) -> Option<Listed> {
        let vendor = self.vendor(vendor)?;
        spellings(model).find_map(|name| {
            let others = vendor.falls_back.iter().filter_map(|it| self.vendor(it));
            let vendors = std::iter::once(vendor).chain(others);
            let mut models = vendors.filter_map(|vendor| Some((vendor, vendor.model(&name)?)));
            models
                .next()
                .and_then(|(vendor, model)| self.listed(vendor, model))
        })
    }

    /// Finds the vendor that is reached at a host, of those that speak the format of another.
    pub(super) fn vendor_at(&self, host: &str) -> Option<&'static str> {
        let mut vendors = self.vendors.iter();
        let at = vendors.find(|vendor| vendor.hosts.contains(&host));
        at.map(|vendor| vendor.id)
    }

    fn vendor(&self, id: &str) -> Option<&Vendor> {
        self.vendors.iter().find(|vendor| vendor.id == id)
    }

    fn listed(&self, vendor: &Vendor, model: &Model) -> Option<Listed> {
        let rows: Vec<WrittenRow> = serde_json::from_str(model.prices.get()).ok()?;
        let rows: Option<Vec<Row>> = rows.iter().map(WrittenRow::read).collect();
        Some(Listed {
            vendor: vendor.id,
            model: model.id,
            price: Price::new(rows?, Some(Arc::clone(&self.revision)), false)?,
        })
    }

    /// Lines that cannot be read are left out; a test sees that there are none.
    pub(super) fn parse(text: &'static str) -> Self {
        let mut catalog = Self {
            revision: Arc::from(""),
            since: "",
            vendors: Vec::new(),
        };
        for line in text.lines() {
            if let Ok(line) = serde_json::from_str::<Line>(line) {
                catalog.add(line);
            }
        }
        catalog
    }

    fn add(&mut self, line: Line) {
        if let (Some(source), Some(version), Some(since)) = (line.source, line.version, line.since)
        {
            self.revision = format!("{source}-{version}").into();
            self.since = since;
        } else if let Some(id) = line.vendor {
            self.vendors.push(Vendor {
                id,
                hosts: line.hosts,
                falls_back: line.falls_back,
                models: Vec::new(),
            });
        } else if let (Some(id), Some(prices), Some(vendor)) =
            (line.model, line.prices, self.vendors.last_mut())
        {
            vendor.models.push(Model {
                id,
                names: line.names,
                prices,
            });
        }
    }
}

impl Vendor {
    fn model(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.has_name(name))
    }
}

impl Model {
    fn has_name(&self, name: &str) -> bool {
        let matches = |pattern: &str| matches(pattern.as_bytes(), name.as_bytes());
        let excludes = |pattern: &&str| pattern.strip_prefix('!').is_some_and(matches);
        self.names.iter().any(|pattern| matches(pattern)) && !self.names.iter().any(excludes)
    }
}

impl WrittenRow {
    fn read(&self) -> Option<Row> {
        let parts: Option<Vec<(Part, u64)>> = self
            .parts
            .iter()
            .map(|(name, usd)| Some((Part::named(name)?, money::nanos(usd)?)))
            .collect();
        let parts = parts?;
        let stated = |part| parts.iter().find(|(it, _)| *it == part).map(|(_, it)| *it);
        let from = self.from.as_deref().map_or(Some(0), |date| {
            let date: jiff::civil::Date = date.parse().ok()?;
            let midnight = date.at(0, 0, 0, 0);
            let midnight = jiff::tz::TimeZone::UTC.to_timestamp(midnight).ok()?;
            Some(midnight.as_second())
        });
        // One that nobody knows is not taken for the usual one.
        let service = self
            .service
            .as_deref()
            .map_or(Some(Service::Standard), |name| {
                let mut all = Service::ALL.into_iter();
                all.find(|service| service.as_str() == name)
            });
        Some(Row {
            from: from?,
            service: service?,
            above: self.above,
            rates: fill(stated, None),
        })
    }
}

/// The ways in which a model's name is looked for: as it is, without what stands before the name proper, and with the
/// dashes of a date that has none.
fn spellings(model: &str) -> impl Iterator<Item = String> {
    let name = model.to_ascii_lowercase();
    // Gemini's own form of a name, and the last part of an ARN.
    let short = match name.rsplit_once('/') {
        Some((_, last)) if name.starts_with("models/") || name.starts_with("arn:") => {
            Some(last.to_owned())
        }
        _ => None,
    };
    let name = short.unwrap_or(name);
    let dated = with_dashes(&name);
    std::iter::once(name).chain(dated)
}

/// `gpt-5.2-2025-12-11` for `gpt-5.2-20251211`. None where the name does not end with such a date.
fn with_dashes(name: &str) -> Option<String> {
    let (before, date) = name.rsplit_once('-')?;
    let is_date =
        date.len() == 8 && date.starts_with("20") && date.bytes().all(|it| it.is_ascii_digit());
    let (year, rest) = date.split_at_checked(4).filter(|_| is_date)?;
    let (month, day) = rest.split_at(2);
    Some(format!("{before}-{year}-{month}-{day}"))
}

/// Whether a name matches a pattern, of which `*` stands for any text and `#` for a digit.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', pattern @ ..], _) => {
            (0..=name.len()).any(|skipped| matches(pattern, &name[skipped..]))
        }
        ([b'#', pattern @ ..], [byte, name @ ..]) => {
            byte.is_ascii_digit() && matches(pattern, name)
        }
        ([wanted, pattern @ ..], [byte, name @ ..]) => wanted == byte && matches(pattern, name),
        (_, _) => false,
    }
}
