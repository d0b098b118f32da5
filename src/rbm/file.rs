//! Machines and checkpoints as safetensors: W `[visible][hidden]`, a, b, and sd where visible units are Gaussian; a checkpoint holds
//! what training needs besides.

use std::{collections::HashMap, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{Rbm, Trainer, Training, train::Step};
use crate::{Error, Result};

const FORMAT: &str = "ergodic rbm checkpoint 2";

impl Rbm {
    /// Writes W, a and b as f32, and sd where visible units are Gaussian.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), &self.tensors(), None)
    }

    /// Reads W (`[visible][hidden]`), a and b, in f32 or f64 (rounded to f32); with a tensor sd, visible units are Gaussian. From PyTorch:
    /// `safetensors.torch.save_file({"W": W, "a": a, "b": b}, path)`; a weight of `nn.Linear` is transposed, so there W is
    /// `linear.weight.T.contiguous()`.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Format`] where it is no safetensors file, lacks a tensor, or holds one of
    /// another type or shape; [`Error::Setting`] where a parameter is not finite.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read(path)?;
        File::new(path, &bytes)?.rbm()
    }

    fn tensors(&self) -> Vec<(&'static str, Vec<usize>, &[f32])> {
        let mut tensors: Vec<(_, _, &[f32])> = vec![
            ("W", vec![self.visible, self.hidden], &self.weights),
            ("a", vec![self.visible], &self.visible_bias),
            ("b", vec![self.hidden], &self.hidden_bias),
        ];
        tensors.extend(self.sds.as_ref().map(|sds| ("sd", vec![self.visible], sds.as_slice())));
        tensors
    }
}

impl Trainer {
    /// Writes the machine, the last step, the persistent chains and the counters: [`resume`](Self::resume) goes on bit for bit.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut tensors = self.rbm.tensors();
        let (visible, hidden) = (self.rbm.visible, self.rbm.hidden);
        tensors.push(("step.W", vec![visible, hidden], &self.step.weights));
        tensors.push(("step.a", vec![visible], &self.step.visible_bias));
        tensors.push(("step.b", vec![hidden], &self.step.hidden_bias));
        let [chains, levels] = self.settings.negative.persistent();
        tensors.push(("chains", vec![chains, levels, visible], &self.chains));
        let counters = [("format", FORMAT.into()), ("epochs", self.epochs.to_string()), ("drawn", self.drawn.to_string())];
        write(path.as_ref(), &tensors, Some(counters.map(|(name, value)| (name.into(), value)).into()))
    }

    /// Goes on from a checkpoint, with the settings it was trained with.
    ///
    /// # Errors
    /// As [`Rbm::load`]; [`Error::Format`] where the file is no checkpoint, or one with another number of chains.
    pub fn resume(path: impl AsRef<Path>, settings: Training) -> Result<Self> {
        let path = path.as_ref();
        let bytes = read(path)?;
        let file = File::new(path, &bytes)?;
        if file.metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(file.error(format!("is no checkpoint of training (its metadata lack format = {FORMAT})")));
        }
        let counter = |name: &str| {
            let value = file.metadata.get(name).and_then(|value| value.parse().ok());
            value.ok_or_else(|| file.error(format!("lacks the counter {name}")))
        };
        let mut trainer = Self::new(file.rbm()?, settings)?;
        let (visible, hidden) = (trainer.rbm.visible, trainer.rbm.hidden);
        let [chains, levels] = trainer.settings.negative.persistent();
        trainer.step = Step {
            weights: file.values("step.W", &[visible, hidden])?,
            visible_bias: file.values("step.a", &[visible])?,
            hidden_bias: file.values("step.b", &[hidden])?,
        };
        trainer.chains = file.values("chains", &[chains, levels, visible])?;
        trainer.epochs = counter("epochs")?;
        trainer.drawn = counter("drawn")?;
        Ok(trainer)
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })
}

/// Writes beside the file and then renames, so that a crash leaves the old one.
fn write(path: &Path, tensors: &[(&str, Vec<usize>, &[f32])], metadata: Option<HashMap<String, String>>) -> Result<()> {
    let fail = |source: std::io::Error| Error::File { path: path.into(), source };
    let other = |e: safetensors::SafeTensorError| fail(std::io::Error::other(e.to_string()));
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views: Result<Vec<_>, _> = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect();
    let text = safetensors::serialize(views.map_err(other)?, metadata).map_err(other)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path)).map_err(fail)
}

struct File<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
    metadata: HashMap<String, String>,
}

impl<'a> File<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let wrong = |e: safetensors::SafeTensorError| format(path, format!("is no whole safetensors file: {e}"));
        let tensors = SafeTensors::deserialize(bytes).map_err(wrong)?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(wrong)?;
        let metadata = metadata.metadata().clone().unwrap_or_default();
        Ok(Self { path, tensors, metadata })
    }

    fn error(&self, why: String) -> Error {
        format(self.path, why)
    }

    fn rbm(&self) -> Result<Rbm> {
        let shape = self.tensors.tensor("W").map(|w| w.shape().to_vec());
        let shape = shape.map_err(|_| self.error(format!("has no tensor W; it has {:?}", self.tensors.names())))?;
        let &[visible, hidden] = shape.as_slice() else {
            return Err(self.error(format!("holds W of shape {shape:?}, not [visible, hidden]")));
        };
        let length = |name| self.tensors.tensor(name).ok().map(|tensor| tensor.shape().to_vec());
        if visible != hidden && length("a") == Some(vec![hidden]) && length("b") == Some(vec![visible]) {
            let why = "is [hidden, visible], by the lengths of a and b: save W.T.contiguous(), [visible, hidden]";
            return Err(self.error(format!("holds W of shape {shape:?}, which {why}")));
        }
        let (w, a, b) = (self.values("W", &shape)?, self.values("a", &[visible])?, self.values("b", &[hidden])?);
        match self.tensors.tensor("sd") {
            Ok(_) => Rbm::gaussian(w, a, b, self.values("sd", &[visible])?),
            Err(_) => Rbm::new(w, a, b),
        }
    }

    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensors.tensor(name).map_err(|_| self.error(format!("has no tensor {name}")))?;
        if tensor.shape() != shape {
            return Err(self.error(format!("holds {name} of shape {:?}, not {shape:?}", tensor.shape())));
        }
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => Ok(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()),
            Dtype::F64 => Ok(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32).collect()),
            other => Err(self.error(format!("holds {name} as {other:?}, not F32 or F64"))),
        }
    }
}

fn format(path: &Path, why: String) -> Error {
    Error::Format { path: path.into(), why }
}
