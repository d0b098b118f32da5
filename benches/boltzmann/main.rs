//! How fast Boltzmann machines are trained: CD-1 on binary data, as `benches/peers/boltzmann.py` has scikit-learn and PyTorch do it.
//!
//! `cargo bench --bench boltzmann [-- --quick]` prints a table; with `--serve` it answers cases, a line of JSON each.

use std::{
    io::{BufRead, Write},
    time::Instant,
};

use anyhow::Result;
use ergodic::{
    Backend,
    rbm::{Gibbs, Negative, Rbm, Trainer, Training},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Case {
    visible: usize,
    hidden: usize,
    rows: usize,
    batch: usize,
    epochs: u32,
}

const CASES: [Case; 2] = [
    Case { visible: 64, hidden: 128, rows: 1_500, batch: 100, epochs: 200 },
    Case { visible: 784, hidden: 500, rows: 5_000, batch: 500, epochs: 10 },
];

#[derive(Debug, Serialize)]
struct Rates {
    epochs_per_second: f64,
    updates_per_second: f64,
}

/// Times epochs after a first one that is not counted.
fn train(case: Case) -> Result<Rates> {
    let rbm = Rbm::for_data(&vec![0.3; case.visible], case.hidden, 0.01, 1)?;
    let data = Gibbs::new(&Backend::cpu(), &rbm, case.rows, 3)?;
    let data = data.visible()?;
    let settings = Training {
        negative: Negative::Contrastive { sweeps: 1 },
        batch: case.batch,
        rate: 0.01.into(),
        momentum: 0.0,
        weight_decay: 0.0,
        centred: false,
        ..Training::default()
    };
    let mut trainer = Trainer::new(rbm, settings)?;
    trainer.epoch(&data)?;
    let (begun, mut updates) = (Instant::now(), 0);
    for _ in 0..case.epochs {
        updates += trainer.epoch(&data)?.updates;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Rates { epochs_per_second: f64::from(case.epochs) / seconds, updates_per_second: updates as f64 / seconds })
}

fn main() -> Result<()> {
    if std::env::args().any(|argument| argument == "--serve") {
        for line in std::io::stdin().lock().lines() {
            println!("{}", serde_json::to_string(&train(serde_json::from_str(&line?)?)?)?);
            std::io::stdout().flush()?;
        }
        return Ok(());
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    println!("{:>12} {:>6} {:>12} {:>13}", "machine", "batch", "epochs/s", "updates/s");
    for case in CASES {
        let case = if quick { Case { epochs: case.epochs.div_ceil(5), ..case } } else { case };
        let Rates { epochs_per_second, updates_per_second } = train(case)?;
        let machine = format!("{} x {}", case.visible, case.hidden);
        println!("{machine:>12} {:>6} {epochs_per_second:>12.1} {updates_per_second:>13.1}", case.batch);
    }
    Ok(())
}
