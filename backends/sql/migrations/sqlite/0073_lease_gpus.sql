CREATE TABLE {{lease_gpus}} (
    "lease_id" BLOB NOT NULL CHECK (length("lease_id") = 16),
    "of_gpu" BLOB NOT NULL CHECK (length("of_gpu") = 16),
    "gpu_id" BLOB CHECK (length("gpu_id") = 16),
    "milli" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("lease_id", "of_gpu"),
    CONSTRAINT "lease_gpus_lease" FOREIGN KEY ("lease_id") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_gpus_gpu" FOREIGN KEY ("gpu_id") REFERENCES {{gpus}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "lease_gpus_milli_positive" CHECK ("milli" >= 1),
    CONSTRAINT "lease_gpus_milli_at_most_whole" CHECK ("milli" <= 1000)
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:lease_gpus_gpu}} ON {{lease_gpus}} ("gpu_id", "lease_id", "of_gpu");
