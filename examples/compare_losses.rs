//! Which loss learns most from the same data in the same time?

mod common;
#[path = "common/learn.rs"]
mod learn;

use anyhow::Result;
use common::{Density, Options, Picture};
use learn::{By, Figures, HALF, Model, Named, Task, learn};

fn main() -> Result<()> {
    let options = Options::read("Which loss learns most from the same data in the same time?");
    options.fixed_chains("every loss gets the chains that suit it")?;
    let backend = options.open()?;
    let data = Named::EightGaussians;
    let (train, held_out) = data.toy().draw(12_000, options.seed)?.split(10_000)?;
    let (updates, seconds) = if options.quick { (150, 1.5) } else { (10_000, 20.0) };
    let title = "The same mixture, the same eight Gaussians, the same time: six losses";
    let says = format!("at most {seconds} s and {updates} updates of 512 points each");
    let mut picture = Picture::grid(title, &says, 3, 2, [460, 460], false)?;
    println!(
        "{:>5} {:>8} {:>10} {:>15} {:>8} {:>10} {:>15}",
        "loss", "updates", "updates/s", "log-likelihood", "KL", "Fisher", "energy distance"
    );
    let mut rows = Vec::new();
    for (i, by) in By::ALL.into_iter().enumerate() {
        let task = Task {
            toy: Some(data.toy()),
            model: Model::Mixture,
            loss: by,
            updates,
            seconds,
            seed: options.seed,
            betas: 100,
            save: None,
            resume: None,
        };
        let row = learn(&backend, &task, &train, &held_out)?;
        let (kl, fisher) = (row.kl.unwrap_or(f64::NAN), row.fisher.unwrap_or(f64::NAN));
        println!(
            "{:>5} {:>8} {:>10.0} {:>15.3} {kl:>8.4} {fisher:>10.4} {:>15.4}",
            by.name(),
            row.steps,
            row.steps_per_second,
            row.likelihood.held_out_log_likelihood.unwrap_or(f64::NAN),
            row.energy_distance
        );
        let density = Density::of(&*row.model, [-HALF, HALF], [-HALF, HALF]);
        let mut panel = picture.panel(i % 3, i / 3, density.x, density.y);
        panel.density(&*row.model, &density).axes(by.name(), &format!("{} updates, KL {kl:.3} nats", row.steps));
        rows.push(Figures { data: data.name(), energy: task.model, outcome: row });
    }
    picture.save("compare_losses")?;
    let checks = rows.iter().map(|row| (row.outcome.kl.is_some_and(f64::is_finite), "every loss ends in a density"));
    options.finish(&rows, checks.collect::<Vec<_>>())
}
