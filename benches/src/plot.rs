//! Charts as SVG files: [`Chart`].
//!
//! The background is white and everything on it dark, so that a page may be light or dark around it.

use std::ops::Range;
use std::path::Path;

use benches::stores::Failed;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

/// The size of a chart, and of the part of it that says what is what, in pixels.
const SIZE: (u32, u32) = (1260, 480);
const LEGEND_WIDTH: u32 = 300;
/// How far apart the lines of the legend are.
const LEGEND_LINE: i32 = 26;
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(226, 226, 226);
/// Colours that people who see colours differently tell apart, too (Okabe and Ito).
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(140, 86, 75),
    INK,
];
/// The last of the colours: of what others are compared with.
pub(crate) const COMPARED: usize = COLOURS.len() - 1;

/// A chart of points over two axes.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// Points of one kind.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Which of the colours: what belongs together has the same one.
    pub(crate) colour: usize,
    pub(crate) style: Style,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How points are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Points joined by a line.
    Line,
    /// Points joined by a dashed line.
    Dashed,
    /// Filled points alone.
    Filled,
    /// Hollow points alone.
    Hollow,
    /// A short level line at each point: a limit.
    Level,
}

/// An axis: what it is of, from where to where, and where the ticks are and what they say.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    label: String,
    /// Where it begins and ends: logarithms where it is logarithmic.
    ends: (f64, f64),
    log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A logarithmic axis that has room for these values, which are above zero.
    pub(crate) fn log(label: &str, values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(1.0, f64::max);
        let least = values.fold(most, f64::min).max(1e-3);
        let (from, until) = (least.log10().floor(), most.log10().ceil().max(least.log10().floor() + 1.0));
        // Where there are few powers of ten, their multiples are said, too.
        let multiples: &[f64] = if until - from < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let mut ticks = Vec::new();
        let mut decade = from;
        while decade <= until {
            for multiple in multiples {
                let value = multiple * 10_f64.powf(decade);
                ticks.push((value, number(value)));
            }
            decade += 1.0;
        }
        // A little room, so that the outermost points are not on the frame.
        Self { label: label.into(), ends: (from - 0.06, until + 0.06), log: true, ticks }
    }

    /// An axis that says at each of these values that it is there, with room for them: what is measured at a few sizes.
    pub(crate) fn log_at(label: &str, values: &[f64]) -> Self {
        let ticks = values.iter().map(|value| (*value, number(*value))).collect();
        let from = values.iter().copied().fold(f64::INFINITY, f64::min).log10() - 0.12;
        let until = values.iter().copied().fold(f64::NEG_INFINITY, f64::max).log10() + 0.12;
        Self { label: label.into(), ends: (from, until), log: true, ticks }
    }

    /// A linear axis that has room for these values, with a tick every `step`.
    pub(crate) fn linear(label: &str, values: impl Iterator<Item = f64> + Clone, step: f64) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(f64::NEG_INFINITY, f64::max);
        let (from, until) = ((least / step).floor() * step, (most / step).ceil() * step);
        let mut ticks = Vec::new();
        let mut at = from;
        while at <= until + step * 1e-6 {
            ticks.push((at, number(at)));
            at += step;
        }
        Self { label: label.into(), ends: (from - step * 0.1, until + step * 0.1), log: false, ticks }
    }

    /// An axis of names, the first one at 0, the next one at 1.
    pub(crate) fn names(label: &str, names: &[String]) -> Self {
        let ticks: Vec<(f64, String)> = (0_u32..).map(f64::from).zip(names.iter().cloned()).collect();
        let until = ticks.last().map_or(0.5, |tick| tick.0 + 0.5);
        Self { label: label.into(), ends: (-0.5, until), log: false, ticks }
    }

    /// Where a value is, from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let (from, until) = self.ends;
        ((if self.log { value.log10() } else { value }) - from) / (until - from)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[expect(clippy::cast_possible_truncation, reason = "a place in a picture")]
    fn map(&self, value: &f64, (from, until): (i32, i32)) -> i32 {
        from + (self.at(*value) * f64::from(until - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|tick| tick.0).filter(|value| (0.0..=1.0).contains(&self.at(*value))).collect()
    }

    fn range(&self) -> Range<f64> {
        let (from, until) = self.ends;
        if self.log { 10_f64.powf(from)..10_f64.powf(until) } else { from..until }
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|tick| tick.0.total_cmp(value).is_eq());
        tick.map_or_else(String::new, |tick| tick.1.clone())
    }
}

