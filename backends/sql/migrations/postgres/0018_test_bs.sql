CREATE TABLE {{test_bs}} (
    "id" uuid NOT NULL,
    "title" text COLLATE "C",
    "description" text COLLATE "C",
    "timestamp" timestamptz NOT NULL,
    "test_a_id" uuid,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "test_bs_test_a" FOREIGN KEY ("test_a_id") REFERENCES {{test_as}} ("id") ON DELETE RESTRICT
);

CREATE INDEX {{bare:test_bs_test_a}} ON {{test_bs}} ("test_a_id" NULLS FIRST, "id");
