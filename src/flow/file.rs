//! Flows and their training in safetensors files: what is needed to go on, bit for bit.

use std::{path::Path, sync::Arc};

use super::{Adversarial, Adversary, Contrast, Contrastive, Flow, Likelihood, Training, Variational, adam::Adam};
use crate::{
    Backend, Error, Result,
    energy::Energy,
    store::sealed::{Draft, Sealed, Why},
    train::Trainable,
};

/// The key of the header's text, which says what the file holds.
const KEY: &str = "ergodic_flow";

/// Parameters in training.
type Learned<'a> = (&'a [f32], &'a Adam);

/// What a file holds.
struct Saved {
    flow: Flow,
    /// Of training: the flow's optimiser and the updates.
    training: Option<(Adam, u64)>,
    energy: Option<(Vec<f32>, Adam)>,
}

/// The tensors of a flow by name: `layers.<l>.hidden.weight`, …
fn tensors(flow: &Flow) -> impl Iterator<Item = (String, Vec<usize>, std::ops::Range<usize>)> {
    flow.layers.iter().enumerate().flat_map(|(l, layer)| {
        let (kept, outputs, hidden) = (layer.kept.len(), 2 * layer.moved.len(), layer.hidden);
        let shapes = [vec![hidden, kept], vec![hidden], vec![outputs, hidden], vec![outputs, kept], vec![outputs]];
        let mut at = layer.at;
        ["hidden.weight", "hidden.bias", "out.weight", "skip.weight", "out.bias"].into_iter().zip(shapes).map(
            move |(name, shape)| {
                let begin = at;
                at += shape.iter().product::<usize>();
                (format!("layers.{l}.{name}"), shape, begin..at)
            },
        )
    })
}

fn write(path: &Path, kind: &str, flow: &Flow, training: Option<(&Adam, u64)>, energy: Option<Learned<'_>>) -> Result<()> {
    let mut draft = Draft::default();
    draft.put("shape", &[3], [flow.dim, flow.layers.len(), flow.hidden].map(|n| n as u64).to_vec());
    for (name, shape, range) in tensors(flow) {
        draft.put(&name, &shape, &flow.params[range]);
    }
    let adams = [("adam", training.map(|(adam, _)| adam)), ("energy.adam", energy.map(|(_, adam)| adam))];
    for (name, adam) in adams.into_iter().filter_map(|(name, adam)| Some((name, adam?))) {
        for (moment, values) in [("first", &adam.first), ("second", &adam.second)] {
            draft.put(&format!("{name}.{moment}"), &[values.len()], values);
        }
    }
    if let Some((_, updates)) = training {
        draft.put("updates", &[1], vec![updates]);
    }
    if let Some((params, _)) = energy {
        draft.put("energy.params", &[params.len()], params);
    }
    draft.write(path, KEY, kind.into()).map_err(|why| error(path, why))
}

/// Reads a file of this kind, with the energy's so many parameters.
fn read(path: &Path, kind: &str, energy: Option<usize>) -> Result<Saved> {
    open(path, kind, energy).map_err(|why| error(path, why))
}

fn open(path: &Path, kind: &str, energy: Option<usize>) -> Why<Saved> {
    let mut file = Sealed::open(path)?;
    match file.text(KEY) {
        Some(found) if found == kind => {}
        found => return Err(format!("holds {}, not {kind}", found.unwrap_or("no flow"))),
    }
    let shape = file.take::<u64>("shape", &[3])?;
    let wrong = |e: Error| format!("holds a flow that cannot be: {e}");
    // A damaged shape would ask for much memory; so many parameters the file must have.
    let layers = super::shape(shape[0] as usize, shape[1] as usize, shape[2] as usize).map_err(wrong)?;
    let count = layers.iter().map(|layer| layer.params()).sum();
    let mut flow = Flow { dim: shape[0] as usize, hidden: shape[2] as usize, layers, params: Vec::new() };
    let mut params = Vec::new();
    for (name, shape, _) in tensors(&flow) {
        params.extend(file.take::<f32>(&name, &shape)?);
    }
    flow.params = vec![0.0; count];
    flow.set_params(&params).map_err(wrong)?;
    let training = match kind {
        FLOW => None,
        _ => Some((moments(&mut file, "adam", count)?, file.take::<u64>("updates", &[1])?[0])),
    };
    let energy = match energy {
        None => None,
        Some(count) => Some((file.take::<f32>("energy.params", &[count])?, moments(&mut file, "energy.adam", count)?)),
    };
    Ok(Saved { flow, training, energy })
}

