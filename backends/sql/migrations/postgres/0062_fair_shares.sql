CREATE TABLE {{fair_shares}} (
    "account_id" uuid NOT NULL,
    "weight_milli" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("account_id"),
    CONSTRAINT "fair_shares_account" FOREIGN KEY ("account_id") REFERENCES {{quotas}} ("account_id") ON DELETE RESTRICT,
    CONSTRAINT "fair_shares_weight_positive" CHECK ("weight_milli" >= 1)
);
