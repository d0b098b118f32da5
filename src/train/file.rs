//! Trainers as safetensors: the parameters by their names, as PyTorch reads them, and what training needs besides.
//!
//! Of each block a tensor in f32; `state.*` and the two states to go back to, `good.0.*` and `good.1.*`: parameters (with c), the
//! optimiser's two means and the moving average in f64, and the slots of the chains in f32.

use std::{collections::HashMap, path::Path, sync::Arc};

use super::{Trainable, Trainer, Training, optimizer::Memory, runaway::Runaway, trainer::State};
use crate::{
    Backend, Result,
    settings::{Settings, settings},
    tensors::{Draft, Tensors},
};

const FORMAT: &str = "ergodic training 2";

impl Trainer {
    /// Writes parameters, optimiser, moving average, slots of chains and counters: [`resume`](Self::resume) goes on bit for bit.
    ///
    /// # Errors
    /// [`Error::Write`](crate::Error::Write) where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let (params, mut at) = (self.params(), 0);
        let mut draft = Draft::default();
        for block in self.target.blocks() {
            let end = at + block.count();
            draft.put(block.name, &block.shape, &params[at..end]);
            at = end;
        }
        let mut metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("energy".into(), self.target.name()),
            ("updates".into(), self.updates.to_string()),
            ("rollbacks".into(), self.rollbacks.to_string()),
            ("chain_steps".into(), self.chain_steps.to_string()),
            ("shaped".into(), self.flatness.shaped.to_string()),
        ]);
        let Runaway { scale, seen, beyond } = self.runaway;
        if let Some([flat, unit]) = scale {
            // The shortest texts that are read back to the same bits.
            let texts = [("flat", format!("{flat:?}")), ("unit", format!("{unit:?}"))];
            metadata.extend(texts.map(|(name, text)| (format!("losses.{name}"), text)));
            metadata.extend([("seen", seen), ("beyond", beyond)].map(|(name, n)| (format!("losses.{name}"), n.to_string())));
        }
        for (name, state) in [("state", &self.state), ("good.0", &self.good[0]), ("good.1", &self.good[1])] {
            let State { params, memory, average, slots } = state;
            let all = [("params", params), ("first", &memory.first), ("second", &memory.second), ("average", average)];
            for (of, values) in all {
                draft.put(format!("{name}.{of}"), &[values.len()], values);
            }
            draft.put(format!("{name}.slots"), &[slots.len()], slots);
            metadata.insert(format!("{name}.steps"), memory.steps.to_string());
        }
        draft.put_settings(&self.definition())?;
        draft.write(path.as_ref(), metadata)
    }

    /// What defines the run.
    fn definition(&self) -> Settings {
        let Training { loss, optimizer, batch, average, most_gap, most_rollbacks, seed } = &self.training;
        settings([
            ("energy", &self.target.name()),
            ("loss", loss),
            ("optimizer", optimizer),
            ("batch", batch),
            ("average", average),
            ("most_gap", most_gap),
            ("most_rollbacks", most_rollbacks),
            ("seed", seed),
        ])
    }

    /// Goes on from a file that [`save`](Self::save) wrote, with the energy (its parameters are replaced) and the settings of that run.
    /// On the same device what follows has the same bits as in a run that was never interrupted.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) where the file cannot be read; [`Error::Format`](crate::Error::Format) where it is damaged, or was
    /// saved with other settings, which it names; and as [`new`](Self::new).
    pub fn resume(backend: &Backend, target: Arc<dyn Trainable>, training: Training, path: impl AsRef<Path>) -> Result<Self> {
        let file = Tensors::open(path.as_ref())?;
        file.expect("format", FORMAT)?;
        let mut trainer = Self::new(backend, target, training)?;
        file.expect_settings(&trainer.definition())?;
        let (params, average) = (trainer.state.params.len(), trainer.state.average.len());
        let state = |name: &str| -> Result<State> {
            let values = |of: &str, count: usize| file.finite(&format!("{name}.{of}"), &[count]);
            let slots = format!("{name}.slots");
            Ok(State {
                params: values("params", params)?,
                memory: Memory {
                    first: values("first", params)?,
                    second: values("second", params)?,
                    steps: file.counter(&format!("{name}.steps"))?,
                },
                average: values("average", average)?,
                slots: file.finite(&slots, &[file.rows(&slots)?])?,
            })
        };
        (trainer.state, trainer.good) = (state("state")?, [state("good.0")?, state("good.1")?]);
        (trainer.updates, trainer.chain_steps) = (file.counter("updates")?, file.counter("chain_steps")?);
        trainer.rollbacks = file.counter("rollbacks")?;
        // Files of the first days do not say.
        trainer.flatness.shaped = file.text("shaped") == Some("true");
        if file.text("losses.flat").is_some() {
            trainer.runaway = Runaway {
                scale: Some([file.counter("losses.flat")?, file.counter("losses.unit")?]),
                seen: file.counter("losses.seen")?,
                beyond: file.counter("losses.beyond")?,
            };
        }
        Ok(trainer)
    }
}

/// Parameters of an energy from a file that [`Trainer::save`] or PyTorch wrote: a tensor a block, of its name and shape, in f32 or f64.
///
/// # Errors
/// [`Error::File`](crate::Error::File) where the file cannot be read; [`Error::Format`](crate::Error::Format) where it is damaged, or a
/// tensor is missing, has another shape, or holds a number that is not finite; and as [`Trainable::with_params`].
pub fn load(target: &dyn Trainable, path: impl AsRef<Path>) -> Result<Arc<dyn Trainable>> {
    let file = Tensors::open(path.as_ref())?;
    let mut params = Vec::new();
    for block in target.blocks() {
        params.extend(file.finite::<f32>(&block.name, &block.shape)?);
    }
    target.with_params(&params)
}
