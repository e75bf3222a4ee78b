CREATE TABLE {{training_statuses}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "run_id" BLOB NOT NULL CHECK (length("run_id") = 16),
    "sequence" INTEGER NOT NULL,
    "attempt" INTEGER NOT NULL,
    "message_id" TEXT,
    "status" TEXT NOT NULL,
    "told" TEXT NOT NULL CHECK (json_valid("told")),
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "training_statuses_run" FOREIGN KEY ("run_id") REFERENCES {{training_runs}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "training_statuses_sequence_positive" CHECK ("sequence" >= 1),
    CONSTRAINT "training_statuses_attempt_not_negative" CHECK ("attempt" >= 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:training_statuses_sequence}} ON {{training_statuses}} ("run_id", "sequence");

CREATE UNIQUE INDEX {{bare:training_statuses_message}} ON {{training_statuses}} ("run_id", "message_id");
