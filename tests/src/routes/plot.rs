//! The figures as a picture: bars in one SVG file that needs nothing else.

use std::fmt::Write as _;

use super::summary::Figures;
use crate::arm::Arm;

/// Pixels.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 210.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;
/// Room for a heading, and below a group.
const HEADING: f64 = 34.0;
const BELOW: f64 = 18.0;

const COLOURS: [&str; 2] = ["#8fb8de", "#2b5d8c"];

/// Bars of one scale.
struct Group<'a> {
    heading: String,
    unit: &'a str,
    /// Name, value, and which of the colours.
    bars: Vec<(String, f64, usize)>,
    /// Where a mark is to be seen, and what it says.
    mark: Option<(f64, String)>,
}

/// The picture.
pub(super) fn plot(figures: &Figures) -> String {
    let groups = [
        latencies(figures),
        outages(figures),
        refusals(figures),
        shares(figures),
    ];
    let heights = groups.iter().map(Group::height);
    let height = heights.sum::<f64>() + HEADING;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut top = 0.0;
    for group in &groups {
        group.draw(top, &mut svg);
        top += group.height();
    }
    svg.push_str("</svg>\n");
    svg
}

fn latencies(figures: &Figures) -> Group<'static> {
    let rows = figures.trouble.iter();
    let bars = rows.flat_map(|it| {
        [
            (format!("{} p50", it.name), it.p50_ms, 0),
            (format!("{} p99", it.name), it.p99_ms, 1),
        ]
    });
    let well = figures.trouble.first();
    Group {
        heading:
            "Three deployments, one 5x slower, one flapping at 50 % errors: time to the answer"
                .to_owned(),
        unit: "ms",
        bars: bars.collect(),
        mark: well.map(|it| (it.p99_ms * 1.5, "1.5x all-well".to_owned())),
    }
}

fn outages(figures: &Figures) -> Group<'static> {
    let bars = figures.outages.iter().map(|it| {
        let (each, _) = it.attempts_each();
        (it.model(), each, colour(it.arm))
    });
    let allowed = figures.outages.first();
    Group {
        heading: "Everything behind a model is out: attempts at providers per request".to_owned(),
        unit: "",
        bars: bars.collect(),
        mark: allowed.map(|it| (it.attempts_each().1, "allowed".to_owned())),
    }
}

fn shares(figures: &Figures) -> Group<'static> {
    let mixed = &figures.mixed;
    let percent = |name: &str, part: f64, colour| (name.to_owned(), part * 100.0, colour);
    let used = figures.ceilings.iter().map(|it| {
        let name = format!("{} used", it.model());
        percent(&name, it.part(), colour(it.arm))
    });
    let shares = [
        percent("easy work sent cheap", mixed.easy.share(), 0),
        percent("hard work sent cheap", mixed.hard.share(), 0),
        percent("cost of always-strong", mixed.cost_share(), 1),
    ];
    Group {
        heading: "Ceilings at a tenth of the demand; mixed work by complexity".to_owned(),
        unit: "%",
        bars: used.chain(shares).collect(),
        mark: Some((97.0, "97 %".to_owned())),
    }
}

fn refusals(figures: &Figures) -> Group<'static> {
    let bars = figures.ceilings.iter().map(|it| {
        let name = format!("{} refused", it.model());
        (name, it.limited as f64, colour(it.arm))
    });
    Group {
        heading: "Ceilings at a tenth of the demand: requests that the provider had to refuse"
            .to_owned(),
        unit: "",
        bars: bars.collect(),
        mark: None,
    }
}

fn colour(arm: Arm) -> usize {
    match arm {
        Arm::Ours => 1,
        Arm::Plain | Arm::Direct => 0,
    }
}

impl Group<'_> {
    fn height(&self) -> f64 {
        HEADING + self.bars.len() as f64 * (BAR + GAP) + BELOW
    }

    fn draw(&self, top: f64, svg: &mut String) {
        let values = self.bars.iter().map(|(_, value, _)| *value);
        let most = values
            .chain(self.mark.iter().map(|it| it.0))
            .fold(1e-9, f64::max);
        let scale = (WIDTH - LEFT - 90.0) / most;
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"10\" y=\"{:.0}\" font-weight=\"bold\">{}</text>",
            top + 22.0,
            self.heading
        );
        let first = top + HEADING;
        for (index, (name, value, colour)) in self.bars.iter().enumerate() {
            let y = first + index as f64 * (BAR + GAP);
            let (width, text) = (value * scale, y + BAR - 5.0);
            let colour = COLOURS[*colour];
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{name}</text>\
                 <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{text:.0}\">{} {}</text>",
                LEFT - 8.0,
                LEFT + width + 5.0,
                shown(*value),
                self.unit
            );
        }
        if let Some((at, name)) = &self.mark {
            let (x, last) = (LEFT + at * scale, top + self.height() - BELOW);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{first:.0}\" y2=\"{last:.0}\" stroke=\"#b33\" stroke-dasharray=\"4 3\"/>\
                 <text x=\"{x:.1}\" y=\"{:.0}\" fill=\"#b33\" text-anchor=\"middle\">{name}</text>",
                last + 12.0
            );
        }
    }
}

fn shown(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ceilings::Counted;
    use crate::routes::summary::{Ceiling, Mixed, Outage, Row, Sent};

    fn figures() -> Figures {
        let row = |name: &str, p99_ms| Row {
            name: name.to_owned(),
            requests: 10,
            success: 1.0,
            p50_ms: 200.0,
            p99_ms,
        };
        let ceiling = |arm| Ceiling {
            arm,
            counted: Counted::Tokens,
            asked: 3650,
            answered: 600,
            used: 600,
            allowed: 600,
            limited: 0,
            refused_p99_ms: 1.0,
        };
        Figures {
            trouble: vec![
                row("all-well", 240.0),
                row("turns", 1026.0),
                row("ours", 242.0),
            ],
            seed: 1,
            outages: vec![Outage {
                asked: 100,
                attempts: 119,
                allowed: 119.0,
                ..Outage::new(Arm::Ours, "down")
            }],
            ceilings: Arm::GATEWAYS.map(ceiling).into(),
            mixed: Mixed {
                easy: Sent {
                    prompts: 55,
                    sent_cheap: 54,
                },
                hard: Sent {
                    prompts: 55,
                    sent_cheap: 8,
                },
                nano_usd: 50,
                always_strong_nano_usd: 100,
            },
        }
    }

    #[test]
    fn every_figure_is_a_bar_within_the_picture() {
        let svg = plot(&figures());
        assert_eq!(svg.matches("<rect x=").count(), 6 + 1 + 2 + 5);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for part in [
            "turns p99",
            ">1026 ms<",
            ">1.19 <",
            "few-tokens-plain used",
            "97 %",
            ">50 %<",
        ] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        let widths = svg
            .split("width=\"")
            .skip(1)
            .filter_map(|it| it.split('"').next());
        let widths: Vec<f64> = widths.filter_map(|it| it.parse().ok()).collect();
        assert!(widths.iter().all(|width| *width <= WIDTH), "{widths:?}");
    }
}
