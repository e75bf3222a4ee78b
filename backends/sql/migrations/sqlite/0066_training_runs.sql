CREATE TABLE {{training_runs}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "owner_id" BLOB NOT NULL CHECK (length("owner_id") = 16),
    "training_id" BLOB CHECK (length("training_id") = 16),
    "of_training" BLOB NOT NULL CHECK (length("of_training") = 16),
    "queue_id" BLOB CHECK (length("queue_id") = 16),
    "config" TEXT NOT NULL CHECK (json_valid("config")),
    "trigger_word" TEXT NOT NULL,
    "base_model" TEXT CHECK (json_valid("base_model")),
    "ask" TEXT NOT NULL CHECK (json_valid("ask")),
    "request_fingerprint" TEXT NOT NULL,
    "priority" INTEGER NOT NULL,
    "estimate_ms" INTEGER,
    "min_runtime_ms" INTEGER NOT NULL,
    "due" INTEGER,
    "not_before" INTEGER,
    "state" TEXT NOT NULL,
    "state_deadline" INTEGER,
    "images_left" INTEGER NOT NULL DEFAULT 0,
    "attempt" INTEGER NOT NULL,
    "max_failures" INTEGER NOT NULL,
    "failures" INTEGER NOT NULL,
    "preemptions" INTEGER NOT NULL,
    "cause" TEXT,
    "status_info" TEXT,
    "kept_ms" INTEGER NOT NULL,
    "held_ms" INTEGER NOT NULL,
    "artifact_key" TEXT,
    "artifact_bytes" INTEGER,
    "artifact_sha256" TEXT,
    "created_at" INTEGER NOT NULL,
    "updated_at" INTEGER NOT NULL,
    "ended_at" INTEGER,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
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
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:training_runs_live}} ON {{training_runs}} ("training_id");

CREATE INDEX {{bare:training_runs_of_training}} ON {{training_runs}} ("of_training", "id");

CREATE INDEX {{bare:training_runs_state}} ON {{training_runs}} ("state", "id");

CREATE INDEX {{bare:training_runs_state_deadline}} ON {{training_runs}} ("state_deadline", "id");

CREATE INDEX {{bare:training_runs_owner}} ON {{training_runs}} ("owner_id", "id");

CREATE INDEX {{bare:training_runs_queue}} ON {{training_runs}} ("queue_id", "id");
