CREATE TABLE {{sessions}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "state" text COLLATE "C" NOT NULL,
    "token_hash" text COLLATE "C" NOT NULL,
    "expires_at" timestamptz NOT NULL,
    "verified_at" timestamptz,
    "ip" text COLLATE "C",
    "agent" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "sessions_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "sessions_state" CHECK ("state" IN ('awaiting_second_factor', 'full'))
);

CREATE UNIQUE INDEX {{bare:sessions_token_hash}} ON {{sessions}} ("token_hash");

CREATE INDEX {{bare:sessions_expires_at}} ON {{sessions}} ("expires_at", "id");

CREATE INDEX {{bare:sessions_user}} ON {{sessions}} ("user_id", "id");
