//! What the process driver saves of its instances.

use std::fs;

use super::*;
use crate::driver::process::keeper::Step;

const IMAGE: Uuid = Uuid::from_u128(7);

/// One that writes a file, a link and a pipe into its folder, and ends.
fn writer() -> Spec {
    shell(
        "mkdir inner; echo learned > inner/weights; ln -s inner/weights latest; mkfifo pipe; chmod +x inner/weights",
    )
}

/// One of an image that says what it finds.
fn reader(image: &str) -> Spec {
    let instance = Uuid::from_u128(8);
    let command = shell("cat latest; echo $IMAGE; ls; echo mine > inner/weights").command;
    Spec { instance, image: Some(image.to_owned()), command, ..sleeper() }
}

#[test]
fn an_instance_of_a_saved_image_begins_with_what_is_in_it() {
    let place = Place::new();
    let keeper = place.open();
    let first = keeper.create(writer()).unwrap();
    stopped(&keeper, &first.key);
    let saved = keeper.save_image(&first.key, IMAGE).unwrap();
    assert_eq!((saved.key.clone(), saved.size_mib.get()), (IMAGE.to_string(), 1));
    assert_eq!(keeper.images.all().unwrap(), std::slice::from_ref(&saved));
    keeper.delete(&first.key, LONG).unwrap();
    assert_eq!(keeper.save_image(&first.key, IMAGE).unwrap(), saved, "it needs the instance no more");
    let gone = keeper.save_image(&first.key, Uuid::from_u128(9));
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    drop(keeper);

    let keeper = place.open();
    let second = keeper.create(reader(&saved.key)).unwrap();
    stopped(&keeper, &second.key);
    let url = saved.url.clone().unwrap();
    assert_eq!(log(&keeper, &second), format!("learned\n{url}\ninner\nlatest\n"));
    // What it writes is in its own folder, and what it has written stays when it is started again.
    keeper.start(&second.key).unwrap();
    stopped(&keeper, &second.key);
    assert!(log(&keeper, &second).contains("mine"));
    let copy = url.strip_prefix("file://").unwrap();
    assert_eq!(fs::read_to_string(format!("{copy}/inner/weights")).unwrap(), "learned\n");
    keeper.images.delete(&saved.key).unwrap();
    keeper.images.delete(&saved.key).unwrap();
    assert!(!Path::new(copy).exists());
    assert_eq!(keeper.start(&second.key).unwrap().key, second.key, "it needs the image no more");
}

#[test]
fn what_an_agent_was_saving_when_it_was_killed_is_no_image_and_is_saved_by_the_next_one() {
    for step in [Step::Copied, Step::Kept] {
        let place = Place::new();
        let mut keeper = place.open();
        keeper.on_step = Box::new(move |at| match at {
            at if at == step => Err(Error::NoSuchImage { image: "it was killed".to_owned() }),
            _ => Ok(()),
        });
        let found = keeper.create(writer()).unwrap();
        stopped(&keeper, &found.key);
        keeper.save_image(&found.key, IMAGE).unwrap_err();
        drop(keeper);
        let keeper = place.open();
        assert_eq!(keeper.images.all().unwrap(), [], "{step:?}");
        let saved = keeper.save_image(&found.key, IMAGE).unwrap();
        assert_eq!(keeper.images.all().unwrap(), [saved], "{step:?}");
        let reader = keeper.create(reader(&IMAGE.to_string())).unwrap();
        stopped(&keeper, &reader.key);
        assert!(log(&keeper, &reader).starts_with("learned"), "{step:?}");
    }
}

#[test]
fn an_instance_that_runs_is_saved_and_runs_on() {
    let place = Place::new();
    let keeper = place.open();
    let found = keeper.create(shell("echo so far > text; echo ready; exec sleep 600")).unwrap();
    eventually(|| log(&keeper, &found).contains("ready").then_some(()));
    let before = place.processes();
    let saved = keeper.save_image(&found.key, IMAGE).unwrap();
    assert_eq!(place.processes(), before);
    let copy = saved.url.unwrap().strip_prefix("file://").unwrap().to_owned();
    assert_eq!(fs::read_to_string(format!("{copy}/text")).unwrap(), "so far\n");
}
