//! An energy with other parameters: what chains sample whose target is being trained.

use std::sync::Arc;

use super::{Call, Energy, Params, like_inner};
use crate::{Error, Result, program::Composer};

/// The same formula with other parameters.
#[derive(Debug)]
pub(crate) struct Reparametrised {
    base: Arc<dyn Energy>,
    params: Vec<f32>,
}

impl Reparametrised {
    /// # Errors
    /// [`Error::Shape`] where the number of parameters differs; [`Error::Setting`] where one is not finite.
    pub(crate) fn new(base: Arc<dyn Energy>, params: &[f32]) -> Result<Self> {
        let expected = base.params().len();
        if params.len() != expected {
            return Err(Error::shape(format!("parameters of {}", base.name()), expected, params.len()));
        }
        match params.iter().position(|p| !p.is_finite()) {
            Some(i) => Err(Error::setting(format!("parameter {i} of {}", base.name()), params[i], "must be finite")),
            None => Ok(Self { base, params: params.to_vec() }),
        }
    }
}

impl Energy for Reparametrised {
    like_inner!(self => self.base);

    fn params(&self) -> Vec<f32> {
        self.params.clone()
    }
}
