CREATE TABLE {{passwords}} (
    "user_id" uuid NOT NULL,
    "hash" text COLLATE "C" NOT NULL,
    "updated_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("user_id"),
    CONSTRAINT "passwords_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT
);
