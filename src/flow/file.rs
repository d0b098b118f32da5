//! Flows and their training in safetensors files: what is needed to go on, bit for bit.

use std::{path::Path, sync::Arc};

use super::{Adversarial, Adversary, Contrast, Contrastive, Flow, Likelihood, Training, Variational, pair::Pair};
use crate::{
    Backend, Error, Result,
    energy::Energy,
    settings::{Settings, settings},
    tensors::{Draft, Tensors},
    train::{Memory, Trainable},
};

/// The key of the header's text, which says what the file holds.
const KEY: &str = "ergodic_flow";

/// What a file holds.
struct Saved {
    flow: Flow,
    /// Of training: what the flow's optimiser remembers.
    memory: Option<Memory>,
    pair: Option<SavedPair>,
}

/// The energy's parameters and what its optimiser remembers; the parameters of the flow that it corrects.
struct SavedPair {
    params: Vec<f32>,
    memory: Memory,
    base: Option<Vec<f32>>,
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

/// The settings and the optimiser's memory are those of training, where it is in training.
fn write(path: &Path, kind: &str, flow: &Flow, training: Option<(&Settings, &Memory)>, pair: Option<&Pair>) -> Result<()> {
    let mut draft = Draft::default();
    draft.put("shape", &[3], [flow.dim, flow.layers.len(), flow.hidden].map(|n| n as u64).to_vec());
    for (name, shape, range) in tensors(flow) {
        draft.put(name, &shape, &flow.params[range]);
    }
    let memories =
        [("adam", training.map(|(_, memory)| memory)), ("energy.adam", pair.map(|pair| &pair.energy_descent.memory))];
    for (name, memory) in memories.into_iter().filter_map(|(name, memory)| Some((name, memory?))) {
        for (moment, values) in [("first", &memory.first), ("second", &memory.second)] {
            draft.put(format!("{name}.{moment}"), &[values.len()], values);
        }
        draft.put(format!("{name}.steps"), &[1], vec![memory.steps]);
    }
    if let Some(pair) = pair {
        draft.put("energy.params", &[pair.params.len()], pair.params.as_slice());
        pair.base.iter().for_each(|base| draft.put("base.params", &[base.params.len()], base.params.as_slice()));
    }
    training.map_or(Ok(()), |(settings, _)| draft.put_settings(settings))?;
    draft.seal(path, KEY, kind.into())
}

/// Reads a file of this kind; of training, with these settings; of a pair, with the energy's so many parameters and whether it corrects a
/// flow.
fn read(path: &Path, kind: &str, settings: Option<&Settings>, pair: Option<(usize, bool)>) -> Result<Saved> {
    let file = Tensors::open(path)?.sealed()?;
    file.expect(KEY, kind)?;
    settings.map_or(Ok(()), |settings| file.expect_settings(settings))?;
    let shape = file.take::<u64>("shape", &[3])?;
    let wrong = |e: Error| file.wrong(format!("holds a flow that cannot be: {e}"));
    // A damaged shape would ask for much memory; so many parameters the file must have.
    let layers = super::shape(shape[0] as usize, shape[1] as usize, shape[2] as usize).map_err(wrong)?;
    let count = layers.iter().map(|layer| layer.params()).sum();
    let mut flow = Flow { dim: shape[0] as usize, hidden: shape[2] as usize, layers, params: Vec::new() };
    let mut params = Vec::new();
    for (name, shape, _) in tensors(&flow) {
        params.extend(file.finite::<f32>(&name, &shape)?);
    }
    flow.params = vec![0.0; count];
    flow.set_params(&params).map_err(wrong)?;
    let memory = settings.map(|_| remembered(&file, "adam", count)).transpose()?;
    let learned = |(params, corrects): (usize, bool)| -> Result<SavedPair> {
        Ok(SavedPair {
            params: file.finite("energy.params", &[params])?,
            memory: remembered(&file, "energy.adam", params)?,
            base: if corrects { Some(file.finite("base.params", &[count])?) } else { None },
        })
    };
    Ok(Saved { flow, memory, pair: pair.map(learned).transpose()? })
}

fn remembered(file: &Tensors, name: &str, count: usize) -> Result<Memory> {
    let values = |moment: &str| file.finite(&format!("{name}.{moment}"), &[count]);
    let (first, second) = (values("first")?, values("second")?);
    Ok(Memory { first, second, steps: file.take::<u64>(&format!("{name}.steps"), &[1])?[0] })
}

/// What defines a run.
fn of_training(Training { batch, optimizer, seed }: &Training) -> Settings {
    settings([("batch", batch), ("optimizer", optimizer), ("seed", seed)])
}

/// That of a run on an energy that stays as it is.
fn of_variational(energy: &dyn Energy, training: &Training) -> Settings {
    let mut all = settings([("energy", &energy.name()), ("energy's parameters", &energy.params())]);
    all.extend(of_training(training));
    all
}

fn of_contrastive(energy: String, contrast: &Contrast) -> Settings {
    let Contrast { training, energy_optimizer, flow_goal, cover, correction, alternate } = contrast;
    let mut all = settings([
        ("energy", &energy),
        ("energy's optimizer", energy_optimizer),
        ("flow's goal", flow_goal),
        ("cover", cover),
        ("correction", correction),
        ("alternate", alternate),
    ]);
    all.extend(of_training(training));
    all
}

fn of_adversarial(energy: String, Adversary { training, energy_optimizer, flow_updates }: &Adversary) -> Settings {
    let mut all = settings([("energy", &energy), ("energy's optimizer", energy_optimizer), ("flow updates", flow_updates)]);
    all.extend(of_training(training));
    all
}

const FLOW: &str = "flow 1";
const LIKELIHOOD: &str = "flow by likelihood 3";
const VARIATIONAL: &str = "flow by free energy 3";
const CONTRASTIVE: &str = "flow-contrastive estimation 3";
const ADVERSARIAL: &str = "adversarial training 3";

impl Flow {
    /// Writes the flow as safetensors: of layer l `layers.<l>.hidden.weight` `[hidden][kept]`, `.hidden.bias`, `.out.weight`
    /// `[2 moved][hidden]`, `.skip.weight` `[2 moved][kept]`, `.out.bias`.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), FLOW, self, None, None)
    }

