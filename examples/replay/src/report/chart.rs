//! One chart: a card with a title, a plot over time, and what the pointer finds there.

use super::axis::{Scale, TimeAxis, count_tick};
use super::put;
use super::text::{escape, real};

/// A line, its points in seconds and in the unit of the chart.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// The colour, as a class of the style sheet.
    pub(super) class: &'static str,
    pub(super) area: bool,
    pub(super) points: Vec<(i64, f64)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Percent,
    Count,
}

pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) note: &'static str,
    pub(super) wide: bool,
    pub(super) lines: Vec<Line>,
    pub(super) mean: Option<f64>,
    pub(super) scale: Scale,
    pub(super) unit: Unit,
    pub(super) time: TimeAxis,
}

/// The plot's own coordinates; it is stretched to the width of its card, the labels are not.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Places at which the pointer finds a value.
const PROBES: i64 = 120;

impl Chart {
    pub(super) fn draw(&self, page: &mut String) {
        let class = if self.wide { "card wide" } else { "card" };
        put(
            page,
            format_args!(
                "<section class=\"{class}\"><h2>{}</h2><p class=\"note\">{}</p>\n",
                self.title, self.note
            ),
        );
        if self.lines.len() > 1 {
            self.legend(page);
        }
        page.push_str("<div class=\"plot\">\n");
        put(
            page,
            format_args!(
                "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\n",
                escape(&self.spoken())
            ),
        );
        self.grid(page);
        for line in &self.lines {
            self.line(page, line);
        }
        self.probes(page);
        page.push_str("</svg>\n");
        self.labels(page);
        put(
            page,
            format_args!("</div>\n<p class=\"unit\">{} since the start</p></section>\n", self.time.unit),
        );
    }

    fn x(&self, at_s: i64) -> f64 {
        self.time.scale.pct(real(at_s)) * WIDTH / 100.0
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - self.scale.pct(value) * HEIGHT / 100.0
    }

    fn say(&self, value: f64) -> String {
        match self.unit {
            Unit::Percent => format!("{value:.1} %"),
            Unit::Count => count_tick(value),
        }
    }

    /// What a reader hears who does not see the plot.
    fn spoken(&self) -> String {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                let highest = line.points.iter().map(|point| point.1).fold(0.0, f64::max);
                let last = line.points.last().map_or(0.0, |point| point.1);
                format!("{}: at most {}, at the end {}", line.name, self.say(highest), self.say(last))
            })
            .collect();
        format!("{}. {}", self.title, lines.join("; "))
    }

    fn legend(&self, page: &mut String) {
        page.push_str("<ul class=\"legend\">");
        for line in &self.lines {
            put(page, format_args!("<li class=\"{}\">{}</li>", line.class, line.name));
        }
        page.push_str("</ul>\n");
    }

    fn grid(&self, page: &mut String) {
        page.push_str("<path class=\"lines\" d=\"");
        for tick in self.scale.ticks() {
            put(page, format_args!("M0 {:.2}H{WIDTH}", self.y(tick)));
        }
        page.push_str("\"/>\n");
        if let Some(mean) = self.mean {
            put(page, format_args!("<path class=\"mean\" d=\"M0 {:.2}H{WIDTH}\"/>\n", self.y(mean)));
        }
    }

    fn line(&self, page: &mut String, line: &Line) {
        // A state holds until the next one: steps, not slopes.
        let mut path = String::new();
        for (at, (x, y)) in
            line.points.iter().map(|(at_s, value)| (self.x(*at_s), self.y(*value))).enumerate()
        {
            if at == 0 {
                put(&mut path, format_args!("M{x:.1} {y:.2}"));
            } else {
                put(&mut path, format_args!("H{x:.1}V{y:.2}"));
            }
        }
        if line.area {
            put(page, format_args!("<path class=\"area {}\" d=\"{path}V{HEIGHT}H0Z\"/>\n", line.class));
        }
        put(page, format_args!("<path class=\"line {}\" d=\"{path}\"/>\n", line.class));
    }

    /// Invisible strips, each of which tells its moment's values to the pointer.
    fn probes(&self, page: &mut String) {
        let Some(end_s) = self.lines.first().and_then(|line| line.points.last()).map(|point| point.0) else {
            return;
        };
        let (count, end_s) = (PROBES.min(end_s.max(1)), end_s.max(1));
        let width = WIDTH / real(count);
        for probe in 0..count {
            let at_s = (2 * probe + 1) * end_s / (2 * count);
            let values: Vec<_> = self
                .lines
                .iter()
                .map(|line| format!("{} {}", self.say(value_at(&line.points, at_s)), line.name))
                .collect();
            let x = real(probe) * width;
            put(
                page,
                format_args!(
                    "<g class=\"probe\"><path d=\"M{:.1} 0V{HEIGHT}\"/><rect x=\"{x:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\"><title>{}: {}</title></rect></g>\n",
                    x + width / 2.0,
                    self.time.moment(at_s),
                    values.join(", ")
                ),
            );
        }
    }

    fn labels(&self, page: &mut String) {
        let percent = if self.unit == Unit::Percent { " %" } else { "" };
        for tick in self.scale.ticks() {
            put(
                page,
                format_args!(
                    "<span class=\"y\" style=\"bottom:{:.2}%\">{}{percent}</span>\n",
                    self.scale.pct(tick),
                    count_tick(tick)
                ),
            );
        }
        for tick in self.time.scale.ticks() {
            put(
                page,
                format_args!(
                    "<span class=\"x\" style=\"left:{:.2}%\">{}</span>\n",
                    self.time.scale.pct(tick),
                    self.time.tick(tick)
                ),
            );
        }
        if let Some(mean) = self.mean {
            // Below its line, unless there is no room.
            let class = if self.scale.pct(mean) < 15.0 { "mark above" } else { "mark" };
            put(
                page,
                format_args!(
                    "<span class=\"{class}\" style=\"bottom:{:.2}%\">mean {}</span>\n",
                    self.scale.pct(mean),
                    self.say(mean)
                ),
            );
        }
    }
}

/// The value that holds at a moment.
fn value_at(points: &[(i64, f64)], at_s: i64) -> f64 {
    let after = points.partition_point(|point| point.0 <= at_s);
    points.get(after.saturating_sub(1)).map_or(0.0, |point| point.1)
}
