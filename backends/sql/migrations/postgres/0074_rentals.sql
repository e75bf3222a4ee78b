CREATE TABLE {{rentals}} (
    "id" uuid NOT NULL,
    "lease_id" uuid,
    "of_lease" uuid NOT NULL,
    "provider" text COLLATE "C" NOT NULL,
    "offer" text COLLATE "C" NOT NULL,
    "instance_id" text COLLATE "C",
    "state" text COLLATE "C" NOT NULL,
    "gpus" bigint NOT NULL,
    "gpu_model" text COLLATE "C" NOT NULL,
    "price_micros" bigint NOT NULL,
    "tries" bigint NOT NULL DEFAULT 0,
    "status_info" text COLLATE "C",
    "ready_until" timestamptz NOT NULL,
    "created_at" timestamptz NOT NULL,
    "rented_at" timestamptz,
    "ended_at" timestamptz,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "rentals_of_lease" FOREIGN KEY ("of_lease") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "rentals_state" CHECK ("state" IN ('renting', 'rented', 'releasing', 'released', 'failed', 'lost')),
    CONSTRAINT "rentals_gpus_positive" CHECK ("gpus" >= 1),
    CONSTRAINT "rentals_price_not_negative" CHECK ("price_micros" >= 0),
    CONSTRAINT "rentals_tries_not_negative" CHECK ("tries" >= 0)
);

CREATE UNIQUE INDEX {{bare:rentals_lease}} ON {{rentals}} ("lease_id" NULLS FIRST);

CREATE UNIQUE INDEX {{bare:rentals_instance_id}} ON {{rentals}} ("provider", "instance_id" NULLS FIRST);

CREATE INDEX {{bare:rentals_state}} ON {{rentals}} ("provider", "state", "id");

CREATE INDEX {{bare:rentals_of_lease}} ON {{rentals}} ("of_lease", "id");
