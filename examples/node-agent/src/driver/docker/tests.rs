//! What the Docker driver asks for and makes of the answers. Docker is a socket here that knows a few of them.

mod fake;

use std::time::Duration;

use apportion::amount::{CpuMilli, MemoryMib, StorageMib};
use apportion::entity::NetworkMode;
use apportion::ports::{Family, Protocol};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use fake::Fake;

const ID: &str = "018f3f6e-0000-7000-8000-000000000001";

fn spec() -> Spec {
    Spec {
        instance: ID.parse().unwrap(),
        name: "training".to_owned(),
        image: Some("example.org/training:1".to_owned()),
        command: vec!["python".to_owned(), "train.py".to_owned()],
        cpu_milli: CpuMilli::from_u32(1500),
        memory_mib: MemoryMib::from_u32(512),
        storage_mib: StorageMib::from_u32(100),
        gpus: vec!["GPU-1".to_owned()],
        ports: vec![(Family::Ipv4, Protocol::Tcp, 8000), (Family::Ipv6, Protocol::Tcp, 8000)],
        network_mode: NetworkMode::Bridge,
        env: vec![("COLOUR".to_owned(), "blue".to_owned())],
        ssh_key: None,
    }
}

fn labels() -> Value {
    json!({
        "apportion.instance": ID, "apportion.name": "training", "apportion.cpu_milli": "1500",
        "apportion.memory_mib": "512", "apportion.storage_mib": "100",
    })
}

fn inspected(state: &str) -> Value {
    json!({ "Id": "c1", "Name": "/x", "State": { "Status": state }, "Config": { "Labels": labels() } })
}

fn listed(state: &str) -> Value {
    json!([{ "Id": "c1", "Names": ["/x"], "State": state, "Labels": labels() }])
}

fn ours(state: FoundState) -> Found {
    Found {
        key: "c1".to_owned(),
        instance: Some(Uuid::parse_str(ID).unwrap()),
        name: "training".to_owned(),
        state,
        cpu_milli: CpuMilli::from_u32(1500),
        memory_mib: MemoryMib::from_u32(512),
        storage_mib: StorageMib::from_u32(100),
    }
}

#[tokio::test]
async fn every_container_is_listed_and_foreign_ones_are_asked_what_they_were_given() {
    let list = json!([
        { "Id": "c1", "Names": ["/x"], "State": "exited", "Labels": labels() },
        { "Id": "c2", "Names": ["/database"], "State": "running" },
        { "Id": "c3", "Names": ["/gone"], "State": "removing" },
    ]);
    let foreign = json!({
        "Id": "c2", "Name": "/database", "State": { "Status": "running" },
        "HostConfig": { "NanoCpus": 2_000_000_000_i64, "Memory": 1_073_741_824_i64 },
    });
    let fake = Fake::new()
        .on("GET /containers/json", 200, list)
        .on("GET /containers/c2/json", 200, foreign)
        .on("GET /containers/c3/json", 404, json!({ "message": "no such container" }));
    let driver = fake.driver().await;
    let found = driver.list().await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], ours(FoundState::Stopped));
    let database = &found[1];
    assert_eq!((database.key.as_str(), database.instance, database.name.as_str()), ("c2", None, "database"));
    assert_eq!(database.state, FoundState::Running);
    assert_eq!((database.cpu_milli.get(), database.memory_mib.get()), (2000, 1024));
    assert!(fake.asked()[0].query.contains("all=true"));
}

#[tokio::test]
async fn states_of_docker_are_mapped() {
    for (state, is) in [
        ("running", FoundState::Running),
        ("exited", FoundState::Stopped),
        ("paused", FoundState::Other("paused".to_owned())),
        ("dead", FoundState::Other("dead".to_owned())),
    ] {
        let fake = Fake::new().on("GET /containers/json", 200, listed(state));
        assert_eq!(fake.driver().await.list().await.unwrap(), [ours(is)]);
    }
}

#[tokio::test]
async fn a_container_is_made_with_what_the_spec_says_and_started() {
    let fake = Fake::new()
        .on("GET /containers/json", 200, json!([]))
        .on("POST /containers/create", 201, json!({ "Id": "c1", "Warnings": [] }))
        .on("GET /containers/c1/json", 200, inspected("created"))
        .on("POST /containers/c1/start", 204, Value::Null)
        .on("GET /containers/c1/json", 200, inspected("running"));
    assert_eq!(fake.driver().await.create(&spec()).await.unwrap(), ours(FoundState::Running));
    let asked = fake.asked();
    let create = asked.iter().find(|request| request.what == "POST /containers/create").unwrap();
    assert!(create.query.contains(&format!("name=apportion-{ID}")));
    let body = &create.body;
    assert_eq!(body["Image"], "example.org/training:1");
    assert_eq!(body["Cmd"], json!(["python", "train.py"]));
    assert_eq!(body["Labels"], labels());
    assert!(body["Env"].as_array().unwrap().contains(&json!("COLOUR=blue")));
    let given = &body["HostConfig"];
    assert_eq!((&given["NanoCpus"], &given["Memory"]), (&json!(1_500_000_000), &json!(536_870_912)));
    assert_eq!(given["NetworkMode"], "bridge");
    assert_eq!(given["DeviceRequests"][0]["DeviceIDs"], json!(["GPU-1"]));
    assert_eq!(given["DeviceRequests"][0]["Capabilities"], json!([["gpu"]]));
    let ports = json!([{ "HostIp": "0.0.0.0", "HostPort": "8000" }, { "HostIp": "::", "HostPort": "8000" }]);
    assert_eq!(given["PortBindings"]["8000/tcp"], ports);
}

