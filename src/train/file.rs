//! Trainers as safetensors: the parameters by their names, as PyTorch reads them, and what training needs besides.
//!
//! Of each block a tensor in f32; `state.*` and the two states to go back to, `good.0.*` and `good.1.*`: parameters (with c), the
//! optimiser's two means and the moving average in f64, and the slots of the chains in f32.

use std::{collections::HashMap, path::Path, sync::Arc};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use super::{Trainable, Trainer, Training, optimizer::Memory, trainer::State};
use crate::{Backend, Error, Result};

const FORMAT: &str = "ergodic training 1";

/// A tensor: type, shape, bytes.
type Tensor = (Dtype, Vec<usize>, Vec<u8>);

fn wide(values: &[f64]) -> Tensor {
    (Dtype::F64, vec![values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

fn narrow(values: &[f32], shape: Vec<usize>) -> Tensor {
    (Dtype::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

impl Trainer {
    /// Writes parameters, optimiser, moving average, slots of chains and counters: [`resume`](Self::resume) goes on bit for bit.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        let (params, mut at) = (self.params(), 0);
        for block in self.target.blocks() {
            let end = at + block.count();
            tensors.push((block.name, narrow(&params[at..end], block.shape)));
            at = end;
        }
        let mut metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("energy".into(), self.target.name()),
            ("updates".into(), self.updates.to_string()),
            ("rollbacks".into(), self.rollbacks.to_string()),
            ("chain_steps".into(), self.chain_steps.to_string()),
        ]);
        for (name, state) in [("state", &self.state), ("good.0", &self.good[0]), ("good.1", &self.good[1])] {
            tensors.push((format!("{name}.params"), wide(&state.params)));
            tensors.push((format!("{name}.first"), wide(&state.memory.first)));
            tensors.push((format!("{name}.second"), wide(&state.memory.second)));
            tensors.push((format!("{name}.average"), wide(&state.average)));
            tensors.push((format!("{name}.slots"), narrow(&state.slots, vec![state.slots.len()])));
            metadata.insert(format!("{name}.steps"), state.memory.steps.to_string());
        }
        write(path, &tensors, metadata).map_err(|source| Error::Write { path: path.into(), source })
    }

    /// Goes on from a file that [`save`](Self::save) wrote, with the energy (its parameters are replaced) and the settings of that run.
    /// On the same device what follows has the same bits as in a run that was never interrupted.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or of another run; and as
    /// [`new`](Self::new).
    pub fn resume(backend: &Backend, target: Arc<dyn Trainable>, training: Training, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
        let mut trainer = Self::new(backend, target, training)?;
        trainer.read(&bytes).map_err(|why| Error::Format { path: path.into(), why })?;
        Ok(trainer)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), String> {
        let damaged = |e: safetensors::SafeTensorError| format!("is no whole safetensors file: {e}");
        let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("format").map(String::as_str) != Some(FORMAT) {
            return Err(format!("is no file of training (its metadata lack format = {FORMAT})"));
        }
        let counter = |name: &str| -> Result<u64, String> {
            metadata.get(name).and_then(|value| value.parse().ok()).ok_or_else(|| format!("lacks the counter {name}"))
        };
        let params = self.state.params.len();
        let average = self.state.average.len();
        let state = |name: &str| -> Result<State, String> {
            let values = |of: &str, expected: Option<usize>| take(&file, &format!("{name}.{of}"), expected);
            let slots = values("slots", None)?;
            Ok(State {
                params: values("params", Some(params))?,
                memory: Memory {
                    first: values("first", Some(params))?,
                    second: values("second", Some(params))?,
                    steps: counter(&format!("{name}.steps"))?,
                },
                average: values("average", Some(average))?,
                slots: slots.into_iter().map(|x| x as f32).collect(),
            })
        };
        let (now, good) = (state("state")?, [state("good.0")?, state("good.1")?]);
        (self.updates, self.chain_steps) = (counter("updates")?, counter("chain_steps")?);
        self.rollbacks = counter("rollbacks")? as u32;
        (self.state, self.good) = (now, good);
        Ok(())
    }
}

/// Parameters of an energy from a file that [`Trainer::save`] or PyTorch wrote: a tensor a block, of its name and shape, in f32 or f64.
///
/// # Errors
/// [`Error::File`] where the file cannot be read; [`Error::Format`] where a tensor is missing or has another shape; and as
/// [`Trainable::with_params`].
pub fn load(target: &dyn Trainable, path: impl AsRef<Path>) -> Result<Arc<dyn Trainable>> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|source| Error::File { path: path.into(), source })?;
    let wrong = |why: String| Error::Format { path: path.into(), why };
    let file = SafeTensors::deserialize(&bytes).map_err(|e| wrong(format!("is no whole safetensors file: {e}")))?;
    let mut params = Vec::new();
    for block in target.blocks() {
        let values = take(&file, &block.name, Some(block.count())).map_err(wrong)?;
        let shape = file.tensor(&block.name).map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
        if shape != block.shape {
            return Err(wrong(format!("holds {} of shape {shape:?}, not {:?}", block.name, block.shape)));
        }
        params.extend(values.into_iter().map(|p| p as f32));
    }
    target.with_params(&params)
}

/// The values of a tensor of f32 or f64.
fn take(file: &SafeTensors<'_>, name: &str, expected: Option<usize>) -> Result<Vec<f64>, String> {
    let tensor = file.tensor(name).map_err(|_| format!("has no tensor {name}"))?;
    let bytes = tensor.data();
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F32 => bytes.as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        other => return Err(format!("holds {name} as {other:?}, not F32 or F64")),
    };
    match expected {
        Some(expected) if values.len() != expected => {
            Err(format!("holds {} numbers of {name}, not {expected}: it is of another run", values.len()))
        }
        _ if values.iter().any(|v| !v.is_finite()) => Err(format!("holds a number of {name} that is not finite")),
        _ => Ok(values),
    }
}

/// Writes beside the file and then renames, so that a crash leaves the old one.
fn write(path: &Path, tensors: &[(String, Tensor)], metadata: HashMap<String, String>) -> std::io::Result<()> {
    let other = |e: safetensors::SafeTensorError| std::io::Error::other(e.to_string());
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(other)?;
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(other)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, &bytes)?;
    file.persist(path).map_err(|e| e.error).map(drop)
}
