//! Box plots and curves.

use super::{Colour, Picture};
use crate::error::{Error, ErrorKind, Result};
use once_cell::sync::Lazy;
use plotters::prelude::*;
use plotters::style::{register_font, FontStyle};

const FONT: &str = "sans-serif";
const LEFT: i32 = 250;
const ROW: i32 = 26;
/// Colours of series that are distinct also with most colour-vision deficiencies (Okabe and Ito).
const SERIES: [Colour; 10] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [90, 90, 90],
    [140, 86, 75],
    [40, 40, 60],
    [150, 150, 0],
];

/// The font is built in: a plot looks the same on every machine.
static FONT_READY: Lazy<bool> =
    Lazy::new(|| register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok());

/// One row of a box plot.
#[derive(Debug, Clone)]
pub struct BoxRow {
    /// Printed beside the row.
    pub name: String,
    /// Rising, finite; every value is a dot.
    pub values: Vec<f64>,
    /// Minimum, first quartile, median, third quartile, maximum of the values.
    pub quartiles: [f64; 5],
    /// Rows of one group share a colour.
    pub group: usize,
}

/// One curve.
#[derive(Debug, Clone)]
pub struct Curve {
    /// Printed in the legend.
    pub name: String,
    /// Rising x.
    pub points: Vec<(f64, f64)>,
}

/// Horizontal box plots of values of 0 to 1, one row each, with all values as dots.
pub fn boxes(title: &str, axis: &str, rows: &[BoxRow]) -> Result<Picture> {
    let height = 90 + ROW * rows.len() as i32;
    draw(900, height as u32, |area| {
        area.draw(&Text::new(title.to_owned(), (16, 12), (FONT, 20).into_font().color(&ink())))?;
        let (top, right) = (44, 870);
        let bottom = top + ROW * rows.len() as i32;
        let at = |value: f64| LEFT + (value.clamp(0.0, 1.0) * f64::from(right - LEFT)).round() as i32;
        for tick in 0..=10 {
            let (x, value) = (at(f64::from(tick) / 10.0), f64::from(tick) / 10.0);
            area.draw(&PathElement::new([(x, top), (x, bottom)], RGBColor(226, 226, 226)))?;
            area.draw(&Text::new(
                format!("{value:.1}"),
                (x - 9, bottom + 6),
                (FONT, 14).into_font().color(&RGBColor(90, 90, 90)),
            ))?;
        }
        area.draw(&Text::new(axis.to_owned(), (LEFT, bottom + 24), (FONT, 14).into_font().color(&ink())))?;
        for (n, row) in rows.iter().enumerate() {
            let colour = series(row.group);
            let middle = top + ROW * n as i32 + ROW / 2;
            area.draw(&Text::new(shortened(&row.name, 34), (16, middle - 8), (FONT, 15).into_font().color(&ink())))?;
            if row.values.is_empty() {
                continue;
            }
            let [low, q1, q2, q3, high] = row.quartiles.map(at);
            area.draw(&PathElement::new([(low, middle), (high, middle)], colour))?;
            area.draw(&Rectangle::new([(q1, middle - 8), (q3, middle + 8)], colour.mix(0.25).filled()))?;
            area.draw(&Rectangle::new([(q1, middle - 8), (q3, middle + 8)], colour.stroke_width(1)))?;
            area.draw(&PathElement::new([(q2, middle - 8), (q2, middle + 8)], colour.stroke_width(3)))?;
            for (i, &value) in row.values.iter().enumerate() {
                let spread = (i * 7 % 11) as i32 - 5; // by order, so that the same values give the same picture
                area.draw(&Circle::new((at(value), middle + spread), 2, colour.mix(0.55).filled()))?;
            }
        }
        Ok(())
    })
}

