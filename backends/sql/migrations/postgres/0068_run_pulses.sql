CREATE TABLE {{run_pulses}} (
    "run_id" uuid NOT NULL,
    "sequence" bigint NOT NULL DEFAULT 0,
    "heard_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("run_id"),
    CONSTRAINT "run_pulses_run" FOREIGN KEY ("run_id") REFERENCES {{training_runs}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "run_pulses_sequence_not_negative" CHECK ("sequence" >= 0)
);
