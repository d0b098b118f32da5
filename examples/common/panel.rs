//! A panel of a picture: axes with numbers, and what is drawn between them.

use ergodic::energy::{Energy, Params};
use rayon::prelude::*;

use super::{
    Density,
    canvas::{Align, Colour, FAINT, INK, Picture},
};

/// The range of an axis.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

impl From<[f64; 2]> for Axis {
    fn from([low, high]: [f64; 2]) -> Self {
        Self { low, high, log: false }
    }
}

impl Axis {
    /// A logarithmic axis; both ends above zero.
    pub fn log(low: f64, high: f64) -> Self {
        Self { low, high, log: true }
    }

    /// Where a value lies: 0 at the low end, 1 at the high one.
    fn part(&self, v: f64) -> f64 {
        if self.log { (v / self.low).ln() / (self.high / self.low).ln() } else { (v - self.low) / (self.high - self.low) }
    }

    fn value(&self, part: f64) -> f64 {
        if self.log { self.low * (self.high / self.low).powf(part) } else { self.low + (self.high - self.low) * part }
    }

    /// The values that get a number: round ones, at most six, or powers of ten.
    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (first, last) = ((self.low.log10() - 1e-9).ceil() as i32, (self.high.log10() + 1e-9).floor() as i32);
            let every = ((last - first) / 6 + 1) as usize;
            return (first..=last).step_by(every).map(|k| 10f64.powi(k)).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|&s| s >= rough * 0.999).unwrap_or(power);
        let first = (self.low / step - 1e-9).ceil() as i64;
        let last = (self.high / step + 1e-9).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

/// A tick's number, short: 2000, 0.5, −4, 1e7.
fn number(v: f64) -> String {
    if v != 0.0 && !(1e-3..1e5).contains(&v.abs()) {
        return format!("{v:e}");
    }
    let text = format!("{v:.3}");
    text.trim_end_matches('0').trim_end_matches('.').replace('-', "−")
}

/// A panel: draw fields first, then samples and lines, then `axes`; `frame` where coordinates mean nothing.
#[derive(Debug)]
pub struct Panel<'a> {
    picture: &'a mut Picture,
    corner: [usize; 2],
    size: [usize; 2],
    x: Axis,
    y: Axis,
}

impl<'a> Panel<'a> {
    pub(super) fn new(picture: &'a mut Picture, corner: [usize; 2], size: [usize; 2], x: Axis, y: Axis) -> Self {
        Self { picture, corner, size, x, y }
    }

