CREATE TABLE {{session_uses}} (
    "session_id" uuid NOT NULL,
    "last_used_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("session_id"),
    CONSTRAINT "session_uses_session" FOREIGN KEY ("session_id") REFERENCES {{sessions}} ("id") ON DELETE RESTRICT
);
