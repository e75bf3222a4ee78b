CREATE TABLE {{recovery_codes}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "hash" text COLLATE "C" NOT NULL,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "recovery_codes_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX {{bare:recovery_codes_hash}} ON {{recovery_codes}} ("hash");

CREATE INDEX {{bare:recovery_codes_user}} ON {{recovery_codes}} ("user_id", "id");
