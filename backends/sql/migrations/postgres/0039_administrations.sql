CREATE TABLE {{administrations}} (
    "id" text COLLATE "C" NOT NULL,
    "administrators" bigint NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "administrations_at_least_one" CHECK ("administrators" >= 1)
);
