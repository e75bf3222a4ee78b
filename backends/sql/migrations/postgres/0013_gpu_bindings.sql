CREATE TABLE {{gpu_bindings}} (
    "id" uuid NOT NULL,
    "gpu_id" uuid,
    "instance_id" uuid,
    "held_by" uuid NOT NULL,
    "milli" bigint NOT NULL,
    "state" text COLLATE "C" NOT NULL,
    "attempt" bigint NOT NULL DEFAULT 1,
    "created_at" timestamptz NOT NULL,
    "released_at" timestamptz,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "gpu_bindings_gpu" FOREIGN KEY ("gpu_id") REFERENCES {{gpus}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpu_bindings_instance" FOREIGN KEY ("instance_id") REFERENCES {{instances}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "gpu_bindings_released_together" CHECK (("gpu_id" IS NULL) = ("instance_id" IS NULL)),
    CONSTRAINT "gpu_bindings_milli_positive" CHECK ("milli" >= 1),
    CONSTRAINT "gpu_bindings_milli_at_most_whole" CHECK ("milli" <= 1000),
    CONSTRAINT "gpu_bindings_state" CHECK ("state" IN ('reserved', 'bound', 'releasing', 'released')),
    CONSTRAINT "gpu_bindings_attempt_positive" CHECK ("attempt" >= 1)
);

CREATE INDEX {{bare:gpu_bindings_gpu}} ON {{gpu_bindings}} ("gpu_id" NULLS FIRST, "id");

CREATE INDEX {{bare:gpu_bindings_instance}} ON {{gpu_bindings}} ("instance_id" NULLS FIRST, "id");
