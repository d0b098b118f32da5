//! The posteriors and how they are run: what the example and tests/posteriors.rs share.

#![allow(dead_code, unreachable_pub, reason = "each of the two uses a part")]

mod logistic_truth;
pub mod moments;
pub mod posterior;
pub mod published;
pub mod run;
pub mod stress;
