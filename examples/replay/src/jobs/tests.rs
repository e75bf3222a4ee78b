use std::io::Write as _;

use super::*;

fn read(text: &str) -> Result<Vec<JobRow>, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    read_jobs(file.path()).map_err(|error| error.to_string())
}

#[test]
fn a_trace_is_read_with_or_without_what_is_trained() {
    let full = "job_id,arrival_s,duration_s,num_gpus,mode,model\n0,0,1418,1,gns,\"LM (batch size 10)\"\n";
    let jobs = read(full).unwrap();
    assert_eq!((jobs[0].duration_s, jobs[0].work(), jobs[0].mode.as_deref()), (1418, 1418, Some("gns")));
    assert_eq!(jobs[0].model.as_deref(), Some("LM (batch size 10)"));
    let jobs = read("num_gpus,duration_s,arrival_s,job_id\n4,10,5,x\n").unwrap();
    let only =
        JobRow { name: "x".to_owned(), arrival_s: 5, duration_s: 10, gpus: 4, mode: None, model: None };
    assert_eq!(jobs, [only]);
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_place() {
    let head = "job_id,arrival_s,duration_s,num_gpus\n";
    for (rows, message) in [
        ("a,0,0,1\n", "line 2: column duration_s: `0` must be from 1 to 1000000000"),
        ("a,0,9,1\nb,-1,9,1\n", "line 3: column arrival_s: `-1` is negative"),
        ("a,0,9,0\n", "line 2: column num_gpus: `0` must be from 1 to 1024"),
        ("a,0,9,1\na,0,9,1\n", "line 3: column job_id: `a` is already on line 2"),
        ("", "has no rows"),
    ] {
        let error = read(&format!("{head}{rows}")).unwrap_err();
        assert!(error.ends_with(message), "{error}");
    }
    assert!(read("job_id,arrival_s,num_gpus\n").unwrap_err().ends_with("column duration_s is missing"));
}

#[test]
fn a_drawn_trace_is_of_the_flavour_that_is_said() {
    let jobs = generate(&JobCount { jobs: 10_000, most_gpus: 8, seed: 42 });
    let many = |kept: &dyn Fn(&JobRow) -> bool| jobs.iter().filter(|job| kept(job)).count();
    let within = |got: usize, low: usize, high: usize| assert!((low..=high).contains(&got), "{got}");
    within(many(&|job| job.duration_s < 2_815), 4_800, 5_200);
    within(many(&|job| job.duration_s < 8_367), 8_850, 9_150);
    within(many(&|job| job.gpus == 1), 7_450, 7_750);
    within(many(&|job| job.gpus == 8), 60, 140);
    assert!(jobs.iter().all(|job| (600..=20_000).contains(&job.duration_s)));
    let mean_gap_ms = jobs.last().map_or(0, |job| job.arrival_s * 1_000 / 9_999);
    assert!((40_000..=44_000).contains(&mean_gap_ms), "{mean_gap_ms}");
}

#[test]
fn a_seed_gives_the_same_jobs_and_no_job_is_larger_than_asked() {
    let count = JobCount { jobs: 500, most_gpus: 2, seed: 3 };
    let jobs = generate(&count);
    assert_eq!(jobs, generate(&count));
    assert_ne!(jobs, generate(&JobCount { seed: 4, ..count }));
    assert!(jobs.iter().all(|job| (1..=2).contains(&job.gpus)));
    assert_eq!(jobs[0].arrival_s, 0);
}
