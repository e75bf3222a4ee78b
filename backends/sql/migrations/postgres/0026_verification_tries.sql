CREATE TABLE {{verification_tries}} (
    "verification_id" uuid NOT NULL,
    "attempts" bigint NOT NULL DEFAULT 0,
    "last_step" bigint NOT NULL DEFAULT -1,
    "window" bigint NOT NULL DEFAULT 0,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("verification_id"),
    CONSTRAINT "verification_tries_verification" FOREIGN KEY ("verification_id") REFERENCES {{verifications}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "verification_tries_not_negative" CHECK ("attempts" >= 0)
);
