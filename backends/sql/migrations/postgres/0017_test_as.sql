CREATE TABLE {{test_as}} (
    "id" uuid NOT NULL,
    "title" text COLLATE "C",
    "description" text COLLATE "C",
    "big_int" bigint,
    "timestamp" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id")
);

CREATE INDEX {{bare:test_as_title}} ON {{test_as}} ("title" NULLS FIRST, "id");
