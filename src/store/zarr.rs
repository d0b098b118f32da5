//! Draws in a Zarr v3 store, which ArviZ, xarray and zarr-python open.

mod reopen;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use zarrs::{
    array::{ArrayBuilder, codec::TransposeCodec, data_type},
    metadata::{
        ChunkKeySeparator, NodeMetadata,
        v3::{AdditionalFieldV3, GroupMetadataV3},
    },
    metadata_ext::{
        codec::transpose::TransposeOrder,
        group::consolidated_metadata::{ConsolidatedMetadata, ConsolidatedMetadataKind},
    },
};

use super::{Draw, Shape, Sink, bytes_of};
use crate::{Error, Result};

/// Draw numbers in a chunk of the coordinate `draw`.
const NUMBERS: u64 = 4096;
/// The attribute of a group of positions that says which draws were made when: three whole numbers a collection, its first draw, the
/// steps that chains had done then, and the steps from draw to draw.
const COLLECTIONS: &str = "collections";
/// How often the metadata is told of new draws.
const TOLD_EVERY: Duration = Duration::from_millis(100);

/// A Zarr v3 store of the groups `posterior` and `sample_stats`, and, by [`warmup`](Self::warmup), `warmup_posterior` and
/// `warmup_sample_stats`.
///
/// `posterior/x` are the positions in f32 with the dimensions (chain, draw, x_dim_0), `sample_stats/lp` the log density −E(x)/T;
/// `chain` holds the global ids of the chains. A chunk is one draw of all stored chains, uncompressed, in the order in which
/// draws are handed out (dim, chain), which the codec `transpose` tells the reader. Metadata is consolidated.
///
/// Every tenth of a second, and at the end, the metadata says how many draws there are, so a reader sees whole draws at any time, also
/// of a run that was cancelled or failed; of one that crashed, all but those of the last moment. Metadata files are replaced as a whole.
/// [`open`](Zarr::open) goes on with the store of a run that was interrupted.
/// Nothing is flushed to the disk by force: when the machine itself goes down, draws of the last seconds may be lost.
///
/// In Python, with ArviZ 1.0 or later: `arviz.from_zarr(path)`. ArviZ 0.x reads Zarr v3 by way of xarray:
/// `arviz.InferenceData.from_datatree(xarray.open_datatree(path, engine="zarr"))`.
///
/// Source: the Zarr v3 core specification; the InferenceData schema of ArviZ.
#[derive(Debug)]
pub struct Zarr {
    folder: Folder,
    posterior: Phase,
    warmup: Phase,
}

/// Groups and arrays in a folder.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// The metadata of all of them but the root.
    nodes: BTreeMap<String, NodeMetadata>,
}

/// The groups of one phase of a run.
#[derive(Debug)]
struct Phase {
    positions: &'static str,
    stats: &'static str,
    draws: u64,
    /// Draws that the metadata tells of, and when it was told.
    told: (u64, Instant),
    /// What the draws are, but for those of a store that was opened and has got no more yet.
    shape: Option<Shape>,
    /// First draw, its step, and the steps from draw to draw, of each collection.
    collections: Vec<[u64; 3]>,
}

impl Zarr {
    /// A new store, in a folder that does not exist yet. Another collection of the same chains adds to it.
    ///
    /// # Errors
    /// [`Error::Write`] where there is something of that name, or the folder cannot be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        named(&path, fs::create_dir(&path))?;
        let folder = Folder { path, nodes: BTreeMap::new() };
        folder.write_root()?;
        let [posterior, warmup] = Phase::both();
        Ok(Self { folder, posterior, warmup })
    }

    /// A sink for draws of the warm-up, which go into `warmup_posterior` and `warmup_sample_stats`.
    pub fn warmup(&mut self) -> WarmupPosterior<'_> {
        WarmupPosterior(self)
    }
}

impl Phase {
    /// Of a store without draws.
    fn both() -> [Self; 2] {
        let phase = |positions, stats| Self {
            positions,
            stats,
            draws: 0,
            told: (0, Instant::now()),
            shape: None,
            collections: Vec::new(),
        };
        [phase("posterior", "sample_stats"), phase("warmup_posterior", "warmup_sample_stats")]
    }

    /// Makes the groups and arrays, or checks that the draws to come fit those that are there.
    fn begin(&mut self, folder: &mut Folder, shape: &Shape) -> Result<()> {
        self.make(folder, shape)?;
        self.collections.push([self.draws, shape.first_step, shape.thin]);
        folder.set_attribute(self.positions, COLLECTIONS, json!(self.collections.concat()))?;
        folder.write_root()
    }

