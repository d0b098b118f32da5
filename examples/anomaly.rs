//! Does a model of normal data tell outliers from it?

mod common;

use std::sync::Arc;

use anyhow::Result;
use common::{Density, Options, Picture};
use ergodic::{
    Schedule,
    energy::{Energy, Gaussian, Mixture, SoftmaxMixture},
    evaluate,
    train::{Data, Loss, Noise, Normality, Optimizer, Toy, Trainer, Training},
};
use serde::Serialize;

const HALF: f64 = 3.0;

#[derive(Serialize)]
struct Figures {
    /// The probability that an outlier has a higher energy than a held-out normal point.
    roc_area: f64,
    /// The same for the energy less that of a Gaussian with the data's moments: the log ratio of the densities.
    roc_area_of_ratio: f64,
    /// Share of outliers, and of held-out normal points, above the 99 % quantile of the training data's energies.
    found: f64,
    false_alarms: f64,
    updates: u64,
    seconds: f64,
}

fn main() -> Result<()> {
    let options = Options::read("Does a model of normal data tell outliers from it?");
    options.fixed_chains("it runs those of the training alone")?;
    let backend = options.open()?;
    let (train, held_out) = Toy::Pinwheel.draw(8_000, options.seed)?.standardized()?.0.split(6_000)?;
    // Outliers are anywhere in the box, also where data are.
    let anywhere = Noise::uniform([-HALF, -HALF], [HALF])?;
    let key = ergodic::random::key(options.seed, ergodic::random::Stream::Data, 99);
    let drawn: Vec<_> = (0..2_000).map(|i| anywhere.draw(&ergodic::random::Draws::new(key, i, 0))).collect();
    let outliers = Data::new(2, (0..2).flat_map(|i| drawn.iter().map(move |x| x[i])).collect::<Vec<_>>())?;

    let n = train.count();
    let means: Vec<_> = (0..24).map(|j| vec![f64::from(train.points()[j]), f64::from(train.points()[n + j])]).collect();
    let start = SoftmaxMixture::of(&Mixture::new(&[1.0; 24], &means, &[0.4; 24])?)?;
    let updates = if options.quick { 300 } else { 3_000 };
    let loss = Loss::NoiseContrastive { noise: Noise::like(train.points(), 2)?, ratio: 4 };
    let optimizer = Optimizer::adam(Schedule::cosine(0.02, 5e-4, updates));
    let mut trainer =
        Trainer::new(&backend, Arc::new(start), Training::new(loss, optimizer).batch(512).average(0.99).seed(options.seed))?;
    let last = trainer.run(train.points(), updates)?;
    let model: Arc<dyn Energy> = trainer.averaged()?;

    let of = |energy: &Arc<dyn Energy>, data: &Data| -> Result<Vec<f64>> {
        Ok(evaluate(&backend, energy.clone(), data.points(), 0.0)?.energies)
    };
    let energies = |data: &Data| of(&model, data);
    // The data are standardised.
    let plain: Arc<dyn Energy> = Arc::new(Gaussian::isotropic([0.0, 0.0], 1.0)?);
    let ratios = |data: &Data| -> Result<Vec<f64>> {
        Ok(energies(data)?.iter().zip(of(&plain, data)?).map(|(energy, plain)| energy - plain).collect())
    };
    let threshold = Normality::new(energies(&train)?)?.quantile(0.99)?;
    let (normal, strange) = (energies(&held_out)?, energies(&outliers)?);
    let above = |scores: &[f64]| scores.iter().filter(|s| **s > threshold).count() as f64 / scores.len() as f64;
    let figures = Figures {
        roc_area: Normality::new(normal.clone())?.roc_area(&strange)?,
        roc_area_of_ratio: Normality::new(ratios(&held_out)?)?.roc_area(&ratios(&outliers)?)?,
        found: above(&strange),
        false_alarms: above(&normal),
        updates,
        seconds: last.elapsed.as_secs_f64(),
    };
    let Figures { roc_area, roc_area_of_ratio, found, false_alarms, seconds, .. } = figures;
    println!(
        "{updates} updates in {seconds:.1} s; ROC area {roc_area:.3} by energies, {roc_area_of_ratio:.3} by ratios to a Gaussian"
    );
    println!("beyond the 99 % quantile: {:.1} % of outliers, {:.2} % of normal points", 100.0 * found, 100.0 * false_alarms);

    let density = Density::of(&*model, [-HALF, HALF], [-HALF, HALF]);
    let says = format!("ROC area {roc_area:.3}; the line holds 99 % of the training data");
    let mut picture = Picture::grid("A model of normal data scores outliers", &says, 2, 1, [560, 560], false)?;
    for (i, (data, name)) in
        [(&held_out, "held-out normal points"), (&outliers, "outliers, uniform in the box")].into_iter().enumerate()
    {
        let mut panel = picture.panel(i, 0, density.x, density.y);
        panel.samples(data.points(), &density);
        let params = model.params();
        let energy = |x, y| model.energy(ergodic::energy::Params::new(&params), &[x, y]);
        panel.contours(energy, &[threshold], [1.0; 3], 0.9).axes(name, &format!("{} points", data.count()));
    }
    picture.save("anomaly")?;
    options.finish(
        &figures,
        [(roc_area > 0.8, "outliers score above normal points"), (false_alarms < 0.03, "false alarms are rare")],
    )
}