    /// Pixels from the panel's upper left corner.
    fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.x.part(x) * self.size[0] as f64, (1.0 - self.y.part(y)) * self.size[1] as f64]
    }

    /// A function of (x, y) at every pixel, row by row from the top.
    fn sample(&self, f: impl Fn(f64, f64) -> f64 + Sync) -> Vec<f64> {
        let [width, height] = self.size;
        let pixel = |i: usize| {
            let x = self.x.value(((i % width) as f64 + 0.5) / width as f64);
            f(x, self.y.value(1.0 - ((i / width) as f64 + 0.5) / height as f64))
        };
        (0..width * height).into_par_iter().map(pixel).collect()
    }

    fn fill(&mut self, values: &[f64], gradient: colorous::Gradient) {
        for (i, &v) in values.iter().enumerate() {
            let colour = gradient.eval_continuous(v.clamp(0.0, 1.0));
            let colour = [colour.r, colour.g, colour.b].map(|c| f32::from(c) / 255.0);
            self.picture.blend(self.corner[0] + i % self.size[0], self.corner[1] + i / self.size[0], colour, 1.0);
        }
    }

    /// Lays a colour over the panel with the coverage of each pixel.
    fn cover(&mut self, coverage: &[f32], colour: Colour, alpha: f32) {
        for (i, &c) in coverage.iter().enumerate().filter(|&(_, &c)| c > 0.0) {
            self.picture.blend(self.corner[0] + i % self.size[0], self.corner[1] + i / self.size[0], colour, alpha * c);
        }
    }

    /// A heat map (magma) of a function with values in [0, 1].
    pub fn field(&mut self, f: impl Fn(f64, f64) -> f64 + Sync) -> &mut Self {
        let values = self.sample(f);
        self.fill(&values, colorous::MAGMA);
        self
    }

    /// The density exp(−E) of an energy as a heat map, on the scale of [`samples`](Self::samples).
    pub fn density(&mut self, energy: &dyn Energy, density: &Density) -> &mut Self {
        let values = energy.params();
        self.field(|x, y| tone((density.least_energy - energy.energy(Params::new(&values), &[x, y])).exp()))
    }

    /// Samples, [dim][chain], as a density: counts a pixel, smoothed no more than their noise asks for, in units of the peak of
    /// the true density.
    pub fn samples(&mut self, positions: &[f32], density: &Density) -> &mut Self {
        let [width, height] = self.size;
        let (xs, ys) = positions.split_at(positions.len() / 2);
        let mut counts = vec![0.0; width * height];
        for (&x, &y) in xs.iter().zip(ys) {
            let [column, row] = self.place([f64::from(x), f64::from(y)]);
            if (0.0..width as f64).contains(&column) && (0.0..height as f64).contains(&row) {
                counts[row as usize * width + column as usize] += 1.0;
            }
        }
        let area = (self.x.high - self.x.low) / width as f64 * (self.y.high - self.y.low) / height as f64;
        let peak = xs.len() as f64 * density.peak * area;
        // A Gaussian of this many pixels averages over about 40 samples at the peak.
        let sd = (40.0 / (4.0 * std::f64::consts::PI * peak)).sqrt().clamp(0.7, 6.0);
        let smooth = blur(&blur(&counts, width, sd, 1), width, sd, width);
        let values: Vec<f64> = smooth.iter().map(|count| tone(count / peak)).collect();
        self.fill(&values, colorous::MAGMA);
        self
    }

    /// Contours of a function at `levels`, antialiased: a pixel is covered by its distance |f − level| / |∇f| to the line.
    pub fn contours(&mut self, f: impl Fn(f64, f64) -> f64 + Sync, levels: &[f64], colour: Colour, alpha: f32) -> &mut Self {
        let [width, height] = self.size;
        let values = self.sample(f);
        let mut coverage = vec![0f32; width * height];
        for row in 1..height - 1 {
            for column in 1..width - 1 {
                let i = row * width + column;
                let slope = 0.5 * (values[i + 1] - values[i - 1]).hypot(values[i + width] - values[i - width]);
                for level in levels {
                    let distance = (values[i] - level).abs() / slope;
                    coverage[i] = coverage[i].max((1.2 - distance).clamp(0.0, 1.0) as f32);
                }
            }
        }
        self.cover(&coverage, colour, alpha);
        self
    }

    /// Contours of an energy where it is `above` its least value on the density's grid.
    pub fn contours_of(
        &mut self,
        energy: &dyn Energy,
        density: &Density,
        above: &[f64],
        colour: Colour,
        alpha: f32,
    ) -> &mut Self {
        let values = energy.params();
        self.contours(|x, y| energy.energy(Params::new(&values), &[x, y]) - density.least_energy, above, colour, alpha)
    }

    /// A line through points, `width` pixels thick.
    pub fn line(&mut self, points: &[[f64; 2]], width: f64, colour: Colour, alpha: f32) -> &mut Self {
        let mut coverage = vec![0f32; self.size[0] * self.size[1]];
        let placed: Vec<_> = points.iter().map(|&p| self.place(p)).collect();
        for pair in placed.windows(2) {
            self.capsule(&mut coverage, pair[0], pair[1], 0.5 * width);
        }
        self.cover(&coverage, colour, alpha);
        self
    }

    /// Discs of `radius` pixels around points, each laid over the last.
    pub fn dots(&mut self, points: impl IntoIterator<Item = [f64; 2]>, radius: f64, colour: Colour, alpha: f32) -> &mut Self {
        let [width, height] = self.size;
        for point in points {
            let [cx, cy] = self.place(point);
            for row in span(cy, radius, height) {
                for column in span(cx, radius, width) {
                    let distance = (column as f64 + 0.5 - cx).hypot(row as f64 + 0.5 - cy);
                    let c = (radius + 0.5 - distance).clamp(0.0, 1.0) as f32;
                    self.picture.blend(self.corner[0] + column, self.corner[1] + row, colour, alpha * c);
                }
            }
        }
        self
    }

    /// Covers what lies within `radius` of the segment from a to b.
    fn capsule(&self, coverage: &mut [f32], a: [f64; 2], b: [f64; 2], radius: f64) {
        let [width, height] = self.size;
        let [dx, dy] = [b[0] - a[0], b[1] - a[1]];
        let length2 = (dx * dx + dy * dy).max(1e-12);
        let half = |i: usize| (0.5 * (a[i] + b[i]), 0.5 * (a[i] - b[i]).abs() + radius);
        for row in span(half(1).0, half(1).1, height) {
            for column in span(half(0).0, half(0).1, width) {
                let [px, py] = [column as f64 + 0.5 - a[0], row as f64 + 0.5 - a[1]];
                let t = ((px * dx + py * dy) / length2).clamp(0.0, 1.0);
                let c = (radius + 0.5 - (px - t * dx).hypot(py - t * dy)).clamp(0.0, 1.0) as f32;
                let pixel = &mut coverage[row * width + column];
                *pixel = pixel.max(c);
            }
        }
    }

    /// A text in the panel at (x, y).
    pub fn note(&mut self, text: &str, at: [f64; 2], align: Align, colour: Colour) -> &mut Self {
        let [x, y] = self.place(at);
        self.picture.text(text, [self.corner[0] as f32 + x as f32, self.corner[1] as f32 + y as f32], 26.0, align, colour);
        self
    }

    /// The frame, and two lines above it: a title and what there is to say.
    pub fn frame(&mut self, title: &str, says: &str) -> &mut Self {
        let [left, top] = self.corner;
        let [width, height] = self.size;
        for i in 0..width {
            self.picture.blend(left + i, top, FAINT, 0.5);
            self.picture.blend(left + i, top + height - 1, FAINT, 0.5);
        }
        for i in 0..height {
            self.picture.blend(left, top + i, FAINT, 0.5);
            self.picture.blend(left + width - 1, top + i, FAINT, 0.5);
        }
        let middle = (left + width / 2) as f32;
        self.picture.text(title, [middle, (top - 46) as f32], 35.0, Align::Centre, INK);
        self.picture.text(says, [middle, (top - 14) as f32], 26.0, Align::Centre, FAINT);
        self
    }

    /// The frame with the numbers of its axes.
    pub fn axes(&mut self, title: &str, says: &str) -> &mut Self {
        self.frame(title, says);
        let [left, top] = self.corner;
        let [width, height] = self.size;
        for v in self.x.ticks() {
            let x = left + (self.x.part(v) * (width - 1) as f64).round() as usize;
            (0..7).for_each(|i| self.picture.blend(x, top + height + i, FAINT, 0.8));
            self.picture.text(&number(v), [x as f32, (top + height + 32) as f32], 24.0, Align::Centre, FAINT);
        }
        for v in self.y.ticks() {
            let y = top + ((1.0 - self.y.part(v)) * (height - 1) as f64).round() as usize;
            (0..7).for_each(|i| self.picture.blend(left - 1 - i, y, FAINT, 0.8));
            self.picture.text(&number(v), [(left - 13) as f32, (y + 8) as f32], 24.0, Align::Right, FAINT);
        }
        self
    }

    /// Names of the axes, for a picture made with room for them.
    pub fn labels(&mut self, x: &str, y: &str) -> &mut Self {
        let [left, top] = self.corner;
        let [width, height] = self.size;
        self.picture.text(x, [(left + width / 2) as f32, (top + height + 70) as f32], 27.0, Align::Centre, INK);
        self.picture.text_upwards(y, [left as f32 - 72.0, (top + height / 2) as f32], 27.0, INK);
        self
    }
}