#[tokio::test]
async fn a_container_that_was_made_and_never_started_is_started() {
    let fake = Fake::new()
        .on("GET /containers/json", 200, listed("created"))
        .on("POST /containers/c1/start", 204, Value::Null)
        .on("GET /containers/c1/json", 200, inspected("running"));
    assert_eq!(fake.driver().await.create(&spec()).await.unwrap(), ours(FoundState::Running));
    assert!(fake.asked()[0].query.contains("apportion.instance"));
}

#[tokio::test]
async fn a_container_that_is_there_is_answered_as_it_is() {
    let fake = Fake::new().on("GET /containers/json", 200, listed("exited"));
    assert_eq!(fake.driver().await.create(&spec()).await.unwrap(), ours(FoundState::Stopped));
}

#[tokio::test]
async fn a_name_that_a_foreign_container_has_is_in_the_way() {
    let fake = Fake::new().on("GET /containers/json", 200, json!([])).on(
        "POST /containers/create",
        409,
        json!({ "message": "the name is already in use" }),
    );
    let error = fake.driver().await.create(&spec()).await.unwrap_err();
    assert!(
        matches!(&error, Error::InTheWay { reason, .. } if reason.contains("already in use")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_container_that_was_made_at_the_same_time_is_answered() {
    let fake = Fake::new()
        .on("GET /containers/json", 200, json!([]))
        .on("POST /containers/create", 409, json!({ "message": "the name is already in use" }))
        .on("GET /containers/json", 200, listed("running"));
    assert_eq!(fake.driver().await.create(&spec()).await.unwrap(), ours(FoundState::Running));
}

#[tokio::test]
async fn an_image_that_is_not_there_is_told() {
    let fake = Fake::new().on("GET /containers/json", 200, json!([])).on(
        "POST /containers/create",
        404,
        json!({ "message": "no such image" }),
    );
    let error = fake.driver().await.create(&spec()).await.unwrap_err();
    assert!(matches!(error, Error::NoSuchImage { .. }), "{error:?}");
}

#[tokio::test]
async fn a_container_that_is_gone_is_deleted_and_cannot_be_stopped() {
    let none = json!({ "message": "no such container" });
    let fake = Fake::new().on("GET /containers/c1/json", 404, none.clone());
    let driver = fake.driver().await;
    driver.delete("c1").await.unwrap();
    let stopped = driver.stop("c1", Duration::from_secs(1)).await;
    assert!(matches!(stopped, Err(Error::NotFound { .. })));
    // It goes while it is being deleted.
    let fake = Fake::new()
        .on("GET /containers/c1/json", 200, inspected("running"))
        .on("POST /containers/c1/stop", 204, Value::Null)
        .on("DELETE /containers/c1", 404, none);
    fake.driver().await.delete("c1").await.unwrap();
}

#[tokio::test]
async fn a_container_is_stopped_within_its_grace_and_removed_with_its_volumes() {
    let fake = Fake::new()
        .on("GET /containers/c1/json", 200, inspected("running"))
        .on("POST /containers/c1/stop", 204, Value::Null)
        .on("GET /containers/c1/json", 200, inspected("exited"))
        .on("POST /containers/c1/stop", 304, Value::Null)
        .on("DELETE /containers/c1", 204, Value::Null);
    let driver = fake.driver().await;
    assert_eq!(driver.stop("c1", Duration::from_secs(30)).await.unwrap(), ours(FoundState::Stopped));
    driver.delete("c1").await.unwrap();
    let asked = fake.asked();
    assert!(asked.iter().any(|request| request.what.ends_with("/stop") && request.query.contains("t=30")));
    assert!(asked.last().unwrap().query.contains("v=true"), "{:?}", asked.last());
}

#[tokio::test]
async fn a_foreign_container_is_not_touched() {
    let foreign = json!({ "Id": "c2", "Name": "/database", "State": { "Status": "running" } });
    let fake = Fake::new().on("GET /containers/c2/json", 200, foreign);
    let driver = fake.driver().await;
    assert!(matches!(driver.delete("c2").await, Err(Error::NotOurs { .. })));
    assert!(matches!(driver.start("c2").await, Err(Error::NotOurs { .. })));
    assert!(fake.asked().iter().all(|request| request.what.starts_with("GET")));
}

#[tokio::test]
async fn images_are_pulled_listed_and_removed() {
    let image = json!({ "Id": "sha256:00", "Size": 1_048_577 });
    let listed = json!([{
        "Id": "sha256:00", "ParentId": "", "RepoTags": ["example.org/training:1"], "RepoDigests": [], "Created": 0,
        "Size": 1_048_577, "SharedSize": -1, "Labels": {}, "Containers": -1,
    }]);
    let fake = Fake::new()
        .on("POST /images/create", 200, json!({ "status": "Pull complete" }))
        .on("GET /images/example.org/training:1/json", 200, image)
        .on("GET /images/json", 200, listed)
        .on("DELETE /images/sha256:00", 200, json!([]))
        .on("DELETE /images/sha256:00", 404, json!({ "message": "no such image" }))
        .on("DELETE /images/sha256:01", 409, json!({ "message": "it is being used" }));
    let driver = fake.driver().await;
    let found = driver.load_image("docker://example.org/training:1").await.unwrap();
    assert_eq!((found.key.as_str(), found.size_mib.get()), ("sha256:00", 2));
    let pulled = &fake.asked()[0].query;
    assert!(pulled.contains("fromImage=example.org%2Ftraining") && pulled.contains("tag=1"), "{pulled}");
    assert_eq!(driver.images().await.unwrap()[0].url.as_deref(), Some("example.org/training:1"));
    driver.delete_image(&found.key).await.unwrap();
    driver.delete_image(&found.key).await.unwrap();
    assert!(matches!(driver.delete_image("sha256:01").await, Err(Error::InTheWay { .. })));
}

#[tokio::test]
async fn an_image_is_saved_under_its_id_and_is_nobodys_container() {
    let image = Uuid::from_u128(7);
    let inspect = format!("GET /images/apportion/saved:{image}/json");
    let none = json!({ "message": "no such image" });
    let there = json!({ "Id": "sha256:07", "Size": 1_048_577 });
    let fake = Fake::new()
        .on(&inspect, 404, none.clone())
        .on(&inspect, 200, there.clone())
        .on("GET /containers/c1/json", 200, inspected("running"))
        .on("POST /commit", 201, json!({ "Id": "sha256:07" }));
    let driver = fake.driver().await;
    let saved = driver.save_image("c1", image).await.unwrap();
    assert_eq!((saved.key.as_str(), saved.size_mib.get()), ("sha256:07", 2));
    assert_eq!(saved.url, Some(format!("apportion/saved:{image}")));
    assert_eq!(driver.save_image("c1", image).await.unwrap(), saved);
    let commits = fake.asked().into_iter().filter(|request| request.what == "POST /commit");
    let [commit] = <[_; 1]>::try_from(commits.collect::<Vec<_>>()).unwrap();
    for part in ["container=c1", "repo=apportion%2Fsaved", &format!("tag={image}"), "pause=true"] {
        assert!(commit.query.contains(part), "{part} is not in {}", commit.query);
    }
    for label in labels().as_object().unwrap().keys() {
        assert_eq!(commit.body["Labels"][label], "", "a container made of it would be ours");
    }
    let env = json!(["APPORTION_INSTANCE=", "PORT=", "PORTS=", "SSH_PUBLIC_KEY="]);
    assert_eq!(commit.body["Env"], env);
    // A container of the image is what somebody else has made.
    let labels: Value =
        labels().as_object().unwrap().keys().map(|label| (label.clone(), json!(""))).collect();
    let list = json!([{ "Id": "c2", "Names": ["/by-hand"], "State": "running", "Labels": labels }]);
    let fake = Fake::new().on("GET /containers/json", 200, list).on(
        "GET /containers/c2/json",
        200,
        json!({ "Id": "c2", "Name": "/by-hand", "Config": { "Labels": labels } }),
    );
    let found = fake.driver().await.list().await.unwrap();
    assert_eq!((found[0].instance, found[0].name.as_str()), (None, "by-hand"));
}

#[tokio::test]
async fn what_is_not_there_or_somebody_elses_is_not_saved() {
    let image = Uuid::from_u128(7);
    let inspect = format!("GET /images/apportion/saved:{image}/json");
    let none = json!({ "message": "there is no such thing" });
    let foreign = json!({ "Id": "c2", "Name": "/database", "State": { "Status": "running" } });
    let fake = Fake::new()
        .on(&inspect, 404, none.clone())
        .on("GET /containers/c1/json", 404, none.clone())
        .on("GET /containers/c2/json", 200, foreign)
        .on("GET /containers/c3/json", 200, inspected("running"))
        .on("POST /commit", 500, json!({ "message": "no space left on device" }));
    let driver = fake.driver().await;
    assert!(matches!(driver.save_image("c1", image).await, Err(Error::NotFound { .. })));
    assert!(matches!(driver.save_image("c2", image).await, Err(Error::NotOurs { .. })));
    assert!(matches!(driver.save_image("../images/x", image).await, Err(Error::NotFound { .. })));
    let full = driver.save_image("c3", image).await.unwrap_err();
    assert!(matches!(full, Error::Failed { .. }), "{full:?}");
    assert_eq!(fake.asked().iter().filter(|request| request.what.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_pull_that_fails_on_its_way_is_an_error() {
    let failed = json!({ "errorDetail": { "message": "the disk is full" }, "error": "the disk is full" });
    let fake = Fake::new().on("POST /images/create", 200, failed);
    let error = fake.driver().await.load_image("example.org/training:1").await.unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
}
