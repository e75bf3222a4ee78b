use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

fn replay(line: &str) -> ReplayArgs {
    parse(line).unwrap().replay
}

#[test]
fn the_declaration_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn no_arguments_are_the_main_job() {
    let args = replay("replay");
    assert_eq!((args.nodes_count, args.pods_count, args.users, args.concurrency), (1_523, 16_304, 64, 64));
    assert_eq!((args.policy, args.seed, args.resume), (Policy::Fgd, 42, false));
    assert_eq!(args.store_at(), Ok(StoreAt::Temporary));
}

#[test]
fn nodes_and_pods_go_together() {
    for line in ["replay --nodes a", "replay --pods a", "replay inflate --nodes a", "replay inflate --pods a"]
    {
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::MissingRequiredArgument, "{line}");
    }
    let line = "replay --nodes a --pods b --pods-count 3";
    assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ArgumentConflict);
}

#[test]
fn numbers_out_of_range_and_unknown_policies_are_refused() {
    for line in
        ["replay --users 0", "replay --concurrency 4097", "replay --policy best", "replay inflate --seeds 0"]
    {
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ValueValidation, "{line}");
    }
}

#[test]
fn a_store_is_a_path_with_or_without_its_scheme() {
    assert_eq!("memory:".parse(), Ok(StoreArg::Memory));
    assert_eq!("redb:a/b.redb".parse(), Ok(StoreArg::Redb("a/b.redb".into())));
    assert_eq!("a/b.redb".parse(), Ok(StoreArg::Redb("a/b.redb".into())));
}

#[test]
fn a_file_that_is_there_is_only_continued_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r.redb");
    let args = |rest: &str| replay(&format!("replay --store {}{rest}", path.display()));
    assert_eq!(args("").store_at(), Ok(StoreAt::File(path.clone())));
    assert_eq!(args(" --resume").store_at(), Err(UsageError::NothingToResume { path: path.clone() }));
    std::fs::write(&path, "x").unwrap();
    assert_eq!(args(" --resume").store_at(), Ok(StoreAt::File(path.clone())));
    let refused = args("").store_at().unwrap_err();
    assert!(refused.to_string().ends_with("continue it with --resume, or name another file with --store"));
}

#[test]
fn what_leaves_no_file_cannot_be_continued() {
    for line in [
        "replay --resume",
        "replay --resume --store memory:",
        "replay --nodes a --pods b --resume --store memory:",
    ] {
        assert_eq!(replay(line).store_at(), Err(UsageError::ResumeWithoutFile), "{line}");
    }
}

#[test]
fn a_result_that_could_not_be_written_is_refused_at_once() {
    for line in
        ["replay --report no/such/r.html", "replay --json no/such/r.json", "replay --store no/such/r.redb"]
    {
        assert!(matches!(replay(line).store_at(), Err(UsageError::NoFolder { .. })), "{line}");
    }
}

#[test]
fn policies_are_repeatable_and_each_runs_once() {
    let policies = |line: &str| match parse(line).unwrap().command {
        Some(Command::Inflate(args)) => args.policies(),
        None => panic!("not inflate"),
    };
    assert_eq!(policies("replay inflate"), Policy::ALL);
    let line = "replay inflate --policy fgd --policy random --policy fgd";
    assert_eq!(policies(line), [Policy::Random, Policy::Fgd]);
}
