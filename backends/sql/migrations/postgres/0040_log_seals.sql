CREATE TABLE {{log_seals}} (
    "sequence" bigint NOT NULL,
    "log_id" uuid NOT NULL,
    "position" bigint NOT NULL,
    "hash" text COLLATE "C" NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("sequence"),
    CONSTRAINT "log_seals_sequence_positive" CHECK ("sequence" >= 1)
);

CREATE UNIQUE INDEX {{bare:log_seals_log}} ON {{log_seals}} ("log_id");
