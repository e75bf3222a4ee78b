CREATE TABLE {{lease_renewals}} (
    "lease_id" BLOB NOT NULL CHECK (length("lease_id") = 16),
    "token" INTEGER NOT NULL DEFAULT 0,
    "expires_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("lease_id"),
    CONSTRAINT "lease_renewals_lease" FOREIGN KEY ("lease_id") REFERENCES {{gpu_leases}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;
