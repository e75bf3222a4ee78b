CREATE TABLE {{refusal_counts}} (
    "log_id" uuid NOT NULL,
    "refusals" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("log_id"),
    CONSTRAINT "refusal_counts_not_negative" CHECK ("refusals" >= 0)
);
