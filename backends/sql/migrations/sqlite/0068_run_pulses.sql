CREATE TABLE {{run_pulses}} (
    "run_id" BLOB NOT NULL CHECK (length("run_id") = 16),
    "sequence" INTEGER NOT NULL DEFAULT 0,
    "heard_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("run_id"),
    CONSTRAINT "run_pulses_run" FOREIGN KEY ("run_id") REFERENCES {{training_runs}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "run_pulses_sequence_not_negative" CHECK ("sequence" >= 0)
) STRICT, WITHOUT ROWID;