fn moments(file: &mut Sealed, name: &str, count: usize) -> Why<Adam> {
    let mut take = |moment: &str| file.take::<f64>(&format!("{name}.{moment}"), &[count]);
    Ok(Adam { first: take("first")?, second: take("second")? })
}

fn error(path: &Path, why: String) -> Error {
    Error::Checkpoint { path: path.into(), why }
}

const FLOW: &str = "flow 1";
const LIKELIHOOD: &str = "flow by likelihood 1";
const VARIATIONAL: &str = "flow by free energy 1";
const CONTRASTIVE: &str = "flow-contrastive estimation 1";
const ADVERSARIAL: &str = "adversarial training 1";

impl Flow {
    /// Writes the flow as safetensors: of layer l `layers.<l>.hidden.weight` `[hidden][kept]`, `.hidden.bias`, `.out.weight`
    /// `[2 moved][hidden]`, `.skip.weight` `[2 moved][kept]`, `.out.bias`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), FLOW, self, None, None)
    }

    /// Reads a flow that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be read, is damaged, or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(read(path.as_ref(), FLOW, None)?.flow)
    }
}

impl Likelihood {
    /// Writes the flow and the state of its training: [`resume`](Self::resume) goes on with the same bits.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), LIKELIHOOD, &self.flow, Some((&self.adam, self.updates)), None)
    }

    /// Goes on from a file, with the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Checkpoint`] where the file cannot be read, is damaged, or holds something else.
    pub fn resume(path: impl AsRef<Path>, settings: Training) -> Result<Self> {
        let saved = read(path.as_ref(), LIKELIHOOD, None)?;
        let mut trainer = Self::new(saved.flow, settings)?;
        saved.training.into_iter().for_each(|(adam, updates)| (trainer.adam, trainer.updates) = (adam, updates));
        Ok(trainer)
    }
}

impl Variational {
    /// As [`Likelihood::save`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), VARIATIONAL, &self.flow, Some((&self.adam, self.updates)), None)
    }

    /// Goes on from a file, with the energy and the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Checkpoint`] where the file cannot be read, is damaged, or holds something else.
    pub fn resume(path: impl AsRef<Path>, energy: impl Energy + 'static, settings: Training) -> Result<Self> {
        let saved = read(path.as_ref(), VARIATIONAL, None)?;
        let mut trainer = Self::new(energy, saved.flow, settings)?;
        saved.training.into_iter().for_each(|(adam, updates)| (trainer.adam, trainer.updates) = (adam, updates));
        Ok(trainer)
    }
}

impl Contrastive {
    /// As [`Likelihood::save`], with the energy's parameters and c.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (training, energy) = ((&self.flow_adam, self.updates), (self.params.as_slice(), &self.energy_adam));
        write(path.as_ref(), CONTRASTIVE, &self.flow, Some(training), Some(energy))
    }

    /// Goes on from a file, with an energy of the same form and the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Checkpoint`] where the file cannot be read, is damaged, or holds something else.
    pub fn resume(path: impl AsRef<Path>, backend: &Backend, energy: Arc<dyn Trainable>, settings: Contrast) -> Result<Self> {
        let saved = read(path.as_ref(), CONTRASTIVE, Some(energy.params().len() + 1))?;
        let mut trainer = Self::new(backend, energy, 0.0, saved.flow, settings)?;
        saved.training.into_iter().for_each(|(adam, updates)| (trainer.flow_adam, trainer.updates) = (adam, updates));
        saved.energy.into_iter().for_each(|(params, adam)| (trainer.params, trainer.energy_adam) = (params, adam));
        Ok(trainer)
    }
}

impl Adversarial {
    /// As [`Likelihood::save`], with the energy's parameters.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (training, energy) = ((&self.flow_adam, self.updates), (self.params.as_slice(), &self.energy_adam));
        write(path.as_ref(), ADVERSARIAL, &self.flow, Some(training), Some(energy))
    }

    /// Goes on from a file, with an energy of the same form and the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Checkpoint`] where the file cannot be read, is damaged, or holds something else.
    pub fn resume(path: impl AsRef<Path>, backend: &Backend, energy: Arc<dyn Trainable>, settings: Adversary) -> Result<Self> {
        let saved = read(path.as_ref(), ADVERSARIAL, Some(energy.params().len()))?;
        let mut trainer = Self::new(backend, energy, saved.flow, settings)?;
        saved.training.into_iter().for_each(|(adam, updates)| (trainer.flow_adam, trainer.updates) = (adam, updates));
        saved.energy.into_iter().for_each(|(params, adam)| (trainer.params, trainer.energy_adam) = (params, adam));
        Ok(trainer)
    }
}