    fn make(&mut self, folder: &mut Folder, shape: &Shape) -> Result<()> {
        if folder.nodes.contains_key(self.positions) && self.shape.is_none() {
            self.take_up(folder, shape)?;
        }
        if let Some(before) = &self.shape {
            let same = (before.dim, before.chains, before.first_chain) == (shape.dim, shape.chains, shape.first_chain);
            let values = |shape: &Shape| shape.dim * shape.chains;
            let what = || format!("values a draw, of the same chains as those in {} already", folder.path.display());
            return if same { Ok(()) } else { Err(Error::shape(what(), values(before), values(shape))) };
        }
        let (chains, dim) = (shape.chains as u64, shape.dim as u64);
        folder.add_group(self.positions, shape)?;
        folder.add_group(self.stats, shape)?;
        for (group, values) in [(self.positions, "x"), (self.stats, "lp")] {
            let mut builder = ArrayBuilder::new(vec![chains, 0], vec![chains, 1], data_type::float32(), f32::NAN);
            builder.dimension_names(Some(["chain", "draw"]));
            if values == "x" {
                builder = ArrayBuilder::new(vec![chains, 0, dim], vec![chains, 1, dim], data_type::float32(), f32::NAN);
                let order = TransposeOrder::new(&[1, 2, 0]).map_err(|e| folder.unwritten(e))?;
                builder.array_to_array_codecs(vec![Arc::new(TransposeCodec::new(order))]);
                builder.dimension_names(Some(["chain", "draw", "x_dim_0"]));
            }
            folder.add_array(group, values, &mut builder)?;
            folder.add_numbers(group, "chain", (0..chains).map(|c| shape.first_chain + c * shape.rungs as u64))?;
            let mut numbers = ArrayBuilder::new(vec![0], vec![NUMBERS], data_type::int64(), 0i64);
            folder.add_array(group, "draw", numbers.dimension_names(Some(["draw"])))?;
        }
        folder.add_numbers(self.positions, "x_dim_0", 0..dim)?;
        self.shape = Some(shape.clone());
        Ok(())
    }

    /// Writes draws, and from time to time that they are there.
    fn write(&mut self, folder: &mut Folder, draws: &[Draw<'_>]) -> Result<()> {
        let (x, lp) = (folder.path.join(self.positions).join("x"), folder.path.join(self.stats).join("lp"));
        let numbered = || draws.iter().zip(self.draws..);
        // A thread a folder: two that made files in the same one would wait for each other, and spin while they do.
        let positions = || {
            let mut numbered = numbered();
            numbered.try_for_each(|(draw, number)| write(&x.join(format!("c.0.{number}.0")), &bytes_of(draw.positions)))
        };
        let log_densities = || {
            numbered().try_for_each(|(draw, number)| {
                let values: Vec<_> = draw.energies.iter().map(|&e| (-f64::from(e) / draw.temperature) as f32).collect();
                write(&lp.join(format!("c.0.{number}")), &bytes_of(&values))
            })
        };
        let (positions, log_densities) = rayon::join(positions, log_densities);
        positions.and(log_densities)?;
        self.draws += draws.len() as u64;
        if self.told.1.elapsed() < TOLD_EVERY { Ok(()) } else { self.tell(folder) }
    }

    /// Writes how many draws there are.
    fn tell(&mut self, folder: &mut Folder) -> Result<()> {
        if self.draws > self.told.0 { self.tell_all(folder) } else { Ok(()) }
    }

    fn tell_all(&mut self, folder: &mut Folder) -> Result<()> {
        let (count, told) = (self.draws, self.told.0);
        let Some(shape) = self.shape.as_ref() else { return Ok(()) };
        let (chains, dim) = (shape.chains as u64, shape.dim as u64);
        for (group, values) in [(self.positions, "x"), (self.stats, "lp")] {
            for chunk in told / NUMBERS..count.div_ceil(NUMBERS) {
                let first = chunk * NUMBERS;
                let path = folder.path.join(group).join("draw").join(format!("c.{chunk}"));
                write(&path, &numbers(first..first + NUMBERS))?;
            }
            let shape_of_values = if values == "x" { vec![chains, count, dim] } else { vec![chains, count] };
            folder.reshape(&format!("{group}/{values}"), shape_of_values)?;
            folder.reshape(&format!("{group}/draw"), vec![count])?;
        }
        folder.write_root()?;
        self.told = (count, Instant::now());
        Ok(())
    }
}

impl Folder {
    fn add_group(&mut self, name: &str, shape: &Shape) -> Result<()> {
        let mut metadata = GroupMetadataV3::default();
        for (key, value) in [
            ("inference_library", json!(env!("CARGO_PKG_NAME"))),
            ("inference_library_version", json!(env!("CARGO_PKG_VERSION"))),
            ("energy", json!(shape.energy)),
            ("kernel", json!(shape.kernel)),
            ("seed", json!(shape.seed)),
            ("thin", json!(shape.thin)),
        ] {
            metadata.attributes.insert(key.into(), value);
        }
        self.add_node(name, NodeMetadata::Group(metadata.into()))
    }

