//! Diagnostics of stored draws: have the chains mixed, and how precise are mean, sd and quantiles?
//!
//! Everything here is a function of the [`Traces`] of one quantity, in f64, and gives the values of the R package posterior.
//! Where a number would mean nothing the answer is [`Undefined`], which says why, and never NaN. [`Summary`] is all of it in a
//! table, one row a quantity.
//!
//! ```
//! use ergodic::diagnose::{Traces, ess_bulk, rhat};
//!
//! let traces = Traces::new(&[
//!     [0.3, -0.8, 1.1, 0.2, -1.4, 0.6, 0.9, -0.3, -0.7, 0.4, 1.2, -0.1],
//!     [-0.5, 0.7, 0.1, -1.1, 0.8, 1.3, -0.9, 0.5, -0.2, 0.9, -0.6, 0.2],
//! ])?;
//! assert!(rhat(&traces)? < 1.1);
//! assert!(ess_bulk(&traces)? > 10.0);
//!
//! let same = Traces::new(&[[1.0; 12]; 2])?;
//! assert_eq!(rhat(&same).unwrap_err().to_string(), "every draw is the same");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: Vehtari, Gelman, Simpson, Carpenter, Bürkner: Rank-normalization, folding, and localization: an improved R-hat for
//! assessing convergence of MCMC (Bayesian Analysis 16, 2021).

mod autocorrelation;
mod ess;
mod mcse;
mod quantile;
mod rank;
mod rhat;
mod summary;
mod traces;
mod undefined;

pub use autocorrelation::{autocorrelation, autocovariance};
pub use ess::{ess_bulk, ess_mean, ess_quantile, ess_sd, ess_tail};
pub use mcse::{mcse_mean, mcse_quantile, mcse_sd};
pub use quantile::quantile;
pub use rhat::{rhat, split_rhat};
pub use summary::{Row, Summary};
pub use traces::Traces;
pub use undefined::Undefined;