/// Brightness of a density in units of its peak: the square root shows the tails.
fn tone(v: f64) -> f64 {
    v.sqrt()
}

/// The pixels of 0..size within `reach` of `centre`.
fn span(centre: f64, reach: f64, size: usize) -> std::ops::Range<usize> {
    let end = |v: f64| v.clamp(0.0, size as f64) as usize;
    end((centre - reach - 1.0).floor())..end((centre + reach + 2.0).floor())
}

/// Convolves rows (stride 1) or columns (stride `width`) with a Gaussian; what leaves the panel is lost.
fn blur(values: &[f64], width: usize, sd: f64, stride: usize) -> Vec<f64> {
    let reach = (4.0 * sd).ceil() as isize;
    let kernel: Vec<f64> = (-reach..=reach).map(|k| (-0.5 * (k as f64 / sd).powi(2)).exp()).collect();
    let sum: f64 = kernel.iter().sum();
    let (along, length) =
        (|i: usize| if stride == 1 { i % width } else { i / width }, if stride == 1 { width } else { values.len() / width });
    let at = |i: usize| {
        let inside = |k: &isize| (0..length as isize).contains(&(along(i) as isize + k));
        let value = |k: isize| values[(i as isize + k * stride as isize) as usize] * kernel[(k + reach) as usize];
        (-reach..=reach).filter(inside).map(value).sum::<f64>() / sum
    };
    (0..values.len()).into_par_iter().map(at).collect()
}