    /// Reads a flow that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or holds something else.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Ok(read(path.as_ref(), FLOW, None, None)?.flow)
    }
}

impl Likelihood {
    /// Writes the flow and the state of its training: [`resume`](Self::resume) goes on with the same bits.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path.as_ref(), LIKELIHOOD, &self.flow, Some((&of_training(&self.settings), &self.descent.memory)), None)
    }

    /// Goes on from a file, with the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or holds something
    /// else, or was saved with other settings, which it names.
    pub fn resume(path: impl AsRef<Path>, settings: Training) -> Result<Self> {
        let saved = read(path.as_ref(), LIKELIHOOD, Some(&of_training(&settings)), None)?;
        let mut trainer = Self::new(saved.flow, settings)?;
        saved.memory.into_iter().for_each(|memory| trainer.descent.memory = memory);
        Ok(trainer)
    }
}

impl Variational {
    /// As [`Likelihood::save`].
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let settings = of_variational(&*self.energy, &self.settings);
        write(path.as_ref(), VARIATIONAL, &self.flow, Some((&settings, &self.descent.memory)), None)
    }

    /// Goes on from a file, with the energy and the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or holds something
    /// else, or was saved with other settings, which it names.
    pub fn resume(path: impl AsRef<Path>, energy: impl Energy + 'static, settings: Training) -> Result<Self> {
        let saved = read(path.as_ref(), VARIATIONAL, Some(&of_variational(&energy, &settings)), None)?;
        let mut trainer = Self::new(energy, saved.flow, settings)?;
        saved.memory.into_iter().for_each(|memory| trainer.descent.memory = memory);
        Ok(trainer)
    }
}

impl Pair {
    fn save(&self, path: &Path, kind: &str, settings: &Settings) -> Result<()> {
        write(path, kind, &self.flow, Some((settings, &self.flow_descent.memory)), Some(self))
    }

    /// Takes over what was saved; its flow is here already.
    fn restore(&mut self, memory: Option<Memory>, saved: Option<SavedPair>) -> Result<()> {
        memory.into_iter().for_each(|memory| self.flow_descent.memory = memory);
        let Some(SavedPair { params, memory, base }) = saved else { return Ok(()) };
        (self.params, self.energy_descent.memory) = (params, memory);
        self.base.iter_mut().zip(base).try_for_each(|(own, params)| own.set_params(&params))
    }
}

impl Contrastive {
    /// As [`Likelihood::save`], with the energy's parameters and c.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.pair.save(path.as_ref(), CONTRASTIVE, &of_contrastive(self.pair.name(), &self.settings))
    }

    /// Goes on from a file, with an energy of the same form and the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or holds something
    /// else, or was saved with other settings, which it names.
    pub fn resume(path: impl AsRef<Path>, backend: &Backend, energy: Arc<dyn Trainable>, settings: Contrast) -> Result<Self> {
        let learned = (energy.params().len() + 1, settings.correction);
        let Saved { flow, memory, pair } =
            read(path.as_ref(), CONTRASTIVE, Some(&of_contrastive(energy.name(), &settings)), Some(learned))?;
        let mut trainer = Self::new(backend, energy, 0.0, flow, settings)?;
        trainer.pair.restore(memory, pair)?;
        Ok(trainer)
    }
}

impl Adversarial {
    /// As [`Likelihood::save`], with the energy's parameters.
    ///
    /// # Errors
    /// [`Error::Write`] where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.pair.save(path.as_ref(), ADVERSARIAL, &of_adversarial(self.pair.name(), &self.settings))
    }

    /// Goes on from a file, with an energy of the same form and the settings it was trained with.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::File`] where the file cannot be read; [`Error::Format`] where it is damaged or holds something
    /// else, or was saved with other settings, which it names.
    pub fn resume(path: impl AsRef<Path>, backend: &Backend, energy: Arc<dyn Trainable>, settings: Adversary) -> Result<Self> {
        let here = of_adversarial(energy.name(), &settings);
        let Saved { flow, memory, pair } = read(path.as_ref(), ADVERSARIAL, Some(&here), Some((energy.params().len(), false)))?;
        let mut trainer = Self::new(backend, energy, flow, settings)?;
        trainer.pair.restore(memory, pair)?;
        Ok(trainer)
    }
}
