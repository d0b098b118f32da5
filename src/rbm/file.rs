//! Machines and checkpoints as safetensors: W `[visible][hidden]`, a, b, and sd where visible units are Gaussian; a checkpoint holds
//! what training needs besides.

use std::{collections::HashMap, path::Path};

use super::{Rbm, Trainer, Training, train::Step};
use crate::{
    Result,
    settings::{Settings, settings},
    tensors::{Draft, Tensors},
};

const FORMAT: &str = "ergodic rbm checkpoint 3";

impl Rbm {
    /// Writes W, a and b as f32, and sd where visible units are Gaussian.
    ///
    /// # Errors
    /// [`Error::Write`](crate::Error::Write) where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.draft().write(path.as_ref(), HashMap::new())
    }

    /// Reads W (`[visible][hidden]`), a and b, in f32 or f64 (rounded to f32); with a tensor sd, visible units are Gaussian. From PyTorch:
    /// `safetensors.torch.save_file({"W": W, "a": a, "b": b}, path)`; a weight of `nn.Linear` is transposed, so there W is
    /// `linear.weight.T.contiguous()`.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) where the file cannot be read; [`Error::Format`](crate::Error::Format) where it is no safetensors
    /// file, lacks a tensor, or holds one of another type or shape or a number that is not finite; and as [`new`](Self::new) and
    /// [`gaussian`](Self::gaussian).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        read(&Tensors::open(path.as_ref())?)
    }

    fn draft(&self) -> Draft<'_> {
        let mut draft = Draft::default();
        draft.put("W", &[self.visible, self.hidden], &self.weights);
        draft.put("a", &[self.visible], &self.visible_bias);
        draft.put("b", &[self.hidden], &self.hidden_bias);
        self.sds.iter().for_each(|sds| draft.put("sd", &[self.visible], sds));
        draft
    }
}

impl Trainer {
    /// Writes the machine, the last step, the persistent chains and the counters: [`resume`](Self::resume) goes on bit for bit.
    ///
    /// # Errors
    /// [`Error::Write`](crate::Error::Write) where the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut draft = self.rbm.draft();
        let (visible, hidden) = (self.rbm.visible, self.rbm.hidden);
        draft.put("step.W", &[visible, hidden], &self.step.weights);
        draft.put("step.a", &[visible], &self.step.visible_bias);
        draft.put("step.b", &[hidden], &self.step.hidden_bias);
        let [chains, levels] = self.settings.negative.persistent();
        draft.put("chains", &[chains, levels, visible], &self.chains);
        draft.put_settings(&of_training(&self.settings))?;
        let texts = [("format", FORMAT.into()), ("epochs", self.epochs.to_string()), ("drawn", self.drawn.to_string())];
        draft.write(path.as_ref(), texts.map(|(name, value)| (name.into(), value)).into())
    }

    /// Goes on from a checkpoint, with the settings it was trained with.
    ///
    /// # Errors
    /// As [`Rbm::load`]; [`Error::Format`](crate::Error::Format) where the file is no checkpoint, or was saved with
    /// other settings, which it names.
    pub fn resume(path: impl AsRef<Path>, settings: Training) -> Result<Self> {
        let file = Tensors::open(path.as_ref())?;
        file.expect("format", FORMAT)?;
        file.expect_settings(&of_training(&settings))?;
        let mut trainer = Self::new(read(&file)?, settings)?;
        let (visible, hidden) = (trainer.rbm.visible, trainer.rbm.hidden);
        let [chains, levels] = trainer.settings.negative.persistent();
        trainer.step = Step {
            weights: file.finite("step.W", &[visible, hidden])?,
            visible_bias: file.finite("step.a", &[visible])?,
            hidden_bias: file.finite("step.b", &[hidden])?,
        };
        trainer.chains = file.finite("chains", &[chains, levels, visible])?;
        trainer.epochs = file.counter("epochs")?;
        trainer.drawn = file.counter("drawn")?;
        Ok(trainer)
    }
}

/// What defines a run.
fn of_training(training: &Training) -> Settings {
    let Training { negative, batch, rate, momentum, weight_decay, sparsity, centred, seed } = training;
    settings([
        ("negative", negative),
        ("batch", batch),
        ("rate", rate),
        ("momentum", momentum),
        ("weight_decay", weight_decay),
        ("sparsity", sparsity),
        ("centred", centred),
        ("seed", seed),
    ])
}

fn read(file: &Tensors) -> Result<Rbm> {
    let shape = file.shape("W")?;
    let &[visible, hidden] = shape else {
        return Err(file.wrong(format!("holds W of shape {shape:?}, not [visible, hidden]")));
    };
    let has = |name, length| file.shape(name).is_ok_and(|shape| shape == [length]);
    if visible != hidden && has("a", hidden) && has("b", visible) {
        let why = "is [hidden, visible], by the lengths of a and b: save W.T.contiguous(), [visible, hidden]";
        return Err(file.wrong(format!("holds W of shape {shape:?}, which {why}")));
    }
    let (w, a, b) = (file.finite("W", shape)?, file.finite("a", &[visible])?, file.finite("b", &[hidden])?);
    match file.shape("sd") {
        Ok(_) => Rbm::gaussian(w, a, b, file.finite("sd", &[visible])?),
        Err(_) => Rbm::new(w, a, b),
    }
}