    fn add_array(&mut self, group: &str, name: &str, builder: &mut ArrayBuilder) -> Result<()> {
        // No folder for each chunk.
        builder.chunk_key_encoding_default_separator(ChunkKeySeparator::Dot);
        let metadata = builder.build_metadata().map_err(|e| self.unwritten(e))?;
        self.add_node(&format!("{group}/{name}"), NodeMetadata::Array(metadata.into()))
    }

    /// An array of integers with a dimension of its own name.
    fn add_numbers(&mut self, group: &str, name: &str, values: impl Iterator<Item = u64>) -> Result<()> {
        let values: Vec<_> = values.collect();
        let count = values.len() as u64;
        let mut builder = ArrayBuilder::new(vec![count], vec![count], data_type::int64(), 0i64);
        self.add_array(group, name, builder.dimension_names(Some([name])))?;
        write(&self.path.join(group).join(name).join("c.0"), &numbers(values))
    }

    fn add_node(&mut self, name: &str, metadata: NodeMetadata) -> Result<()> {
        let folder = self.path.join(name);
        named(&folder, fs::create_dir(&folder))?;
        self.nodes.insert(name.into(), metadata);
        self.write_node(name)
    }

    fn set_attribute(&mut self, group: &str, key: &str, value: Value) -> Result<()> {
        if let Some(NodeMetadata::Group(zarrs::group::GroupMetadata::V3(metadata))) = self.nodes.get_mut(group) {
            metadata.attributes.insert(key.into(), value);
        }
        self.write_node(group)
    }

    fn reshape(&mut self, name: &str, shape: Vec<u64>) -> Result<()> {
        if let Some(NodeMetadata::Array(zarrs::array::ArrayMetadata::V3(metadata))) = self.nodes.get_mut(name) {
            metadata.shape = shape;
        }
        self.write_node(name)
    }

    fn write_node(&self, name: &str) -> Result<()> {
        self.write_json(&self.path.join(name), &self.nodes[name])
    }

    /// The root, with the metadata of all nodes in it.
    fn write_root(&self) -> Result<()> {
        let metadata = self.nodes.iter().map(|(name, node)| (name.clone(), node.clone())).collect();
        let all = ConsolidatedMetadata { metadata, kind: ConsolidatedMetadataKind::Inline };
        let mut root = GroupMetadataV3::default();
        root.additional_fields.insert("consolidated_metadata".into(), AdditionalFieldV3::new(all, false));
        let mut root = serde_json::to_value(&root).map_err(|e| self.unwritten(e))?;
        // A group before what is in it: zarr-python 3.1 does not find the members of a group that it has not seen yet.
        if let Some(Value::Object(nodes)) = root.pointer_mut("/consolidated_metadata/metadata") {
            let sorted: BTreeMap<_, _> = std::mem::take(nodes).into_iter().collect();
            nodes.extend(sorted);
        }
        self.write_json(&self.path, &root)
    }

    /// Replaces the metadata in a folder as a whole.
    fn write_json(&self, folder: &Path, metadata: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_vec_pretty(metadata).map_err(|e| self.unwritten(e))?;
        let (new, path) = (folder.join("zarr.json.new"), folder.join("zarr.json"));
        write(&new, &text)?;
        named(&path, fs::rename(&new, &path))
    }

    fn unwritten(&self, e: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Write { path: self.path.clone(), source: std::io::Error::other(e) }
    }
}

/// Consecutive integers as i64, little end first.
fn numbers(values: impl IntoIterator<Item = u64>) -> Vec<u8> {
    values.into_iter().flat_map(|value| (value as i64).to_le_bytes()).collect()
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    named(path, fs::write(path, bytes))
}

fn named<T>(path: &Path, result: std::io::Result<T>) -> Result<T> {
    result.map_err(|source| Error::Write { path: path.to_owned(), source })
}

impl Sink for Zarr {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        self.posterior.begin(&mut self.folder, shape)
    }

    fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
        self.posterior.write(&mut self.folder, draws)
    }

    fn end(&mut self) -> Result<()> {
        self.posterior.tell(&mut self.folder)
    }
}

/// Takes draws of the warm-up: see [`Zarr::warmup`].
#[derive(Debug)]
pub struct WarmupPosterior<'a>(&'a mut Zarr);

impl Sink for WarmupPosterior<'_> {
    fn begin(&mut self, shape: &Shape) -> Result<()> {
        self.0.warmup.begin(&mut self.0.folder, shape)
    }

    fn write(&mut self, draws: &[Draw<'_>]) -> Result<()> {
        self.0.warmup.write(&mut self.0.folder, draws)
    }

    fn end(&mut self) -> Result<()> {
        self.0.warmup.tell(&mut self.0.folder)
    }
}
