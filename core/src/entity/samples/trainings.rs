//! Trainings, their runs, and what those hold.
#![expect(clippy::unwrap_used, reason = "these texts are valid")]

use super::{AT, Ids, LATER, Samples, some};
use crate::amount::{CpuMilli, GpuMilli, MemoryMib, StorageMib};
use crate::entity::{
    AccountUse, BaseModel, BindingState, DisplayName, FairShare, GpuLease, LeaseGpu, LeaseNode, LeaseRenewal,
    MediaType, Rental, RentalState, RunAsk, RunCause, RunPulse, RunQueue, RunQueueUse, RunState, StatusTold,
    Training, TrainingImage, TrainingImageState, TrainingRun, TrainingRunImage, TrainingStatus,
};
use crate::store::{Fingerprint, Json};

/// Gives what of trainings may be empty.
pub(super) fn fill(samples: &mut Samples) {
    let queue = &mut samples.queue;
    queue.parent_id = Some(queue.id);
    let gpu = Some(GpuMilli::from_u32(8000));
    (queue.gpu_milli, queue.gpu_milli_borrowing, queue.gpu_milli_lending) = (gpu, gpu, gpu);
    let cpu = Some(CpuMilli::from_u32(64_000));
    (queue.cpu_milli, queue.cpu_milli_borrowing, queue.cpu_milli_lending) = (cpu, cpu, cpu);
    let memory = Some(MemoryMib::from_u32(1 << 20));
    (queue.memory_mib, queue.memory_mib_borrowing, queue.memory_mib_lending) = (memory, memory, memory);
    samples.training.base_model = Some(BaseModel {
        id: "42".into(),
        name: "base".into(),
        url: some("https://models.example/42"),
        filename: some("base.safetensors"),
        family: "SDXL".into(),
    });
    samples.training_image.upload_until = Some(LATER);
    let run = &mut samples.run;
    (run.training_id, run.queue_id) = (Some(samples.training.id), Some(samples.queue.id));
    run.base_model.clone_from(&samples.training.base_model);
    run.estimate_ms = Some(60_000);
    (run.due, run.not_before, run.state_deadline) = (Some(LATER), Some(LATER), Some(LATER));
    (run.state, run.cause, run.status_info) =
        (RunState::Uploading, Some(RunCause::Crashed), some("out of memory"));
    (run.artifact_key, run.artifact_bytes, run.artifact_sha256) =
        (some("users/1/model"), Some(5), Some("ab".repeat(32)));
    run.ended_at = Some(LATER);
    samples.run_image.image_id = Some(samples.training_image.id);
    samples.status.message_id = some("m-1");
    samples.status.told = StatusTold {
        done: Some(1),
        total: Some(20),
        metrics: [("loss".to_owned(), 0.125)].into(),
        note: some("epoch"),
    };
    let lease = &mut samples.lease;
    (lease.run_id, lease.queue_id) = (Some(samples.run.id), Some(samples.queue.id));
    (lease.state, lease.token, lease.worker) = (BindingState::Releasing, 2, some("worker-1"));
    (lease.node_id, lease.session, lease.reason) = (Some(samples.node.id), Some(3), some("preempted"));
    (lease.bound_at, lease.released_at) = (Some(LATER), Some(LATER));
    samples.lease_node.node_id = Some(samples.node.id);
    samples.lease_gpu.gpu_id = Some(samples.gpu.id);
    let rental = &mut samples.rental;
    (rental.lease_id, rental.instance_id) = (Some(samples.lease.id), Some(rental.id.to_string()));
    (rental.state, rental.tries, rental.status_info) = (RentalState::Rented, 2, some("running"));
    (rental.rented_at, rental.ended_at) = (Some(LATER), Some(LATER));
    (rental.answered_at, rental.missing_since) = (Some(LATER), Some(LATER));
}

