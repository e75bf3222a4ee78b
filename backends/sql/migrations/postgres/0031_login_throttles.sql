CREATE TABLE {{login_throttles}} (
    "user_id" uuid NOT NULL,
    "source" text COLLATE "C" NOT NULL,
    "failures" bigint NOT NULL DEFAULT 0,
    "failed_at" timestamptz,
    "succeeded_at" timestamptz,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id", "source"),
    CONSTRAINT "login_throttles_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "login_throttles_not_negative" CHECK ("failures" >= 0)
);

CREATE INDEX {{bare:login_throttles_failed_at}} ON {{login_throttles}} ("failed_at" NULLS FIRST, "user_id", "source");