/// Curves over a common x axis; the y axis is 0 to 1 unless values are larger.
pub fn curves(title: &str, [x_name, y_name]: [&str; 2], curves: &[Curve]) -> Result<Picture> {
    draw(900, 460, |area| {
        let (plot, side) = area.split_horizontally(690); // names beside the curves, never over them
        let all = || curves.iter().flat_map(|c| c.points.iter()).filter(|(x, y)| x.is_finite() && y.is_finite());
        let x_end = all().map(|p| p.0).fold(1.0, f64::max);
        let x_begin = all().map(|p| p.0).fold(x_end, f64::min).min(x_end - 1.0);
        let y_end = all().map(|p| p.1).fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(&plot)
            .caption(title, (FONT, 20))
            .margin(14)
            .x_label_area_size(42)
            .y_label_area_size(56)
            .build_cartesian_2d(x_begin..x_end, 0.0..y_end)?;
        chart
            .configure_mesh()
            .x_desc(x_name)
            .y_desc(y_name)
            .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x:.0}") } else { format!("{x:.1}") })
            .label_style((FONT, 14))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(226, 226, 226))
            .draw()?;
        for (n, curve) in curves.iter().enumerate() {
            let colour = series(n);
            chart.draw_series(LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2)))?;
        }
        for (n, curve) in curves.iter().enumerate() {
            let y = 40 + 22 * n as i32;
            side.draw(&PathElement::new([(4, y + 8), (22, y + 8)], series(n).stroke_width(2)))?;
            side.draw(&Text::new(shortened(&curve.name, 28), (30, y), (FONT, 14).into_font().color(&ink())))?;
        }
        Ok(())
    })
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw(width: u32, height: u32, paint: impl FnOnce(&Area) -> Drawn) -> Result<Picture> {
    debug_assert!(*FONT_READY, "the built-in font can be read");
    Lazy::force(&FONT_READY);
    let mut pixels = vec![255; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        let failed = |e: String| Error::new(ErrorKind::Compute, format!("cannot draw a plot: {e}"));
        area.fill(&WHITE).map_err(|e| failed(e.to_string()))?;
        paint(&area).map_err(|e| failed(e.to_string()))?;
        area.present().map_err(|e| failed(e.to_string()))?;
    }
    Ok(Picture { width: width as usize, height: height as usize, pixels })
}

fn series(n: usize) -> RGBColor {
    let [r, g, b] = SERIES[n % SERIES.len()];
    RGBColor(r, g, b)
}

fn ink() -> RGBColor {
    RGBColor(30, 30, 34)
}

fn shortened(name: &str, most: usize) -> String {
    if name.chars().count() <= most {
        return name.to_owned();
    }
    name.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_colours_are_distinct() {
        let colours: std::collections::BTreeSet<Colour> = SERIES.into_iter().collect();
        assert_eq!(colours.len(), SERIES.len());
        assert!(SERIES.len() >= 8, "a report has eight rows");
    }

    #[test]
    fn box_plot_draws_values_and_a_name_in_every_row() {
        let row = |name: &str, values: &[f64]| BoxRow {
            name: name.into(),
            values: values.to_vec(),
            quartiles: [0.1, 0.2, 0.5, 0.6, 0.9],
            group: 0,
        };
        let empty = boxes("", "", &[row("", &[]), row("", &[])]).unwrap();
        let full = boxes("title", "Dice", &[row("copy", &[0.2, 0.5, 0.7]), row("flow", &[0.9])]).unwrap();
        assert_eq!(empty.size(), full.size());
        let differs = |x: std::ops::Range<usize>, y: std::ops::Range<usize>| {
            y.flat_map(|r| x.clone().map(move |c| (r, c))).any(|(r, c)| empty.at(r, c) != full.at(r, c))
        };
        for n in 0..2 {
            let rows = 44 + 26 * n..44 + 26 * (n + 1);
            assert!(differs(16..120, rows.clone()), "no letters in row {n}");
            assert!(differs(250..870, rows), "no values in row {n}");
        }
    }

    #[test]
    fn curves_without_points_and_with_one_point_are_drawn() {
        assert!(curves("t", ["x", "y"], &[]).is_ok());
        assert!(curves("t", ["x", "y"], &[Curve { name: "a".into(), points: vec![(3.0, 0.5)] }]).is_ok());
    }
}
