CREATE TABLE {{fair_shares}} (
    "account_id" BLOB NOT NULL CHECK (length("account_id") = 16),
    "weight_milli" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("account_id"),
    CONSTRAINT "fair_shares_account" FOREIGN KEY ("account_id") REFERENCES {{quotas}} ("account_id") ON DELETE RESTRICT,
    CONSTRAINT "fair_shares_weight_positive" CHECK ("weight_milli" >= 1)
) STRICT, WITHOUT ROWID;
