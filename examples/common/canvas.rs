//! A picture as an array of pixels: fills, antialiased lines and discs, text, PNG.

use std::{fs::File, io::BufWriter, path::PathBuf};

use ab_glyph::{Font, FontRef, PxScale, ScaleFont};
use anyhow::{Context, Result};

use super::panel::{Axis, Panel};

/// Red, green and blue (sRGB) in [0, 1].
pub type Colour = [f32; 3];

pub const PAGE: Colour = [0.055, 0.055, 0.085];
pub const INK: Colour = [0.93, 0.93, 0.96];
pub const FAINT: Colour = [0.62, 0.63, 0.70];

/// Distinct colours on the dark page.
pub const COLOURS: [Colour; 6] =
    [[0.30, 0.76, 1.0], [1.0, 0.66, 0.25], [0.45, 0.90, 0.55], [1.0, 0.45, 0.60], [0.76, 0.60, 1.0], [0.95, 0.90, 0.40]];

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Align {
    Left,
    Centre,
    Right,
}

/// Pixels left, right, above and below a panel: tick labels, two lines of title.
const LEFT: usize = 62;
const RIGHT: usize = 26;
const ABOVE: usize = 92;
const BELOW: usize = 46;
/// Pixels for the names of the axes, where they have some.
const LABEL: usize = 44;
/// Pixels above all panels: a title and a line below it.
const HEAD: usize = 130;
const FOOT: usize = 8;

/// A picture: a grid of panels under a title.
#[derive(Debug)]
pub struct Picture {
    pub(super) width: usize,
    height: usize,
    pixels: Vec<Colour>,
    panel: [usize; 2],
    labels: bool,
    font: FontRef<'static>,
}

impl Picture {
    /// `columns` × `rows` panels of `panel` = [width, height] pixels under a title and a line that `says` more; `labels` makes
    /// room for the names of axes.
    pub fn grid(title: &str, says: &str, columns: usize, rows: usize, panel: [usize; 2], labels: bool) -> Result<Self> {
        let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).context("the embedded font")?;
        let mut picture = Self { width: 0, height: 0, pixels: Vec::new(), panel, labels, font };
        let [x, y] = picture.corner(columns, rows);
        (picture.width, picture.height) = (x - picture.left() + RIGHT / 2, y - ABOVE + FOOT);
        picture.pixels = vec![PAGE; picture.width * picture.height];
        let middle = picture.width as f32 / 2.0;
        picture.text(title, [middle, 62.0], 46.0, Align::Centre, INK);
        picture.text(says, [middle, 106.0], 29.0, Align::Centre, FAINT);
        Ok(picture)
    }

    fn left(&self) -> usize {
        LEFT + if self.labels { LABEL } else { 0 }
    }

    /// The upper left pixel of a panel.
    fn corner(&self, column: usize, row: usize) -> [usize; 2] {
        let below = BELOW + if self.labels { LABEL } else { 0 };
        [self.left() + column * (self.panel[0] + self.left() + RIGHT), HEAD + ABOVE + row * (self.panel[1] + ABOVE + below)]
    }

    /// The panel at a column and row, with its axes; draw on it, then go on to the next.
    pub fn panel(&mut self, column: usize, row: usize, x: impl Into<Axis>, y: impl Into<Axis>) -> Panel<'_> {
        let (corner, size) = (self.corner(column, row), self.panel);
        Panel::new(self, corner, size, x.into(), y.into())
    }

    /// Lays a colour over a pixel; pixels outside of the picture are dropped.
    pub fn blend(&mut self, x: usize, y: usize, colour: Colour, alpha: f32) {
        if x < self.width && y < self.height {
            let pixel = &mut self.pixels[y * self.width + x];
            for (p, c) in pixel.iter_mut().zip(colour) {
                *p += alpha * (c - *p);
            }
        }
    }

    /// The width of a text in pixels.
    pub fn text_width(&self, text: &str, size: f32) -> f32 {
        let font = self.font.as_scaled(PxScale::from(size));
        text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum()
    }

    /// A line of text, its baseline at `at`.
    pub fn text(&mut self, text: &str, at: [f32; 2], size: f32, align: Align, colour: Colour) {
        let width = self.text_width(text, size);
        let shift = match align {
            Align::Left => 0.0,
            Align::Centre => 0.5 * width,
            Align::Right => width,
        };
        self.glyphs(text, size, |along, across| [at[0] - shift + along, at[1] + across], colour);
    }

    /// A line of text that reads upwards, centred at `at`.
    pub fn text_upwards(&mut self, text: &str, at: [f32; 2], size: f32, colour: Colour) {
        let half = 0.5 * self.text_width(text, size);
        self.glyphs(text, size, |along, across| [at[0] + across, at[1] + half - along], colour);
    }

    /// Draws glyphs; `place` puts a point (along the baseline, below it) on the picture.
    fn glyphs(&mut self, text: &str, size: f32, place: impl Fn(f32, f32) -> [f32; 2], colour: Colour) {
        let font = self.font.clone();
        let font = font.as_scaled(PxScale::from(size));
        let mut along = 0.0;
        let mut last = None;
        for id in text.chars().map(|c| font.glyph_id(c)) {
            along += last.map_or(0.0, |last| font.kern(last, id));
            last = Some(id);
            let glyph = id.with_scale_and_position(size, ab_glyph::point(along.round(), 0.0));
            along += font.h_advance(id);
            if let Some(outline) = font.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                outline.draw(|x, y, coverage| {
                    let [x, y] = place(corner.x + x as f32, corner.y + y as f32);
                    // A light face on a dark page looks thinner than it is.
                    self.blend(x.round() as usize, y.round() as usize, colour, coverage.min(1.0).powf(0.75));
                });
            }
        }
    }

    /// Writes target/pictures/<name>.png and says where.
    pub fn save(&self, name: &str) -> Result<PathBuf> {
        let folder = PathBuf::from("target/pictures");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(format!("{name}.png"));
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut encoder = png::Encoder::new(BufWriter::new(file), self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
        encoder.set_compression(png::Compression::Balanced);
        let bytes: Vec<u8> = self.pixels.iter().flatten().map(|c| (c.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
        encoder.write_header()?.write_image_data(&bytes)?;
        println!("picture: {}", path.display());
        Ok(path)
    }
}
