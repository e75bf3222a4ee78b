CREATE TABLE {{training_runs}} (
    "id" uuid NOT NULL,
    "owner_id" uuid NOT NULL,
    "training_id" uuid,
    "of_training" uuid NOT NULL,
    "queue_id" uuid,
    "config" jsonb NOT NULL,
    "trigger_word" text COLLATE "C" NOT NULL,
    "base_model" jsonb,
    "ask" jsonb NOT NULL,
    "request_fingerprint" text COLLATE "C" NOT NULL,
    "priority" bigint NOT NULL,
    "estimate_ms" bigint,
    "min_runtime_ms" bigint NOT NULL,
    "due" timestamptz,
    "not_before" timestamptz,
    "state" text COLLATE "C" NOT NULL,
    "state_deadline" timestamptz,
    "images_left" bigint NOT NULL DEFAULT 0,
    "attempt" bigint NOT NULL,
    "max_failures" bigint NOT NULL,
    "failures" bigint NOT NULL,
    "preemptions" bigint NOT NULL,
    "cause" text COLLATE "C",
    "status_info" text COLLATE "C",
    "kept_ms" bigint NOT NULL,
    "held_ms" bigint NOT NULL,
    "artifact_key" text COLLATE "C",
    "artifact_bytes" bigint,
    "artifact_sha256" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "ended_at" timestamptz,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "training_runs_owner" FOREIGN KEY ("owner_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_runs_training" FOREIGN KEY ("training_id") REFERENCES {{trainings}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_runs_queue" FOREIGN KEY ("queue_id") REFERENCES {{run_queues}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_runs_ended_together" CHECK (("training_id" IS NULL) = ("queue_id" IS NULL) AND ("queue_id" IS NULL) = ("state_deadline" IS NULL)),
    CONSTRAINT "training_runs_artifact_together" CHECK (("artifact_key" IS NULL) = ("artifact_bytes" IS NULL) AND ("artifact_bytes" IS NULL) = ("artifact_sha256" IS NULL)),
    CONSTRAINT "training_runs_state" CHECK ("state" IN ('queued', 'preparing', 'waiting_for_gpu', 'starting', 'training', 'uploading', 'completed', 'failed', 'aborted', 'stalled')),
    CONSTRAINT "training_runs_cause" CHECK ("cause" IN ('crashed', 'invalid', 'hardware', 'worker_lost', 'not_begun', 'no_progress', 'not_prepared', 'no_gpus', 'not_uploaded', 'not_rented', 'preempted', 'requested')),
    CONSTRAINT "training_runs_estimate_not_negative" CHECK ("estimate_ms" >= 0),
    CONSTRAINT "training_runs_min_runtime_not_negative" CHECK ("min_runtime_ms" >= 0),
    CONSTRAINT "training_runs_images_left_not_negative" CHECK ("images_left" >= 0),
    CONSTRAINT "training_runs_attempt_not_negative" CHECK ("attempt" >= 0),
    CONSTRAINT "training_runs_failures_not_negative" CHECK ("failures" >= 0),
    CONSTRAINT "training_runs_preemptions_not_negative" CHECK ("preemptions" >= 0),
    CONSTRAINT "training_runs_kept_not_negative" CHECK ("kept_ms" >= 0),
    CONSTRAINT "training_runs_held_not_negative" CHECK ("held_ms" >= 0),
    CONSTRAINT "training_runs_artifact_bytes_not_negative" CHECK ("artifact_bytes" >= 0)
);

CREATE UNIQUE INDEX {{bare:training_runs_live}} ON {{training_runs}} ("training_id" NULLS FIRST);

CREATE INDEX {{bare:training_runs_of_training}} ON {{training_runs}} ("of_training", "id");

CREATE INDEX {{bare:training_runs_state}} ON {{training_runs}} ("state", "id");

CREATE INDEX {{bare:training_runs_state_deadline}} ON {{training_runs}} ("state_deadline" NULLS FIRST, "id");

CREATE INDEX {{bare:training_runs_owner}} ON {{training_runs}} ("owner_id", "id");

CREATE INDEX {{bare:training_runs_queue}} ON {{training_runs}} ("queue_id" NULLS FIRST, "id");
