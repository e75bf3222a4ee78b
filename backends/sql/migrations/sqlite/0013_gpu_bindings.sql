CREATE TABLE {{gpu_bindings}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "gpu_id" BLOB CHECK (length("gpu_id") = 16),
    "instance_id" BLOB CHECK (length("instance_id") = 16),
    "held_by" BLOB NOT NULL CHECK (length("held_by") = 16),
    "milli" INTEGER NOT NULL,
    "state" TEXT NOT NULL,
    "attempt" INTEGER NOT NULL DEFAULT 1,
    "created_at" INTEGER NOT NULL,
    "released_at" INTEGER,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "gpu_bindings_gpu" FOREIGN KEY ("gpu_id") REFERENCES {{gpus}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpu_bindings_instance" FOREIGN KEY ("instance_id") REFERENCES {{instances}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpu_bindings_released_together" CHECK (("gpu_id" IS NULL) = ("instance_id" IS NULL)),
    CONSTRAINT "gpu_bindings_milli_positive" CHECK ("milli" >= 1),
    CONSTRAINT "gpu_bindings_milli_at_most_whole" CHECK ("milli" <= 1000),
    CONSTRAINT "gpu_bindings_state" CHECK ("state" IN ('reserved', 'bound', 'releasing', 'released')),
    CONSTRAINT "gpu_bindings_attempt_positive" CHECK ("attempt" >= 1)
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:gpu_bindings_gpu}} ON {{gpu_bindings}} ("gpu_id", "id");

CREATE INDEX {{bare:gpu_bindings_instance}} ON {{gpu_bindings}} ("instance_id", "id");
