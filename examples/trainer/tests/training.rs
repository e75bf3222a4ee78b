//! The training really learns, and the same thing each time.

use std::process::Command;

use serde_json::{Value, json};
use trainer::train::{Config, Error, INVALID, Progress, train};

fn trained(config: &Config) -> (Vec<f64>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("artifact");
    let mut losses = Vec::new();
    let progress = |told: Progress| {
        losses.push(told.metrics["loss"]);
        Ok(())
    };
    train(config, &output, progress).unwrap();
    (losses, std::fs::read(output).unwrap())
}

#[test]
fn the_loss_goes_down() {
    for (seed, rank) in (1..=5).flat_map(|seed| [(seed, 1), (seed, 4), (seed, 8)]) {
        let (losses, _) = trained(&Config { seed, rank, ..Config::default() });
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < first / 5.0, "seed {seed}, rank {rank}: {losses:?}");
    }
}

#[test]
fn the_same_seed_learns_the_same() {
    let one = Config { seed: 7, ..Config::default() };
    assert_eq!(trained(&one), trained(&one));
    assert_ne!(trained(&one), trained(&Config { seed: 8, ..Config::default() }));
}

#[test]
fn what_was_learned_can_be_read_as_safetensors() {
    let (_, file) = trained(&Config { width: 6, rank: 2, ..Config::default() });
    let header = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let told: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    assert_eq!(told["lora_A.weight"], json!({ "dtype": "F32", "shape": [2, 6], "data_offsets": [0, 48] }));
    assert_eq!(told["lora_B.weight"], json!({ "dtype": "F32", "shape": [6, 2], "data_offsets": [48, 96] }));
    assert_eq!((header % 8, file.len()), (0, 8 + header + 96));
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let output = std::path::Path::new("/nowhere");
    let wrong = [
        Config { width: 0, ..Config::default() },
        Config { rank: 65, ..Config::default() },
        Config { epochs: 0, ..Config::default() },
        Config { steps: 0, ..Config::default() },
        Config { rate: f32::NAN, ..Config::default() },
        Config { pace_ms: 60_001, ..Config::default() },
    ];
    for config in wrong {
        assert!(matches!(train(&config, output, |_| Ok(())), Err(Error::Invalid { .. })), "{config:?}");
    }
}

#[test]
fn a_job_that_can_never_be_trained_is_told_by_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let job = folder.path().join("job.json");
    std::fs::write(&job, json!({ "config": { "widht": 3 } }).to_string()).unwrap();
    let mut train = Command::new(env!("CARGO_BIN_EXE_trainer"));
    train.arg("train").arg("--job").arg(&job).arg("--output").arg(folder.path().join("artifact"));
    assert_eq!(train.output().unwrap().status.code(), Some(INVALID.into()));
}
