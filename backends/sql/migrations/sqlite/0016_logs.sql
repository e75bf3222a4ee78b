CREATE TABLE {{logs}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "title" TEXT NOT NULL,
    "description" TEXT,
    "host" TEXT,
    "ip" TEXT,
    "actor_id" BLOB CHECK (length("actor_id") = 16),
    "subject_kind" TEXT,
    "subject_id" BLOB CHECK (length("subject_id") = 16),
    "timestamp" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id")
) STRICT, WITHOUT ROWID;

CREATE INDEX {{bare:logs_timestamp}} ON {{logs}} ("timestamp", "id");

CREATE INDEX {{bare:logs_subject}} ON {{logs}} ("subject_id", "id");
