CREATE TABLE {{logs}} (
    "id" uuid NOT NULL,
    "title" text COLLATE "C" NOT NULL,
    "description" text COLLATE "C",
    "host" text COLLATE "C",
    "ip" text COLLATE "C",
    "actor_id" uuid,
    "subject_kind" text COLLATE "C",
    "subject_id" uuid,
    "timestamp" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id")
);

CREATE INDEX {{bare:logs_timestamp}} ON {{logs}} ("timestamp", "id");

CREATE INDEX {{bare:logs_subject}} ON {{logs}} ("subject_id" NULLS FIRST, "id");
