CREATE TABLE {{lease_gpus}} (
    "lease_id" uuid NOT NULL,
    "of_gpu" uuid NOT NULL,
    "gpu_id" uuid,
    "milli" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("lease_id", "of_gpu"),
    CONSTRAINT "lease_gpus_lease" FOREIGN KEY ("lease_id") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_gpus_gpu" FOREIGN KEY ("gpu_id") REFERENCES {{gpus}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_gpus_milli_positive" CHECK ("milli" >= 1),
    CONSTRAINT "lease_gpus_milli_at_most_whole" CHECK ("milli" <= 1000)
);

CREATE INDEX {{bare:lease_gpus_gpu}} ON {{lease_gpus}} ("gpu_id" NULLS FIRST, "lease_id", "of_gpu");
