CREATE TABLE {{feed_consumers}} (
    "name" text COLLATE "C" NOT NULL,
    "position" bigint NOT NULL,
    "batch" uuid NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("name"),
    CONSTRAINT "feed_consumers_position_not_negative" CHECK ("position" >= 0)
);
