CREATE TABLE {{rentals}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "lease_id" BLOB CHECK (length("lease_id") = 16),
    "of_lease" BLOB NOT NULL CHECK (length("of_lease") = 16),
    "provider" TEXT NOT NULL,
    "offer" TEXT NOT NULL,
    "instance_id" TEXT,
    "state" TEXT NOT NULL,
    "gpus" INTEGER NOT NULL,
    "gpu_model" TEXT NOT NULL,
    "price_micros" INTEGER NOT NULL,
    "tries" INTEGER NOT NULL DEFAULT 0,
    "status_info" TEXT,
    "ready_until" INTEGER NOT NULL,
    "created_at" INTEGER NOT NULL,
    "rented_at" INTEGER,
    "ended_at" INTEGER,
    "updated_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "rentals_of_lease" FOREIGN KEY ("of_lease") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "rentals_state" CHECK ("state" IN ('renting', 'rented', 'releasing', 'released', 'failed', 'lost')),
    CONSTRAINT "rentals_gpus_positive" CHECK ("gpus" >= 1),
    CONSTRAINT "rentals_price_not_negative" CHECK ("price_micros" >= 0),
    CONSTRAINT "rentals_tries_not_negative" CHECK ("tries" >= 0)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:rentals_lease}} ON {{rentals}} ("lease_id");

CREATE UNIQUE INDEX {{bare:rentals_instance_id}} ON {{rentals}} ("provider", "instance_id");

CREATE INDEX {{bare:rentals_state}} ON {{rentals}} ("provider", "state", "id");

CREATE INDEX {{bare:rentals_of_lease}} ON {{rentals}} ("of_lease", "id");