pub(super) fn queue(ids: &Ids) -> RunQueue {
    let &Ids { queue_id, .. } = ids;
    RunQueue {
        id: queue_id,
        name: format!("queue-{queue_id}"),
        parent_id: None,
        weight_milli: 1000,
        gpu_milli: None,
        gpu_milli_borrowing: None,
        gpu_milli_lending: None,
        cpu_milli: None,
        cpu_milli_borrowing: None,
        cpu_milli_lending: None,
        memory_mib: None,
        memory_mib_borrowing: None,
        memory_mib_lending: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn queue_use(ids: &Ids) -> RunQueueUse {
    let &Ids { queue_id, .. } = ids;
    RunQueueUse {
        queue_id,
        epoch: 3,
        gpu_milli: GpuMilli::from_u32(1000),
        cpu_milli: CpuMilli::from_u32(4000),
        memory_mib: MemoryMib::from_u32(8192),
    }
}

pub(super) fn share(ids: &Ids) -> FairShare {
    let &Ids { user_id, .. } = ids;
    FairShare { account_id: user_id, weight_milli: 2000 }
}

pub(super) fn account_use(ids: &Ids) -> AccountUse {
    let &Ids { user_id, .. } = ids;
    AccountUse {
        account_id: user_id,
        period: 494_532,
        gpu_milli_seconds: 60_000,
        cpu_milli_seconds: 240_000,
        memory_mib_seconds: 491_520,
    }
}

pub(super) fn training(ids: &Ids) -> Training {
    let &Ids { user_id, training_id, .. } = ids;
    Training {
        id: training_id,
        owner_id: user_id,
        name: DisplayName::new("portraits").unwrap(),
        config: config(),
        trigger_word: "ohxw".into(),
        base_model: None,
        image_limit: 200,
        image_bytes_limit: 1 << 32,
        images: 1,
        image_bytes: 77,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn training_image(ids: &Ids) -> TrainingImage {
    let &Ids { training_id, training_image_id, .. } = ids;
    TrainingImage {
        id: training_image_id,
        training_id,
        name: "a.png".into(),
        url: format!("trainings/{training_id}/images/{training_image_id}.png"),
        media_type: MediaType::Png,
        size_bytes: 77,
        text: "ohxw, portrait".into(),
        state: TrainingImageState::Uploaded,
        upload_until: None,
        created_at: AT,
        updated_at: AT,
    }
}

pub(super) fn run(ids: &Ids) -> TrainingRun {
    let &Ids { user_id, training_id, run_id, .. } = ids;
    TrainingRun {
        id: run_id,
        owner_id: user_id,
        training_id: None,
        of_training: training_id,
        queue_id: None,
        config: config(),
        trigger_word: "ohxw".into(),
        base_model: None,
        ask: RunAsk { models: vec!["H100".into()], ..RunAsk::default() },
        request_fingerprint: Fingerprint::of(b"run"),
        priority: -3,
        estimate_ms: None,
        min_runtime_ms: 60_000,
        due: None,
        not_before: None,
        state: RunState::Failed,
        state_deadline: None,
        images_left: 1,
        attempt: 2,
        max_failures: 3,
        failures: 1,
        preemptions: 1,
        cause: None,
        status_info: None,
        kept_ms: 5,
        held_ms: 7,
        artifact_key: None,
        artifact_bytes: None,
        artifact_sha256: None,
        created_at: AT,
        updated_at: AT,
        ended_at: None,
    }
}

pub(super) fn run_image(ids: &Ids) -> TrainingRunImage {
    let &Ids { run_id, training_image_id, .. } = ids;
    TrainingRunImage {
        run_id,
        position: 0,
        image_id: None,
        of_image: training_image_id,
        name: "a.png".into(),
        url: "trainings/1/images/1.png".into(),
        media_type: MediaType::Png,
        text: "ohxw, portrait".into(),
    }
}

pub(super) fn pulse(ids: &Ids) -> RunPulse {
    let &Ids { run_id, .. } = ids;
    RunPulse { run_id, sequence: 1, heard_at: AT }
}

pub(super) fn status(ids: &Ids) -> TrainingStatus {
    let &Ids { run_id, status_id, .. } = ids;
    TrainingStatus {
        id: status_id.into(),
        run_id,
        sequence: 1,
        attempt: 1,
        message_id: None,
        status: "training".into(),
        told: StatusTold::default(),
        created_at: AT,
    }
}

pub(super) fn lease(ids: &Ids) -> GpuLease {
    let &Ids { user_id, run_id, lease_id, .. } = ids;
    GpuLease {
        id: lease_id,
        run_id: None,
        of_run: run_id,
        attempt: 2,
        account_id: user_id,
        queue_id: None,
        state: BindingState::Released,
        token: 1,
        worker: None,
        node_id: None,
        session: None,
        gpu_milli: GpuMilli::from_u32(1000),
        cpu_milli: CpuMilli::from_u32(4000),
        memory_mib: MemoryMib::from_u32(8192),
        storage_mib: StorageMib::from_u32(1024),
        charged_until: AT,
        reason: None,
        created_at: AT,
        bound_at: None,
        released_at: None,
    }
}

pub(super) fn renewal(ids: &Ids) -> LeaseRenewal {
    let &Ids { lease_id, .. } = ids;
    LeaseRenewal { lease_id, token: 1, expires_at: LATER }
}

pub(super) fn lease_node(ids: &Ids) -> LeaseNode {
    let &Ids { node_id, lease_id, .. } = ids;
    LeaseNode {
        lease_id,
        of_node: node_id,
        node_id: None,
        members: 1,
        cpu_milli: CpuMilli::from_u32(4000),
        memory_mib: MemoryMib::from_u32(8192),
        storage_mib: StorageMib::from_u32(1024),
        gpu_milli: GpuMilli::from_u32(1000),
    }
}

pub(super) fn lease_gpu(ids: &Ids) -> LeaseGpu {
    let &Ids { gpu_id, lease_id, .. } = ids;
    LeaseGpu { lease_id, of_gpu: gpu_id, gpu_id: None, milli: GpuMilli::from_u32(1000) }
}

pub(super) fn rental(ids: &Ids) -> Rental {
    let &Ids { lease_id, rental_id, .. } = ids;
    Rental {
        id: rental_id.into(),
        lease_id: None,
        of_lease: lease_id,
        provider: "cloud".into(),
        offer: "offer-7".into(),
        instance_id: None,
        state: RentalState::Released,
        gpus: 1,
        gpu_model: "H100".into(),
        price_micros: 2_500_000,
        tries: 1,
        status_info: None,
        ready_until: LATER,
        created_at: AT,
        rented_at: None,
        ended_at: None,
        updated_at: AT,
        answered_at: None,
        missing_since: None,
    }
}

fn config() -> Json {
    Json::parse("{\"epoch\":20,\"unet_lr\":0.0004}").unwrap()
}
