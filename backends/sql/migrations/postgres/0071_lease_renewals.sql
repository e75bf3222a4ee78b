CREATE TABLE {{lease_renewals}} (
    "lease_id" uuid NOT NULL,
    "token" bigint NOT NULL DEFAULT 0,
    "expires_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("lease_id"),
    CONSTRAINT "lease_renewals_lease" FOREIGN KEY ("lease_id") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT
);
