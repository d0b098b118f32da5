//! A store that is there already, and goes on.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use zarrs::metadata::NodeMetadata;

use super::{COLLECTIONS, Folder, Phase, Shape, Zarr, named, numbers};
use crate::{Error, Result};

impl Zarr {
    /// A store that an earlier run made, for one that was resumed from its checkpoint. Draws that were made after the checkpoint are taken
    /// off when the first collection begins, for they come again. With [`Collect::go_on`](crate::Collect::go_on) the store becomes that of
    /// a run which never was interrupted.
    ///
    /// # Errors
    /// [`Error::File`] where the store cannot be read, and [`Error::Format`] where it was not made by [`create`](Self::create). The
    /// collection then ends with [`Error::Format`] before its first step, where the store is of other chains, energy, kernel or seed, or
    /// lacks draws that were made before the checkpoint.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut folder = Folder { path: path.to_owned(), nodes: BTreeMap::new() };
        folder.read("")?;
        // The root is written anew from its members.
        folder.nodes.clear();
        let [mut posterior, mut warmup] = Phase::both();
        for phase in [&mut posterior, &mut warmup] {
            if path.join(phase.positions).join("zarr.json").exists() {
                phase.open(&mut folder)?;
            }
        }
        Ok(Self { folder, posterior, warmup })
    }
}

impl Folder {
    fn wrong(&self, why: impl Into<String>) -> Error {
        Error::Format { path: self.path.clone(), why: why.into() }
    }

    fn read_file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|source| Error::File { path, source })
    }

    /// The metadata of a node, which is then known.
    fn read(&mut self, name: &str) -> Result<Value> {
        let text = self.read_file(&Path::new(name).join("zarr.json").to_string_lossy())?;
        let foreign = |e: serde_json::Error| self.wrong(format!("is no store of ergodic: the metadata of `{name}`: {e}"));
        let node: NodeMetadata = serde_json::from_slice(&text).map_err(foreign)?;
        let value = serde_json::from_slice(&text).map_err(foreign)?;
        self.nodes.insert(name.into(), node);
        Ok(value)
    }
}

impl Phase {
    /// Knows the groups and arrays that are there, and when their draws were made.
    fn open(&mut self, folder: &mut Folder) -> Result<()> {
        let group = folder.read(self.positions)?;
        folder.read(self.stats)?;
        for (group, names) in [(self.positions, &["x", "chain", "draw", "x_dim_0"][..]), (self.stats, &["lp", "chain", "draw"])]
        {
            for name in names {
                folder.read(&format!("{group}/{name}"))?;
            }
        }
        let collections = group.pointer("/attributes").and_then(|a| a.get(COLLECTIONS)).and_then(Value::as_array);
        let whole: Option<Vec<u64>> = collections.and_then(|all| all.iter().map(Value::as_u64).collect());
        let (collections, rest) = whole.as_deref().unwrap_or_default().as_chunks();
        let is_rising = collections.is_sorted_by(|a: &[u64; 3], b| a[0] <= b[0]) && collections.iter().all(|c| c[2] > 0);
        if collections.first().is_none_or(|first| first[0] != 0) || !rest.is_empty() || !is_rising {
            return Err(folder.wrong("is no store of ergodic: it does not say at which steps its draws were made"));
        }
        self.collections = collections.to_vec();
        Ok(())
    }

    /// The step of a draw.
    fn step_of(&self, draw: u64) -> u64 {
        let collection = self.collections.iter().rev().find(|collection| collection[0] <= draw);
        collection.map_or(0, |&[first, step, thin]| step.saturating_add((draw - first).saturating_mul(thin)))
    }

    /// Goes on with a store that was opened: those of its draws stay that were made before the first one to come.
    pub(super) fn take_up(&mut self, folder: &mut Folder, shape: &Shape) -> Result<()> {
        let (chains, dim) = (shape.chains as u64, shape.dim as u64);
        let (x, lp) = (format!("{}/x", self.positions), format!("{}/lp", self.stats));
        let group = folder.read(self.positions)?;
        for (key, here) in [("energy", json!(shape.energy)), ("kernel", json!(shape.kernel)), ("seed", json!(shape.seed))] {
            let there = group.pointer("/attributes").and_then(|a| a.get(key)).unwrap_or(&Value::Null);
            if *there != here {
                return Err(folder.wrong(format!("is of another run: {key} is {there} in the store and {here} here")));
            }
        }
        let size = folder.read(&x)?.get("shape").cloned().unwrap_or_default();
        let ids = numbers((0..chains).map(|c| shape.first_chain + c * shape.rungs as u64));
        let is_same = size.get(0) == Some(&json!(chains)) && size.get(2) == Some(&json!(dim));
        if !is_same || folder.read_file(&format!("{}/chain/c.0", self.positions))? != ids {
            return Err(folder.wrong("is of another run: it has draws of other chains, or in another dimension"));
        }
        // Draws are written before the metadata tells of them.
        let is_whole = |name: String, bytes: u64| folder.path.join(name).metadata().is_ok_and(|file| file.len() == bytes);
        let is_there = |draw: u64| {
            is_whole(format!("{x}/c.0.{draw}.0"), 4 * chains * dim) && is_whole(format!("{lp}/c.0.{draw}"), 4 * chains)
        };
        self.draws = (0..).find(|&draw| self.step_of(draw) >= shape.first_step || !is_there(draw)).unwrap_or(0);
        if shape.goes_on && (self.draws == 0 || self.step_of(self.draws - 1) != shape.first_step - shape.thin) {
            let why = format!(
                "lacks draws that were made before the checkpoint: of those before step {} it has {}",
                shape.first_step, self.draws
            );
            return Err(folder.wrong(why));
        }
        for draw in self.draws.. {
            let gone = [format!("{x}/c.0.{draw}.0"), format!("{lp}/c.0.{draw}")].map(|name| folder.path.join(name));
            if gone.iter().all(|path| !path.exists()) {
                break;
            }
            for path in gone.iter().filter(|path| path.exists()) {
                named(path, fs::remove_file(path))?;
            }
        }
        self.collections.retain(|collection| collection[0] < self.draws);
        self.shape = Some(shape.clone());
        // Of no draws so far, so that all are told of.
        self.told.0 = 0;
        self.tell_all(folder)
    }
}
