CREATE TABLE {{training_statuses}} (
    "id" uuid NOT NULL,
    "run_id" uuid NOT NULL,
    "sequence" bigint NOT NULL,
    "attempt" bigint NOT NULL,
    "message_id" text COLLATE "C",
    "status" text COLLATE "C" NOT NULL,
    "told" jsonb NOT NULL,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "training_statuses_run" FOREIGN KEY ("run_id") REFERENCES {{training_runs}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_statuses_sequence_positive" CHECK ("sequence" >= 1),
    CONSTRAINT "training_statuses_attempt_not_negative" CHECK ("attempt" >= 0)
);

CREATE UNIQUE INDEX {{bare:training_statuses_sequence}} ON {{training_statuses}} ("run_id", "sequence");

CREATE UNIQUE INDEX {{bare:training_statuses_message}} ON {{training_statuses}} ("run_id", "message_id" NULLS FIRST);