impl Chart {
    /// Writes the chart to a file, over what is there.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failed> {
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(&self.title, (FONT, 23).into_font().color(&INK))?;
        let (plot, legend) = root.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        self.plot(&plot)?;
        self.legend(&legend)?;
        root.present()?;
        Ok(())
    }

    fn plot(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Failed> {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(52)
            .y_label_area_size(96)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        let text = (FONT, 15).into_font().color(&INK);
        chart
            .configure_mesh()
            .max_light_lines(0)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_desc(self.x.label.as_str())
            .y_desc(self.y.label.as_str())
            .label_style(text.clone())
            .axis_desc_style((FONT, 17).into_font().color(&INK))
            .draw()?;
        for series in &self.series {
            let style = series.shape();
            let points = || series.points.iter().copied();
            match series.style {
                Style::Line => {
                    chart.draw_series(LineSeries::new(points(), style))?;
                }
                Style::Dashed => {
                    chart.draw_series(DashedLineSeries::new(points(), 7, 5, style))?;
                }
                Style::Level => {
                    let level = |(x, y)| PathElement::new(vec![(x - 0.4, y), (x + 0.4, y)], style);
                    chart.draw_series(points().map(level))?;
                }
                Style::Filled | Style::Hollow => {}
            }
            if let Some(mark) = series.mark() {
                chart.draw_series(points().map(|point| Circle::new(point, 5, mark)))?;
            }
        }
        Ok(())
    }

    fn legend(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Failed> {
        let text = (FONT, 17).into_font().color(&INK);
        let mut middle = 24;
        for series in &self.series {
            let style = series.shape();
            let sample = |from, until| PathElement::new(vec![(from, middle), (until, middle)], style);
            match series.style {
                Style::Line | Style::Level => area.draw(&sample(4, 34))?,
                Style::Dashed => {
                    for from in [4, 15, 26] {
                        area.draw(&sample(from, from + 8))?;
                    }
                }
                Style::Filled | Style::Hollow => {}
            }
            if let Some(mark) = series.mark() {
                area.draw(&Circle::new((19, middle), 5, mark))?;
            }
            area.draw(&Text::new(series.name.as_str(), (44, middle - 8), text.clone()))?;
            middle += LEGEND_LINE;
        }
        Ok(())
    }
}

impl Series {
    fn colour(&self) -> RGBColor {
        COLOURS.iter().cycle().nth(self.colour).copied().unwrap_or(INK)
    }

    fn shape(&self) -> ShapeStyle {
        self.colour().stroke_width(2)
    }

    /// How its points are marked, if they are.
    fn mark(&self) -> Option<ShapeStyle> {
        match self.style {
            Style::Line | Style::Filled => Some(self.colour().filled()),
            Style::Dashed | Style::Hollow => Some(self.shape()),
            Style::Level => None,
        }
    }
}

/// A number with its thousands set apart, and as many decimals as it needs.
pub(crate) fn number(value: f64) -> String {
    let text = if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{decimals}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_set_apart_and_no_needless_decimals() {
        let said = [0.0, 1.0, 2.5, 9.999, 12.4, 1_213.0, -1_000_000.0].map(number);
        assert_eq!(said, ["0", "1", "2.5", "10", "12", "1,213", "-1,000,000"]);
    }

    #[test]
    fn a_logarithmic_axis_has_ticks_at_powers_of_ten() {
        let axis = Axis::log("y", [30.0, 250_000.0].into_iter());
        let said: Vec<_> = axis.ticks.iter().map(|tick| axis.format_ext(&tick.0)).collect();
        assert_eq!(said, ["10", "100", "1,000", "10,000", "100,000", "1,000,000"]);
    }

    #[test]
    fn a_chart_is_an_svg_with_its_labels_on_white() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let series = |name: &str, style, points| Series { name: name.into(), colour: 1, style, points };
        let names = ["first".to_owned(), "second".to_owned()];
        let chart = Chart {
            title: "What is measured".into(),
            x: Axis::names("trace", &names),
            y: Axis::linear("per cent", [91.0, 95.5].into_iter(), 1.0),
            series: vec![
                series("dots", Style::Filled, vec![(0.0, 91.0), (1.0, 95.5)]),
                series("a limit", Style::Level, vec![(0.0, 95.0)]),
            ],
        };
        chart.write(file.path()).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        for part in ["#FFFFFF", "What is measured", "first", "second", "trace", "per cent", "dots", "a limit"]
        {
            assert!(text.contains(part), "{part}");
        }
    }
}
