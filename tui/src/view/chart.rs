//! A bar chart: one column a second, the newest at the right edge, gaps left empty.

use super::canvas::Canvas;
use crate::model::series::{Sample, Series};
use crate::theme::Role;
use ratatui::layout::Rect;

const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws `series` into `area`; `label` writes a value for the axis.
pub fn draw(
    canvas: &mut Canvas<'_>,
    area: Rect,
    series: &Series,
    least_top: f64,
    label: impl Fn(f64) -> String,
    role: Role,
) {
    const AXIS: u16 = 9;
    if area.height == 0 || area.width <= AXIS {
        return;
    }
    let columns = usize::from(area.width - AXIS);
    let top = nice(series.max(columns).max(least_top));
    canvas.put(area.x, area.y, AXIS - 1, &format!("{:>8}", label(top)), Role::Dim);
    let bottom = area.bottom() - 1;
    if area.height > 1 {
        canvas.put(area.x, bottom, AXIS - 1, &format!("{:>8}", "0"), Role::Dim);
    }
    let samples: Vec<Sample> = series.newest(columns).collect();
    let first = area.x + AXIS + (columns - samples.len()) as u16;
    for (index, sample) in samples.iter().enumerate() {
        let x = first + index as u16;
        match sample {
            Sample::Gap => {}
            Sample::Failed => {
                canvas.put(x, bottom, 1, "×", Role::Bad);
            }
            Sample::Value(value) => {
                let eighths = (value / top * f64::from(area.height) * 8.0).round() as u16;
                // Something is never drawn as nothing; nothing leaves a trace of its second.
                let eighths = if *value > 0.0 { eighths.max(1) } else { 0 };
                if eighths == 0 {
                    canvas.put(x, bottom, 1, "·", Role::Dim);
                }
                for row in 0..area.height {
                    let fill = eighths.saturating_sub(row * 8).min(8);
                    if fill > 0 {
                        canvas.put(x, bottom - row, 1, EIGHTHS[usize::from(fill)], role);
                    }
                }
            }
        }
    }
}

/// The next of 1, 2, 5, 10, 20 … at or above the value, so that the axis jumps rarely.
fn nice(value: f64) -> f64 {
    let mut step = 10f64.powf(value.max(1e-9).log10().floor());
    for factor in [1.0, 2.0, 2.5, 2.0] {
        if step >= value {
            return step;
        }
        step *= factor;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_on_round_numbers() {
        for (value, top) in
            [(0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (340.0, 500.0)]
        {
            assert!((nice(value) - top).abs() < 1e-9, "{value} → {}", nice(value));
        }
    }
}
