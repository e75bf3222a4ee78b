use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;
use crate::queue::{Discipline, Gangs};

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
    assert_eq!((args.policy, args.seed, args.resume), (Policy::OpportunityCost, 42, false));
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
fn a_store_is_a_path_with_or_without_its_scheme_or_an_address() {
    let parse = |text: &str| text.parse::<StoreArg>().unwrap();
    assert_eq!(parse("memory:"), StoreArg::Memory);
    assert_eq!(parse("redb:a/b.redb"), StoreArg::Redb("a/b.redb".into()));
    assert_eq!(parse("a/b.redb"), StoreArg::Redb("a/b.redb".into()));
    assert_eq!(parse("a:b"), StoreArg::Redb("a:b".into()));
    for text in ["sqlite:a/b", "sqlite://a/b", "SQLite:a/b"] {
        assert_eq!(parse(text), StoreArg::Sqlite("a/b".into()), "{text}");
    }
    assert_eq!(parse("sqlite:///a/b"), StoreArg::Sqlite("/a/b".into()));
    for (text, kept) in
        [("postgres://u@h/Db", "postgres://u@h/Db"), ("PostgreSQL://u@h/Db?x=Y", "postgresql://u@h/Db?x=Y")]
    {
        let StoreArg::Postgres(url) = parse(text) else { panic!("{text}") };
        assert_eq!(url.expose(), kept);
    }
    assert_eq!(parse("mysql://u:secret@h/d"), StoreArg::Unknown);
}

#[test]
fn an_address_is_not_shown() {
    let args = replay("replay --store postgres://u:secret@h/d");
    assert!(!format!("{args:?} {:?}", args.store_at()).contains("secret"));
}

#[test]
fn a_database_has_a_schema_and_a_durability_of_its_own() {
    let at = |line: &str| replay(line).store_at();
    let in_schema = |line: &str| match at(line) {
        Ok(StoreAt::Postgres { schema, .. }) => schema,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(in_schema("replay --store postgres://h/d"), "replay");
    assert_eq!(in_schema("replay --store postgres://h/d --schema mine_2 --resume"), "mine_2");
    for durability in ["full", "process-crash"] {
        let line = format!("replay --store postgres://h/d --durability {durability}");
        assert_eq!(at(&line), Err(UsageError::ServerDurability));
    }
    assert_eq!(at("replay --schema mine"), Err(UsageError::SchemaOfNothing));
    assert_eq!(at("replay --schema mine --store sqlite:a"), Err(UsageError::SchemaOfNothing));
    assert_eq!(at("replay --store oracle://u:secret@h"), Err(UsageError::UnknownStore));
    for schema in ["Mine", "2", "", "a-b", "a\"b"] {
        let line = ["replay", "--store", "postgres://h/d", "--schema", schema];
        assert_eq!(Cli::try_parse_from(line).unwrap_err().kind(), ErrorKind::ValueValidation, "{schema}");
    }
}

#[test]
fn a_file_that_is_there_is_only_continued_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    for (scheme, at) in [("", StoreAt::Redb as fn(PathBuf) -> StoreAt), ("sqlite:", StoreAt::Sqlite)] {
        let path = folder.path().join(format!("r{}", scheme.len()));
        let args = |rest: &str| replay(&format!("replay --store {scheme}{}{rest}", path.display()));
        assert_eq!(args("").store_at(), Ok(at(path.clone())));
        let nothing = Err(UsageError::NothingToResume { path: path.clone() });
        assert_eq!(args(" --resume").store_at(), nothing);
        std::fs::write(&path, "x").unwrap();
        assert_eq!(args(" --resume").store_at(), Ok(at(path.clone())));
        let refused = args("").store_at().unwrap_err();
        assert!(
            refused.to_string().ends_with("continue it with --resume, or name another file with --store")
        );
    }
}

#[test]
fn what_leaves_nothing_cannot_be_continued() {
    for line in [
        "replay --resume",
        "replay --resume --store memory:",
        "replay --nodes a --pods b --resume --store memory:",
    ] {
        assert_eq!(replay(line).store_at(), Err(UsageError::ResumeWithoutStore), "{line}");
    }
}

#[test]
fn a_result_that_could_not_be_written_is_refused_at_once() {
    for line in [
        "replay --report no/such/r.html",
        "replay --json no/such/r.json",
        "replay --store no/such/r.redb",
        "replay --store sqlite:no/such/r",
    ] {
        assert!(matches!(replay(line).store_at(), Err(UsageError::NoFolder { .. })), "{line}");
    }
}

#[test]
fn policies_are_repeatable_and_each_runs_once() {
    let policies = |line: &str| match parse(line).unwrap().command {
        Some(Command::Inflate(args)) => args.policies(),
        Some(Command::Queue(_)) | None => panic!("not inflate"),
    };
    assert_eq!(policies("replay inflate"), Policy::ALL);
    let line = "replay inflate --policy fgd --policy random --policy fgd";
    assert_eq!(policies(line), [Policy::Random, Policy::Fgd]);
}

#[test]
fn the_mix_is_given_unless_it_is_to_be_learned() {
    let mixes = |line: &str| match parse(line).unwrap().command {
        Some(Command::Inflate(args)) => args.mixes(),
        Some(Command::Queue(_)) | None => panic!("not inflate"),
    };
    assert_eq!(mixes("replay inflate"), [Typical::Given]);
    assert_eq!(mixes("replay inflate --mix learned"), [Typical::Learned]);
    assert_eq!(mixes("replay inflate --mix learned --mix given"), [Typical::Given, Typical::Learned]);
}

fn queue(line: &str) -> QueueArgs {
    let Some(Command::Queue(args)) = parse(line).unwrap().command else { panic!("{line}") };
    args
}

#[test]
fn the_queue_is_replayed_under_all_policies_where_none_is_named() {
    let args = queue("replay queue");
    assert_eq!((args.jobs_count, args.gpus, args.per_node, args.tick, args.quantum), (120, 32, 4, 60, 300));
    assert_eq!(args.disciplines(), Discipline::all());
    let args = queue("replay queue --policy balanced --policy skipping --policy balanced --gangs one-node");
    assert_eq!(
        args.disciplines().iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["skipping", "balanced"]
    );
    assert_eq!(args.setup().gangs, Gangs::OneNode);
    for line in ["replay queue --policy best", "replay queue --gpus 0", "replay queue --per-node 17"] {
        assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ValueValidation, "{line}");
    }
    let line = "replay queue --jobs a --jobs-count 3";
    assert_eq!(parse(line).unwrap_err().kind(), ErrorKind::ArgumentConflict);
}
